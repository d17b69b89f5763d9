"""The connections of a device: one at a time is in use, to the first broker that answers.

One that has fallen silent counts as down, so that no node is blamed for it, but is kept until another broker has
accepted the login, or until it ends by itself: it may yet prove to be alive.
"""

from __future__ import annotations

import logging
import random
import selectors
import socket
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from functools import partial

from fogsdk.core.events import LinkDown, LinkUp
from fogsdk.device.brokers import MOST
from fogsdk.device.dialer import Dialer, Find
from fogsdk.device.mqtt import MqttConnection
from fogsdk.device.url import BrokerUrl, Credentials

log = logging.getLogger(__name__)

KEEPALIVE = 3
"""Seconds of the MQTT keepalive: the only broker there is, if its host lost its power, is given up after twice that."""
LOGIN_TIMEOUT = 5.0
HOUSEKEEPING = 1.0


class Connections:
    """Opens connections of the client ``me``, and has ``selector`` tell of them, with the connection as data.

    ``current`` is the one in use; ``up`` says whether it can be relied on, and ``tell`` is told when that changes. All
    is for the thread of the driver; ``wake`` is called to wake that. ``find`` finds brokers beside these.
    """

    def __init__(
        self,
        me: str,
        brokers: Sequence[BrokerUrl],
        credentials: Credentials,
        selector: selectors.BaseSelector,
        hear: Callable[[str, str, bytes], None],
        tell: Callable[[LinkUp | LinkDown], None],
        wake: Callable[[], None],
        find: Find | None = None,
    ) -> None:
        self.up = threading.Event()
        self.errors: dict[str, str] = {}
        self.current: MqttConnection | None = None
        self.subscriptions: dict[str, None] = {}
        self._me = me
        self._credentials = credentials
        self._selector = selector
        self._hear = hear
        self._tell = tell
        self._dialer = Dialer(brokers, self._make, wake, find)
        self._since = self._housekeeping = self._dial_at = 0.0
        self._logins: dict[MqttConnection, float] = {}
        self._sockets: dict[MqttConnection, socket.socket] = {}
        self._full: dict[MqttConnection, None] = {}  # those for whose sockets to take more is waited
        self._ended: deque[tuple[MqttConnection, str | None]] = deque()

    # ------------------------------------------------------------ each turn of the thread

    def review(self) -> None:
        """See to what became of connections since the last call."""
        now = time.monotonic()
        if now >= self._housekeeping:
            self._housekeep(now)
        if self._dialer.has_opened:
            self._take_opened(now)
        if self._ended:
            self._settle()
        self._review()
        but = None if self.current is None else self.current.broker
        self._dial_at = self._dialer.dial(now, but) if self._wants_another() else now

    def is_steady(self) -> bool:
        """Whether a connection is in use, and there is nothing else to see to."""
        current = self.current
        return (
            current is not None
            and self.up.is_set()
            and not (current.silent or self._ended)
            and time.monotonic() < self._housekeeping
        )

    def flush(self) -> None:
        """Write what is to be written, as far as that goes now."""
        for connection in self._open_ones():
            if connection.wants_write:
                connection.flush()
                self._listen(connection)
            elif connection in self._full:
                self._listen(connection)

    def wait(self, watched: bool) -> float:
        """Returns the seconds until there is something to see to. The connection in use is found out to be silent while
        it is ``watched``."""
        if self._ended:
            return 0.0
        now, wait, current = time.monotonic(), HOUSEKEEPING, self.current
        if current is not None:
            wait = min(wait, current.watch(watched))
        if self._wants_another():
            wait = min(wait, self._dial_at - now)
        return wait

    def end_all(self, reason: str) -> None:
        """Give every connection up."""
        for connection in self._open_ones():
            self._end(connection, reason)

    def lose(self, reason: str) -> None:
        """Give the connection in use up."""
        if self.current is not None:
            self._lost(self.current, reason)

    def close(self) -> None:
        """Say what is still to be said, and close everything."""
        self._dialer.close()
        for connection in self._open_ones():
            connection.close()
        self.up.clear()

    def _wants_another(self) -> bool:
        return self.current is None or self.current.silent

    def _listen(self, connection: MqttConnection) -> None:
        sock = connection.socket
        if sock is None:
            return  # the writing found it broken
        wants_write = connection.wants_write
        if wants_write == (connection in self._full):
            return
        if wants_write:
            self._full[connection] = None
            self._selector.modify(sock, selectors.EVENT_READ | selectors.EVENT_WRITE, connection)
        else:
            del self._full[connection]
            self._selector.modify(sock, selectors.EVENT_READ, connection)

    def _open_ones(self) -> list[MqttConnection]:
        return [*self._logins, *([self.current] if self.current else [])]

    def _housekeep(self, now: float) -> None:
        self._housekeeping = now + HOUSEKEEPING
        for connection, login_by in list(self._logins.items()):
            if now > login_by:
                self._end(connection, "no answer")
        if self.current is not None:
            self.current.housekeep()

    # ------------------------------------------------------------ connections come and go

    def _make(self, broker: BrokerUrl) -> MqttConnection:
        link = str(broker)
        connection = MqttConnection(
            broker,
            self._credentials,
            f"{self._me}-{random.randrange(16**6):06x}",
            keepalive=KEEPALIVE,
            on_up=lambda: self._ended.append((connection, None)),
            on_down=lambda reason: self._end(connection, reason),
            on_message=partial(self._hear, link),
            on_close=lambda: self._forget(connection),
        )
        return connection

    def _end(self, connection: MqttConnection, reason: str) -> None:
        self._ended.append((connection, reason))

    def _forget(self, connection: MqttConnection) -> None:
        self._full.pop(connection, None)
        sock = self._sockets.pop(connection, None)
        if sock is not None:
            self._selector.unregister(sock)

    def _take_opened(self, now: float) -> None:
        for broker, outcome in self._dialer.opened():
            if isinstance(outcome, str):
                self._failed(broker, outcome)
            elif self._wants_another():
                self._sockets[outcome] = outcome.socket
                self._selector.register(outcome.socket, selectors.EVENT_READ, outcome)
                self._logins[outcome] = now + LOGIN_TIMEOUT
            else:
                self._dismiss(outcome)

    def _settle(self) -> None:
        """Logins were accepted, and connections ended: here, and not in the middle of reading from them."""
        while self._ended:
            connection, reason = self._ended.popleft()
            if reason is None and connection in self._logins:
                self._accepted(connection)
            elif reason is not None and connection is self.current:
                self._lost(connection, reason)
            elif reason is not None and self._logins.pop(connection, None) is not None:
                connection.close()
                self._failed(connection.broker, f"{connection.broker}: login not accepted: {reason}")

    def _accepted(self, connection: MqttConnection) -> None:
        if not self._wants_another():  # the silent one spoke up again
            self._dismiss(connection)
            return
        if self.current is not None:
            self._lost(self.current, "it fell silent, and another broker is there")
        log.info("connected to %s", connection.broker)
        del self._logins[connection]
        for other in list(self._logins):
            self._dismiss(other)
        self._dialer.done(connection.broker)
        self.current, self._since = connection, time.monotonic()
        self._go_up(connection)

    def _dismiss(self, connection: MqttConnection) -> None:
        self._logins.pop(connection, None)
        connection.close()
        self._dialer.done(connection.broker)

    def _lost(self, connection: MqttConnection, reason: str) -> None:
        log.info("connection to %s lost: %s", connection.broker, reason)
        self.current = None
        connection.close()
        now = time.monotonic()
        self._dialer.lost(connection.broker, now, now - self._since)
        self._go_down(connection)

    def _review(self) -> None:
        connection = self.current
        if connection is None or connection.silent != self.up.is_set():
            return
        if connection.silent:
            log.info("%s is silent", connection.broker)
            self._go_down(connection)
        else:
            log.info("%s is there again", connection.broker)
            self._go_up(connection)

    def _go_up(self, connection: MqttConnection) -> None:
        connection.subscribe(list(self.subscriptions))
        self._tell(LinkUp(connection.name))
        self.up.set()

    def _go_down(self, connection: MqttConnection) -> None:
        if self.up.is_set():
            self.up.clear()
            self._tell(LinkDown(connection.name))

    def _failed(self, broker: BrokerUrl, why: str) -> None:
        if self.errors.get(str(broker)) != why:
            log.info("cannot connect: %s", why)
        self.errors[str(broker)] = why
        if len(self.errors) > MOST:  # found brokers come and go
            del self.errors[next(iter(self.errors))]
        self._dialer.failed(broker, time.monotonic())
