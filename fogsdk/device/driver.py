"""The SDK's thread: one connection at a time to the first broker that answers, and the client core behind it.

All reading and writing happens on this thread; other threads pass events in under a lock and wake it.
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
from fogsdk.device.mqtt import MqttConnection
from fogsdk.device.notes import NoteLog
from fogsdk.device.url import BrokerUrl, Credentials
from fogsdk.errors import ConnectionFailed, WireError
from fogsdk.wire import codec, topics
from fogsdk.wire.messages import Beat, Birth, Gone, Malformed

log = logging.getLogger(__name__)

KEEPALIVE = 3
"""Seconds of the MQTT keepalive: a broker whose host lost its power is given up after twice that."""
FIRST_PAUSE, LONGEST_PAUSE = 0.1, 10.0
"""Seconds between two rounds over all brokers while none answers: doubled each time, and shortened by chance so that
devices do not come back all at once."""
LOGIN_TIMEOUT = 5.0
HOUSEKEEPING = 1.0
A_MOMENT = 0.1


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
        self._brokers = list(brokers)
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
        self._closing = False
        self._wake_r, self._wake_w = socket.socketpair()
        self._wake_r.setblocking(False)
        self._wake_w.setblocking(False)
        self._awake = False
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._wake_r, selectors.EVENT_READ)
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
        connected = self._connection is not None
        self._closing = True
        self._wake()
        if self._thread.is_alive() and not self.on_this_thread():
            # A connection takes its leave. An attempt to connect cannot be broken off: it ends by itself, in seconds.
            self._thread.join(None if connected else A_MOMENT)

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
        pause = FIRST_PAUSE
        brokers = self._brokers
        try:
            while not self._closing:
                for index, broker in enumerate(brokers):
                    if self._guarded_session(broker):
                        pause = FIRST_PAUSE
                        brokers = brokers[index + 1 :] + brokers[: index + 1]  # the one just lost comes last
                        break
                else:
                    self._idle(pause * random.uniform(0.5, 1.0))
                    pause = min(LONGEST_PAUSE, pause * 2)
        finally:
            self._selector.close()
            self._wake_r.close()
            self._wake_w.close()

    def _guarded_session(self, broker: BrokerUrl) -> bool:
        """A bug on this thread must not leave every caller waiting for ever: it is logged, and the thread goes on."""
        try:
            return self._session(broker)
        except Exception as error:
            log.exception("a bug in the connection to %s", broker)
            self.errors[str(broker)] = f"{broker}: {type(error).__name__}: {error}"
            return False

    def _session(self, broker: BrokerUrl) -> bool:
        """Stay connected to one broker as long as it lasts. True when its login was accepted at all."""
        if self._closing:
            return True
        link = str(broker)
        ended: list[str] = []
        connection = MqttConnection(
            broker,
            self._credentials,
            f"{self._client.me}-{random.randrange(16**6):06x}",
            keepalive=KEEPALIVE,
            on_up=lambda: self._link_up(link),
            on_down=ended.append,
            on_message=lambda topic, payload: self._message(link, topic, payload),
            on_close=self._forget_sockets,
        )
        try:
            connection.open()
        except ConnectionFailed as error:
            self.errors[link] = str(error)
            return False
        self._connection, sock = connection, connection.socket
        self._selector.register(sock, selectors.EVENT_READ)
        try:
            self._serve(connection, ended)
        finally:
            self._connection = None
            was_up = self.up.is_set()
            self.up.clear()
            connection.close()
        reason = ended[0] if ended else ""
        if was_up:
            self.tell(LinkDown(link))
            if not self._closing:
                log.info("connection to %s lost: %s", link, reason)
        else:
            self.errors[link] = f"{link}: login not accepted: {reason or 'no answer'}"
        return was_up

    def _serve(self, connection: MqttConnection, ended: list[str]) -> None:
        login_by = time.monotonic() + LOGIN_TIMEOUT
        housekeeping = 0.0
        while not ended and not self._closing:
            self._step(connection)
            now = time.monotonic()
            if now >= housekeeping:
                connection.housekeep()
                housekeeping = now + HOUSEKEEPING
            if not self.up.is_set() and now > login_by:
                return
        if self._closing and not ended:
            self._flush(connection)

    def _step(self, connection: MqttConnection) -> None:
        """Write what is to be written, wait for something to happen, and take it in."""
        self._flush(connection)
        if connection.socket is None:
            return  # the writing found it broken
        wanted = selectors.EVENT_READ | (selectors.EVENT_WRITE if connection.wants_write else 0)
        if self._selector.get_key(connection.socket).events != wanted:
            self._selector.modify(connection.socket, wanted)
        for key, events in self._selector.select(self._timeout()):
            if key.fileobj is self._wake_r:
                self._drain()
                continue
            if events & selectors.EVENT_READ:
                connection.readable()
            if events & selectors.EVENT_WRITE:
                connection.writable()
        self._tick()
        self._tell_news()

    def _flush(self, connection: MqttConnection) -> None:
        with self._lock:
            packets = self._outbox.pack()
        link = str(connection.broker)
        for packet in packets:
            if packet.link == link:  # what was for a lost connection is sent again by the ledger
                connection.publish(packet.topic, packet.payload, packet.retain)
        if connection.wants_write:
            connection.flush()

    def _forget_sockets(self) -> None:
        for key in list(self._selector.get_map().values()):
            if key.fileobj is not self._wake_r:
                self._selector.unregister(key.fileobj)

    def _timeout(self) -> float:
        with self._lock:
            deadline = self._client.deadline()
        if self._inbox:
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

    def _idle(self, seconds: float) -> None:
        """No broker answers: deadlines pass all the same."""
        until = time.monotonic() + seconds
        while not self._closing and (left := until - time.monotonic()) > 0:
            if self._selector.select(min(left, self._timeout())):
                self._drain()
            with self._lock:
                self._outbox.pack()
            self._tick()
            self._tell_news()

    # ------------------------------------------------------------ what comes in

    def _link_up(self, link: str) -> None:
        assert self._connection is not None
        log.info("connected to %s", link)
        self._connection.subscribe(list(self._subscriptions))
        self.tell(LinkUp(link))
        self.up.set()

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
            elif at.kind == "reply":
                self.tell(Replied(link, message))  # type: ignore[arg-type]
