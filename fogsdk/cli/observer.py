"""Listens in on a site: one connection to one broker, driven by whoever reads from it, without a thread."""

from __future__ import annotations

import secrets
import select
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from fogsdk.device.brokers import others
from fogsdk.device.mqtt import MqttConnection
from fogsdk.device.url import BrokerUrl, Credentials
from fogsdk.errors import ConfigError, ConnectionFailed, WireError
from fogsdk.wire import codec, topics
from fogsdk.wire.messages import Malformed, Message

LOGIN_TIMEOUT = 5.0
KEEPALIVE = 15
HOUSEKEEPING = 1.0
PAUSE = 0.2
"""Seconds between two rounds over all brokers while none answers."""
NO_BROKER = "coap:// leads to one node alone"


@dataclass(frozen=True)
class Heard:
    """One message: where it came from, and when on ``time.perf_counter()``."""

    at: topics.Topic
    message: Message
    when: float


class Observer:
    """A connection to ``broker``. Making one raises ConnectionFailed where it is away or refuses the login.

    ``sender`` is this program's id on the wire. What cannot be read is passed over.
    """

    def __init__(self, broker: BrokerUrl, credentials: Credentials, site: str, sender: str) -> None:
        self.broker, self.site, self.sender = broker, site, sender
        self._heard: deque[Heard] = deque()
        self._texts: dict[str, str] = {}
        self._up = False
        self._ended: str | None = None
        self._housekeeping = 0.0
        self._connection = MqttConnection(
            broker,
            credentials,
            f"{sender}-{secrets.token_hex(3)}",
            keepalive=KEEPALIVE,
            on_up=self._accept,
            on_down=self._end,
            on_message=self._take,
        )
        self._connection.open()
        try:
            self._log_in()
        except ConnectionFailed:
            self.close()
            raise

    def _log_in(self) -> None:
        until = time.monotonic() + LOGIN_TIMEOUT
        while not self._up and self._ended is None and (left := until - time.monotonic()) > 0:
            self._step(left)
        if not self._up:
            reason = self._ended or f"no answer within {LOGIN_TIMEOUT:g} s"
            raise ConnectionFailed(f"{self.broker}: login not accepted: {reason}")

    def _accept(self) -> None:
        self._up = True

    def _end(self, reason: str) -> None:
        self._ended = reason

    def _take(self, topic: str, payload: bytes) -> None:
        when = time.perf_counter()
        if topic.startswith("$SYS/"):
            self._texts[topic] = payload.decode(errors="replace")
            return
        try:
            at = topics.parse(topic)
            messages = codec.decode(payload)
        except WireError:
            return
        self._heard += [Heard(at, each, when) for each in messages if not isinstance(each, Malformed)]

    def _step(self, longest: float) -> None:
        """Write what is to be written, wait for something to come, and take it in."""
        connection = self._connection
        if connection.wants_write:
            connection.flush()
        if self._ended is None:
            writers = [connection.socket] if connection.wants_write else []
            readable, writable, _ = select.select([connection.socket], writers, [], min(longest, HOUSEKEEPING))
            if readable:
                connection.readable()
            if writable and self._ended is None:
                connection.writable()
        if time.monotonic() >= self._housekeeping and self._ended is None:
            self._housekeeping = time.monotonic() + HOUSEKEEPING
            connection.housekeep()

    # ------------------------------------------------------------ for the commands

    def subscribe(self, *filters: str) -> None:
        """Hear these topics from now on."""
        self._connection.subscribe(list(filters))
        self._connection.flush()

    def send(self, topic: str, message: Message) -> float:
        """Publish a message at once; returns when that was, on ``time.perf_counter()``."""
        when = time.perf_counter()
        self._connection.publish(topic, codec.encode([message]))
        self._connection.flush()
        return when

    def listen(self, seconds: float) -> Iterator[Heard]:
        """What comes within ``seconds``, as it comes. Raises ConnectionFailed when the connection is lost."""
        until = time.monotonic() + seconds
        while True:
            while self._heard:
                yield self._heard.popleft()
            if self._ended is not None:
                raise ConnectionFailed(f"{self.broker}: the connection was lost: {self._ended}")
            left = until - time.monotonic()
            if left <= 0:
                return
            self._step(left)

    def text(self, topic: str) -> str | None:
        """The last text heard on a topic of the broker's own, under ``$SYS/``."""
        return self._texts.get(topic)

    def close(self) -> None:
        """Disconnect."""
        self._connection.close()

    def __enter__(self) -> Observer:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def connect_first(
    brokers: Sequence[BrokerUrl],
    credentials: Credentials,
    site: str,
    sender: str,
    timeout: float,
    again: Callable[[], Sequence[BrokerUrl]] | None = None,
) -> Observer:
    """Connect to the first broker that accepts the login; ConnectionFailed after ``timeout`` seconds. ``again`` looks
    anew for brokers where nobody named them. Raises ConfigError where none of them is a broker."""
    brokers = [broker for broker in brokers if not broker.coap]
    if not brokers:
        raise ConfigError(f"this command needs the URL of a broker, mqtt://... or mqtts://...; {NO_BROKER}")
    until = time.monotonic() + timeout
    while True:
        errors = []
        for broker in brokers:
            try:
                return Observer(broker, credentials, site, sender)
            except ConnectionFailed as error:
                errors.append(f"\n  {error}")
        if time.monotonic() + PAUSE > until:
            raise ConnectionFailed(
                f"no broker of site {site!r} could be reached within {timeout:g} s:{''.join(errors)}\n"
                + ("" if again is None else others(site))
                + "Is a node or broker running there? `fog doctor` looks for the cause."
            )
        time.sleep(PAUSE)
        brokers = brokers if again is None else again()
