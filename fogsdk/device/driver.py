"""The SDK's thread: the connections to brokers, and the client core behind them.

One thread at a time reads and sees to the connections (``turns`` says which); others pass events in under a lock and
wake it. What is submitted while it is awake, or while answers are awaited, leaves together; a lone task is sent by the
thread that submits it.
"""

from __future__ import annotations

import logging
import selectors
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence

from fogsdk.core.bundler import Bundler
from fogsdk.core.commands import Advanced, Command, Note, Send, Settled, Subscribe
from fogsdk.core.events import Carried, Event, NodeHeard, Replied, Tick
from fogsdk.core.hedging import SHORTEST
from fogsdk.core.outbox import Outbox
from fogsdk.core.transfers import Transfers
from fogsdk.device.clock import clock
from fogsdk.device.connections import KEEPALIVE, Connections
from fogsdk.device.dialer import Find
from fogsdk.device.memory import Memory
from fogsdk.device.mqtt import MqttConnection
from fogsdk.device.notes import NoteLog
from fogsdk.device.turns import Turns, Wait
from fogsdk.device.url import BrokerUrl, Credentials
from fogsdk.device.waker import Waker
from fogsdk.errors import WireError
from fogsdk.wire import codec, topics
from fogsdk.wire.messages import Birth, Kept, Malformed, Piece, Presence, Reply

log = logging.getLogger(__name__)

AFTER_A_BUG = 0.1
OFTEN = SHORTEST
"""Milliseconds between lone tasks, at the most, where they come often. Then the SDK's thread looks as often, before
anything can be due about one that was sent meanwhile, and so need not be woken for each."""
ROOM = 2**30
"""Bytes of large results that may be on their way at once; others wait for them."""
SLEPT = 1500 * KEEPALIVE
"""Milliseconds between two turns of the thread after which the broker has given this client up (MQTT-3.1.2-24)."""


class Driver:
    """Runs a :class:`Bundler` core over MQTT.

    ``on_settled`` and ``on_advanced`` are called on the thread that reads; twice for one thing, if it was interrupted.
    """

    def __init__(
        self,
        client: Bundler,
        brokers: Sequence[BrokerUrl],
        credentials: Credentials,
        on_settled: Callable[[Settled], None],
        on_advanced: Callable[[Advanced], None],
        find: Find | None = None,
    ) -> None:
        self._client = client
        self._core = Transfers(
            client, client.handle, client.site, client.me, allocate=Memory, room=ROOM, inline=client.inline
        )
        self._mine = topics.reply(client.site, client.me)
        self._on_settled = on_settled
        self._on_advanced = on_advanced
        self._lock = threading.RLock()
        self._handling = False
        self._inbox: deque[Event] = deque()
        self._outbox = Outbox()
        self._news: deque[Settled | Advanced] = deque()
        self._notes = NoteLog(log)
        self._selector = selectors.DefaultSelector()
        self._waker = Waker(self._selector)
        self._connections = Connections(
            client.me, brokers, credentials, self._selector, self._hear, self.tell, self._waker.wake, find
        )
        self.up, self.errors = self._connections.up, self._connections.errors
        self._turns = Turns(
            self._selector,
            self._guarded_turn,
            client.is_lone,
            self._connections.is_steady,
            self._is_early,
            self.wake,
            self._interrupted,
        )
        self.attend = self._turns.attend
        self._turned = clock()
        self._due: int | None = None
        self._lone_at = self._lone_before = -OFTEN
        self._thread = threading.Thread(target=self._run, name="fogsdk", daemon=True)
        self._do(client.start())

    # ------------------------------------------------------------ for any thread

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def tell(self, event: Event, awaited: bool = False) -> None:
        """Pass an event to the core. ``awaited``: the caller attends to the task that it submits at once."""
        self._inbox.append(event)
        try:
            self._work()
            if not self._turns.mine and not self._send_lone(awaited):
                self.wake()
        except BaseException:
            self._interrupted()
            raise

    def wake(self) -> None:
        """Have whoever reads see what there is to do."""
        self._waker.wake()

    def _interrupted(self) -> None:
        """An exception came out of the blue, as KeyboardInterrupt does, in the middle of something: nobody knows how
        far the connection is. The ledger asks after everything when there is another."""
        self._client.interrupted = True
        connection = self._connections.current
        if connection is not None:
            connection.abandon()
        self._connections.end_all("interrupted")
        self._waker.wake(anyway=True)

    def _send_lone(self, awaited: bool) -> bool:
        """Send what was submitted, if nothing else is out, and so nothing can be on its way that it could leave with
        (RFC 896). Returns whether the thread can go on sleeping."""
        connection = self._connections.current
        if connection is None or self._client.unsettled != 1:
            return False
        with self._lock:
            if self._handling:
                return False
            self._publish(connection)
            out = connection.write()
            self._lone_before, self._lone_at = self._lone_at, clock()
        if awaited and self._turns.may_lead:
            return out and not self._is_busy()
        return out and not self._is_early()

    def _is_early(self) -> bool:
        """Whether there is something to do before whoever reads would look for it."""
        with self._lock:
            due = self._core.deadline()
        return self._is_busy() or (due is not None and due < self._turns.awake_by)

    def _work(self) -> None:
        """Have the core handle what is in the inbox; where another call is doing so, it goes on with this.

        It may be on this very thread: a future that the garbage collector finds in the middle of it calls in, too.
        """
        while self._inbox and not self._handling:
            with self._lock:
                if self._handling:
                    return
                try:
                    self._handling = True
                    now = clock()
                    for _ in range(len(self._inbox)):
                        self._do(self._core.handle(self._inbox.popleft(), now))
                finally:
                    self._handling = False

    def nodes(self) -> dict[str, Birth]:
        """The nodes that are there, with what they said of themselves."""
        with self._lock:
            return {m.node: m.birth for m in self._client.directory.members.values() if m.present}

    def on_this_thread(self) -> bool:
        """Whether the caller is the one that reads, and so in a callback."""
        return self._turns.mine

    def close(self) -> None:
        """End the connection and the thread; what is not settled stays so."""
        self._turns.over()
        if self._thread.is_alive() and not self.on_this_thread():
            self._thread.join()

    # ------------------------------------------------------------ the core's commands

    def _do(self, commands: list[Command]) -> None:
        for command in commands:
            match command:
                case Send():
                    self._outbox.add(command)
                case Settled() | Advanced():
                    self._news.append(command)
                case Subscribe():
                    self._connections.subscriptions[command.topic] = None
                case Note():
                    self._notes.add(command)

    def _tell_news(self) -> None:
        while self._news:
            try:
                match each := self._news[0]:
                    case Settled():
                        self._on_settled(each)
                    case Advanced():
                        self._on_advanced(each)
            except Exception:
                log.exception("a bug, on news")
            self._news.popleft()  # not before: what is interrupted is told again

    # ------------------------------------------------------------ the thread

    def _run(self) -> None:
        try:
            self._turns.run()
        finally:
            self._turns.end(self._hang_up)

    def _is_busy(self) -> bool:
        return bool(self._inbox or self._outbox or self._news or self._client.open)

    def _guarded_turn(self, wait: Wait, leads: bool) -> None:
        """A bug on this thread must not leave every caller waiting for ever: it is logged, and the thread goes on."""
        try:
            self._turn(wait, leads)
        except Exception:
            log.exception("a bug on the thread of the connections")
            self._client.interrupted = True
            self._connections.end_all("a bug")
            time.sleep(AFTER_A_BUG)

    def _turn(self, wait: Wait, leads: bool) -> None:
        """See to connections, and to what the callbacks submitted; wait for something to happen, take it in, write what
        is to be written, and tell the news."""
        self._turns.is_between = False
        if not leads:
            self._connections.review()
        self._flush()
        seconds = self._wait()
        self._turns.is_between = True
        found = wait(seconds)
        self._turns.is_between = False
        for key, events in found:
            if key.data is None:
                self._waker.drain()
                continue
            if events & selectors.EVENT_READ:
                key.data.readable()
            if events & selectors.EVENT_WRITE:
                key.data.writable()
        self._tick()
        if self._outbox or self._client.open:
            self._flush()
        if self._news:
            self._tell_news()
        self._turns.is_between = True

    def _wait(self) -> float:
        """Seconds until there is something to do though nothing comes in."""
        wait = self._connections.wait(watched=self._client.unsettled > 0)
        with self._lock:  # to the end: who submits compares what is due with what is said here
            self._client.catch_up()
            now, due = clock(), self._core.deadline()
            if self._is_busy():
                wait = 0.0
            elif self._lone_at - self._lone_before < OFTEN and now - self._lone_at < OFTEN:
                wait = min(wait, OFTEN / 1000)
            if due is not None:
                wait = min(wait, (due - now) / 1000)
            wait = max(0.0, wait)
            self._due, self._turns.awake_by = due, now + int(wait * 1000)
        return wait

    def _flush(self) -> None:
        if self._outbox or self._client.open:
            with self._lock:
                self._publish(self._connections.current)
        self._connections.flush()

    def _publish(self, connection: MqttConnection | None) -> None:
        if self._client.open and not self._handling:
            self._handling = True
            try:
                self._do(self._client.send_open(clock()))
            finally:
                self._handling = False
        for packet in self._outbox.pack():
            if connection is not None and packet.link == connection.name:  # the ledger sends again what was for another
                connection.publish(packet.topic, packet.payload, packet.retain)

    def _hang_up(self) -> None:
        """Say what is still to be said, and close everything."""
        self._flush()
        self._connections.close()
        self._selector.close()
        self._waker.close()

    def _tick(self) -> None:
        before, self._turned = self._turned, clock()
        if self._turned - before > SLEPT:
            self._slept()
        if self._due is not None and self._due <= self._turned:
            self._inbox.append(Tick())
        self._work()

    def _slept(self) -> None:
        """This process did not run, as an app in the background does not. Its sockets are dead, though they may not
        show it, and on iOS even those to itself; that it heard nothing is no fault of the nodes."""
        self._waker.renew()
        self._connections.lose("nothing ran here for a while")

    # ------------------------------------------------------------ what comes in

    def _hear(self, link: str, topic: str, payload: bytes) -> None:
        try:
            node = "" if topic == self._mine else topics.parse(topic).node
            messages = codec.decode(payload)
        except WireError as error:
            self._notes.add(Note("malformed", f"a message on {topic} cannot be read: {error}"))
            return
        for message in messages:
            if isinstance(message, Malformed):
                self._notes.add(Note("malformed", f"a message on {topic} cannot be read: {message.message}"))
            elif node:
                if isinstance(message, Presence):
                    self._inbox.append(NodeHeard(link, node, message))
            elif isinstance(message, (Reply, Kept)):
                self._inbox.append(Replied(link, message))
            elif isinstance(message, Piece):
                self._inbox.append(Carried(link, "", message))
        self._work()
