"""Connecting to the first of several brokers that answers, where some may be off and not even refuse.

As RFC 8305 ("Happy Eyeballs") has it: the next broker is tried as soon as one has failed, or has not answered for a
moment, and those before it are not given up for that. What blocks (name service, TCP and TLS handshakes) is done in a
thread for each try, so that whoever dials goes on with what it has to do.
"""

from __future__ import annotations

import logging
import random
import threading
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from math import inf
from queue import Empty, SimpleQueue

from fogsdk.device.brokers import MOST
from fogsdk.device.mqtt import MqttConnection
from fogsdk.device.url import BrokerUrl
from fogsdk.errors import ConnectionFailed

log = logging.getLogger(__name__)

STAGGER = 0.3
"""Seconds that one broker has until the next is tried as well (RFC 8305 says 0.25, and one more round trip here)."""
FIRST_PAUSE, LONGEST_PAUSE = 0.1, 10.0
"""Seconds between two tries of one broker: doubled each time, and shortened by chance so that devices do not come back
all at once."""
IN_EIGHT = 8.0
"""That pause is no longer than a second, or one in so many of the seconds since the broker was first missed: one that
is just being started is found soon, and one that is away for long is left in peace."""
LOOK_EVERY, LONGEST_LOOK = 3.0, 30.0
"""Seconds between two searches for further brokers; they grow as those pauses do (RFC 6762, section 5.2)."""
SETTLED = 1.0
"""Seconds after which a connection counts as one that lasts."""

Find = Callable[[], Iterable[BrokerUrl]]
"""Looks for brokers; may take some seconds."""


@dataclass(slots=True)
class _Try:
    """What is known of one broker: when it was tried last, until when it is left alone, how long after the next
    failure, since when it fails, and whether it is being tried now."""

    tried: float = 0.0
    due: float = 0.0
    pause: float = FIRST_PAUSE
    missed: float | None = None
    busy: bool = False


class Dialer:
    """Opens connections that ``make`` makes to ``brokers``, in order of preference; calls ``wake`` from another thread
    when ``opened`` has something. While none is there, ``find`` finds further ones. Times are in seconds of one
    clock."""

    def __init__(
        self,
        brokers: Iterable[BrokerUrl],
        make: Callable[[BrokerUrl], MqttConnection],
        wake: Callable[[], None],
        find: Find | None = None,
    ) -> None:
        self._find = find
        self._look_since = self._look_at = -inf
        self._announced: dict[BrokerUrl, None] = {}
        self._found: SimpleQueue[list[BrokerUrl]] = SimpleQueue()
        self._make = make
        self._wake = wake
        self._tries = {broker: _Try() for broker in brokers}
        self._next = 0.0
        self._opened: SimpleQueue[tuple[BrokerUrl, MqttConnection | str]] = SimpleQueue()
        self._closed = False

    def dial(self, now: float, but: BrokerUrl | None) -> float:
        """Begin the tries that are due, to all brokers ``but`` one. Returns when the next is due."""
        soonest = min(now + LONGEST_PAUSE, self._look(now, but))
        for broker, each in sorted(self._tries.items(), key=lambda item: item[1].tried):
            if each.busy or broker == but:
                continue
            due = max(each.due, self._next)
            if due > now:
                soonest = min(soonest, due)
                continue
            each.busy, each.tried, self._next = True, now, now + STAGGER
            soonest = min(soonest, self._next)
            if not _begun("fogsdk-dialer", self._open, broker):
                self.failed(broker, now)
        return soonest

    def _look(self, now: float, but: BrokerUrl | None) -> float:
        """Look for further brokers where that is due, and take in what was found. Returns when to come again."""
        if self._find is None:
            return inf
        if self._look_since == -inf:
            self._look_since, self._look_at = now, now + LOOK_EVERY
        pause = max(LOOK_EVERY, min(LONGEST_LOOK, (now - self._look_since) / IN_EIGHT))
        while not self._found.empty():
            self._take_in(dict.fromkeys(self._found.get_nowait()), now, but)
            self._look_at = now + pause
        if now >= self._look_at:
            self._look_at = inf if _begun("fogsdk-search", self._search, self._find) else now + pause
        return self._look_at

    def _take_in(self, found: dict[BrokerUrl, None], now: float, but: BrokerUrl | None) -> None:
        """Try what is announced, and at once what was not before."""
        for broker in found:
            known = self._tries.get(broker)
            if known is not None:
                if broker not in self._announced:
                    known.due = min(known.due, now)
            elif len(self._tries) < MOST or self._make_room(found, but):
                self._tries[broker] = _Try()
        self._announced = found

    def _make_room(self, found: dict[BrokerUrl, None], but: BrokerUrl | None) -> bool:
        """Forget one broker that is not announced any more; False where there is none."""
        for broker, each in self._tries.items():
            if not (each.busy or broker in found or broker == but):
                del self._tries[broker]
                return True
        return False

    def _search(self, find: Find) -> None:
        found: list[BrokerUrl] = []
        try:
            found = list(find())
        except OSError as error:
            log.debug("no looking for brokers: %s", error)
        except Exception:
            log.exception("a bug in looking for brokers")
        self._found.put(found)
        self._wake()

    def _open(self, broker: BrokerUrl) -> None:
        try:
            connection = self._make(broker)
            connection.open()
            self._opened.put((broker, connection))
        except ConnectionFailed as error:
            self._opened.put((broker, str(error)))
        except Exception as error:
            log.exception("a bug in connecting to %s", broker)
            self._opened.put((broker, f"{broker}: {type(error).__name__}: {error}"))
        if self._closed:
            self._hang_up()
        self._wake()

    @property
    def has_opened(self) -> bool:
        """Whether something came of tries since the last call of ``opened``."""
        return not self._opened.empty()

    def opened(self) -> Iterator[tuple[BrokerUrl, MqttConnection | str]]:
        """What came of tries since the last call: for each broker a connection, or why there is none."""
        while True:
            try:
                yield self._opened.get_nowait()
            except Empty:
                return

    def failed(self, broker: BrokerUrl, now: float) -> None:
        """A broker did not answer or did not accept the login: the next one is tried at once, this one later."""
        each = self._tries[broker]
        each.missed = now if each.missed is None else each.missed
        each.busy, each.due = False, now + each.pause * random.uniform(0.5, 1.0)
        each.pause = min(LONGEST_PAUSE, each.pause * 2, max(1.0, (now - each.missed) / IN_EIGHT))
        self._next = now

    def done(self, broker: BrokerUrl) -> None:
        """A try is over and did not fail. The broker becomes the last choice: when it is lost, others come first."""
        self._look_since = -inf
        each = self._tries.pop(broker)
        each.busy = False
        self._tries[broker] = each

    def lost(self, broker: BrokerUrl, now: float, lasted: float) -> None:
        """A connection that had been accepted was lost after some seconds. Where that is soon, a pause is due."""
        if lasted < SETTLED:
            self.failed(broker, now)
        else:
            self._tries[broker] = _Try()

    def close(self) -> None:
        """Begin nothing more. What is being opened is closed when it is open."""
        self._closed = True
        self._hang_up()

    def _hang_up(self) -> None:
        for _, connection in self.opened():
            if isinstance(connection, MqttConnection):
                connection.close()


def _begun(name: str, target: Callable[..., None], *arguments: object) -> bool:
    """Start a thread; False where this computer has none left just now."""
    try:
        threading.Thread(target=target, args=arguments, name=name, daemon=True).start()
    except RuntimeError as error:
        log.warning("%s cannot begin: %s", name, error)
        return False
    return True
