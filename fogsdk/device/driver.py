"""The SDK's thread: one connection at a time to the first broker that answers, and the client core behind it.

All reading and writing happens on this thread; other threads pass events in under a lock and wake it. A connection
that has fallen silent counts as down, so that no node is blamed for it, but is kept until another broker has accepted
the login, or until it ends by itself: it may yet prove to be alive.
"""

from __future__ import annotations

import contextlib
import logging
import random
import selectors
import socket
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence

from fogsdk.core.client import Client
from fogsdk.core.commands import Advanced, Command, Note, Send, Settled, Subscribe
from fogsdk.core.events import Event, LinkDown, LinkUp, NodeHeard, Replied, Tick
from fogsdk.core.outbox import Outbox
from fogsdk.device.dialer import Dialer
from fogsdk.device.mqtt import MqttConnection
from fogsdk.device.notes import NoteLog
from fogsdk.device.url import BrokerUrl, Credentials
from fogsdk.errors import WireError
from fogsdk.wire import codec, topics
from fogsdk.wire.messages import Beat, Birth, Gone, Malformed, Replica, Seek

log = logging.getLogger(__name__)

KEEPALIVE = 3
"""Seconds of the MQTT keepalive: the only broker there is, if its host lost its power, is given up after twice that."""
LOGIN_TIMEOUT = 5.0
HOUSEKEEPING = 1.0
AFTER_A_BUG = 0.1


def clock() -> int:
    """Milliseconds of a clock that never goes back."""
    return time.monotonic_ns() // 1_000_000


class Driver:
    """Runs a :class:`Client` core over MQTT.

    ``on_settled`` and ``on_advanced`` are called on the driver's thread with no lock held.
    """

    def __init__(
        self,
        client: Client,
        brokers: Sequence[BrokerUrl],
        credentials: Credentials,
        on_settled: Callable[[Settled], None],
        on_advanced: Callable[[Advanced], None],
    ) -> None:
        self.up = threading.Event()
        self.errors: dict[str, str] = {}
        self._client = client
        self._credentials = credentials
        self._on_settled = on_settled
        self._on_advanced = on_advanced
        self._lock = threading.Lock()
        self._inbox: deque[Event] = deque()
        self._outbox = Outbox()
        self._subscriptions: dict[str, None] = {}
        self._news: list[Settled | Advanced] = []
        self._notes = NoteLog(log)
        self._connection: MqttConnection | None = None
        self._since = self._housekeeping = 0.0
        self._logins: dict[MqttConnection, float] = {}
        self._sockets: dict[MqttConnection, socket.socket] = {}
        self._answers: deque[tuple[MqttConnection, str | None]] = deque()
        self._dialer = Dialer(brokers, self._make, self._wake)
        self._closing = False
        self._wake_r, self._wake_w = socket.socketpair()
        self._wake_r.setblocking(False)
        self._wake_w.setblocking(False)
        self._awake = False
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._wake_r, selectors.EVENT_READ, None)
        self._thread = threading.Thread(target=self._run, name="fogsdk", daemon=True)
        self._do(client.start())

    # ------------------------------------------------------------ for any thread

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def tell(self, event: Event) -> None:
        """Pass an event to the core."""
        self._inbox.append(event)
        self._work()
        self._wake()

    def _work(self) -> None:
        """Have the core handle what is in the inbox; where another call is doing so, it goes on with this.

        Nobody waits for the lock: a future that the garbage collector finds in the middle of it may call in, too.
        """
        while self._inbox and self._lock.acquire(blocking=False):
            try:
                while self._inbox:
                    self._do(self._client.handle(self._inbox.popleft(), clock()))
            finally:
                self._lock.release()

    def nodes(self) -> dict[str, Birth]:
        """The nodes that are there, with what they said of themselves."""
        with self._lock:
            return {m.node: m.birth for m in self._client.directory.members.values() if m.present}

    def on_this_thread(self) -> bool:
        """Whether the caller is the driver's own thread."""
        return threading.current_thread() is self._thread

    def close(self) -> None:
        """End the connection and the thread; what is not settled stays so."""
        self._closing = True
        self._wake()
        if self._thread.is_alive() and not self.on_this_thread():
            self._thread.join()

    def _wake(self) -> None:
        if self._awake or self.on_this_thread():
            return
        self._awake = True
        with contextlib.suppress(OSError):  # the pipe is full, or closed: the thread is awake, or has ended
            self._wake_w.send(b"\0")

    # ------------------------------------------------------------ the core's commands

    def _do(self, commands: list[Command]) -> None:
        for command in commands:
            match command:
                case Send():
                    self._outbox.add(command)
                case Settled() | Advanced():
                    self._news.append(command)
                case Subscribe():
                    self._subscriptions[command.topic] = None
                case Note():
                    self._notes.add(command)

    def _tell_news(self) -> None:
        with self._lock:
            news, self._news = self._news, []
        for each in news:
            if isinstance(each, Settled):
                self._on_settled(each)
            else:
                self._on_advanced(each)

    # ------------------------------------------------------------ the thread

    def _run(self) -> None:
        try:
            while not self._closing:
                self._guarded_turn()
        finally:
            self._hang_up()
            self._selector.close()
            self._wake_r.close()
            self._wake_w.close()

    def _guarded_turn(self) -> None:
        """A bug on this thread must not leave every caller waiting for ever: it is logged, and the thread goes on."""
        try:
            self._turn()
        except Exception:
            log.exception("a bug in the connection to %s", self._connection and self._connection.broker)
            for connection in self._open_ones():
                self._end(connection, "a bug")
            time.sleep(AFTER_A_BUG)

    def _turn(self) -> None:
        """See to what became of connections, write what is to be written, wait for something to happen, take it in."""
        self._take_opened()
        self._settle_answers()
        self._review()
        self._flush()
        for key, events in self._selector.select(self._wait()):
            if key.data is None:
                self._drain()
                continue
            if events & selectors.EVENT_READ:
                key.data.readable()
            if events & selectors.EVENT_WRITE:
                key.data.writable()
        self._tick()
        self._tell_news()
        self._housekeep()

    def _wait(self) -> float:
        """Seconds until there is something to do though nothing comes in. What is due at once is begun here."""
        now, wait = time.monotonic(), self._timeout()
        connection = self._connection
        if connection is not None and self._client.ledger.entries:
            wait = min(wait, connection.watch())
        elif connection is not None:
            connection.watch(False)
        if self._wants_another():
            wait = min(wait, self._dialer.dial(now, None if connection is None else connection.broker) - now)
        return max(0.0, wait)

    def _wants_another(self) -> bool:
        return self._connection is None or self._connection.silent

    def _flush(self) -> None:
        with self._lock:
            packets = self._outbox.pack()
        if self._connection is not None:
            link = str(self._connection.broker)
            for packet in packets:
                if packet.link == link:  # what was for a lost connection is sent again by the ledger
                    self._connection.publish(packet.topic, packet.payload, packet.retain)
        for connection in self._open_ones():
            if connection.wants_write:
                connection.flush()
            self._listen(connection)

    def _listen(self, connection: MqttConnection) -> None:
        sock = connection.socket
        if sock is None:
            return  # the writing found it broken
        wanted = selectors.EVENT_READ | (selectors.EVENT_WRITE if connection.wants_write else 0)
        if self._selector.get_key(sock).events != wanted:
            self._selector.modify(sock, wanted, connection)

    def _open_ones(self) -> list[MqttConnection]:
        return [*self._logins, *([self._connection] if self._connection else [])]

    def _housekeep(self) -> None:
        now = time.monotonic()
        if now < self._housekeeping:
            return
        self._housekeeping = now + HOUSEKEEPING
        for connection, login_by in list(self._logins.items()):
            if now > login_by:
                self._end(connection, "no answer")
        if self._connection is not None:
            self._connection.housekeep()

    def _hang_up(self) -> None:
        """Say what is still to be said, and close everything."""
        self._dialer.close()
        self._flush()
        for connection in self._open_ones():
            connection.close()
        self.up.clear()

    # ------------------------------------------------------------ connections come and go

    def _make(self, broker: BrokerUrl) -> MqttConnection:
        link = str(broker)
        connection = MqttConnection(
            broker,
            self._credentials,
            f"{self._client.me}-{random.randrange(16**6):06x}",
            keepalive=KEEPALIVE,
            on_up=lambda: self._answers.append((connection, None)),
            on_down=lambda reason: self._end(connection, reason),
            on_message=lambda topic, payload: self._message(link, topic, payload),
            on_close=lambda: self._forget(connection),
        )
        return connection

    def _end(self, connection: MqttConnection, reason: str) -> None:
        self._answers.append((connection, reason))

    def _forget(self, connection: MqttConnection) -> None:
        sock = self._sockets.pop(connection, None)
        if sock is not None:
            self._selector.unregister(sock)

    def _take_opened(self) -> None:
        now = time.monotonic()
        for broker, outcome in self._dialer.opened():
            if isinstance(outcome, str):
                self._failed(broker, outcome)
            elif self._wants_another():
                self._sockets[outcome] = outcome.socket
                self._selector.register(outcome.socket, selectors.EVENT_READ, outcome)
                self._logins[outcome] = now + LOGIN_TIMEOUT
            else:
                self._dismiss(outcome)

    def _settle_answers(self) -> None:
        """Logins were accepted, and connections ended: here, and not in the middle of reading from them."""
        while self._answers:
            connection, reason = self._answers.popleft()
            if reason is None and connection in self._logins:
                self._accepted(connection)
            elif reason is not None and connection is self._connection:
                self._lost(connection, reason)
            elif reason is not None and self._logins.pop(connection, None) is not None:
                connection.close()
                self._failed(connection.broker, f"{connection.broker}: login not accepted: {reason}")

    def _accepted(self, connection: MqttConnection) -> None:
        if not self._wants_another():  # the silent one spoke up again
            self._dismiss(connection)
            return
        if self._connection is not None:
            self._lost(self._connection, "it fell silent, and another broker is there")
        log.info("connected to %s", connection.broker)
        del self._logins[connection]
        for other in list(self._logins):
            self._dismiss(other)
        self._dialer.done(connection.broker)
        self._connection, self._since = connection, time.monotonic()
        self._go_up(connection)

    def _dismiss(self, connection: MqttConnection) -> None:
        self._logins.pop(connection, None)
        connection.close()
        self._dialer.done(connection.broker)

    def _lost(self, connection: MqttConnection, reason: str) -> None:
        log.info("connection to %s lost: %s", connection.broker, reason)
        self._connection = None
        connection.close()
        now = time.monotonic()
        self._dialer.lost(connection.broker, now, now - self._since)
        self._go_down(connection)

    def _review(self) -> None:
        connection = self._connection
        if connection is None or connection.silent != self.up.is_set():
            return
        if connection.silent:
            log.info("%s is silent", connection.broker)
            self._go_down(connection)
        else:
            log.info("%s is there again", connection.broker)
            self._go_up(connection)

    def _go_up(self, connection: MqttConnection) -> None:
        connection.subscribe(list(self._subscriptions))
        self.tell(LinkUp(str(connection.broker)))
        self.up.set()

    def _go_down(self, connection: MqttConnection) -> None:
        if self.up.is_set():
            self.up.clear()
            self.tell(LinkDown(str(connection.broker)))

    def _failed(self, broker: BrokerUrl, why: str) -> None:
        if self.errors.get(str(broker)) != why:
            log.info("cannot connect: %s", why)
        self.errors[str(broker)] = why
        self._dialer.failed(broker, time.monotonic())

    def _timeout(self) -> float:
        with self._lock:
            deadline = self._client.deadline()
        if self._inbox or self._answers:
            return 0.0
        if deadline is None:
            return HOUSEKEEPING
        return min(HOUSEKEEPING, max(0.0, (deadline - clock()) / 1000))

    def _tick(self) -> None:
        with self._lock:
            deadline = self._client.deadline()
        if deadline is not None and deadline <= clock():
            self.tell(Tick())
        self._work()

    def _drain(self) -> None:
        try:
            while self._wake_r.recv(4096):
                pass
        except BlockingIOError:
            pass
        # Not before: the byte of one who wakes this thread meanwhile would be taken too, and no other ever sent.
        self._awake = False

    # ------------------------------------------------------------ what comes in

    def _message(self, link: str, topic: str, payload: bytes) -> None:
        try:
            at = topics.parse(topic)
            messages = codec.decode(payload)
        except WireError as error:
            self._notes.add(Note("malformed", f"a message on {topic} cannot be read: {error}"))
            return
        for message in messages:
            if isinstance(message, Malformed):
                self._notes.add(Note("malformed", f"a message on {topic} cannot be read: {message.message}"))
            elif isinstance(message, (Birth, Gone, Beat)):
                self.tell(NodeHeard(link, at.node, message))
            elif at.kind == "reply" and not isinstance(message, (Replica, Seek)):
                self.tell(Replied(link, message))  # type: ignore[arg-type]
