"""The daemon's shell around the node core: events in from brokers, executor and clock, commands out to them.

Everything runs on one asyncio event loop; there is one timer, armed again after each call of the core.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Iterable
from functools import partial
from typing import TYPE_CHECKING

from fogsdk.core.commands import (
    Command,
    Disturb,
    Leave,
    Note,
    Reconnect,
    Send,
    Start,
    Stop,
    Subscribe,
    Unsubscribe,
    Write,
)
from fogsdk.core.events import Congested, Drain, Event, LinkDown, LinkUp, Measured, Recovered, Tick
from fogsdk.core.identity import Identity
from fogsdk.core.node import Node
from fogsdk.core.outbox import Outbox
from fogsdk.core.transfers import Transfers
from fogsdk.device.notes import NoteLog
from fogsdk.device.url import BrokerUrl, Credentials
from fogsdk.errors import WireError
from fogsdk.node.arrivals import event_of
from fogsdk.node.door import Door
from fogsdk.node.executor import Executor
from fogsdk.node.link import Link
from fogsdk.node.shared_body import SharedBuffer
from fogsdk.wire import codec, topics
from fogsdk.wire.messages import Malformed, Message

if TYPE_CHECKING:  # not every node has them
    from fogsdk.node.journal import Journal
    from fogsdk.node.recorder import Recorder

log = logging.getLogger(__name__)

MEASURE_EVERY = 1.0
"""Seconds between two readings of this machine's load."""

FIRST_MEASURE = 0.1
"""Seconds until the first one: what reads it is loaded when the node takes tasks already."""

AFTER_A_BUG = 100
"""Milliseconds for which the timer rests when the core raised, so that what raises each time does not take the CPU."""

Measure = Callable[[], Measured]
Carry = Callable[[str, bytes, Callable[[], None]], None]
"""Called, where there is one, for each message, out or in, with its topic, its payload, and what delivers it."""
Disturber = Callable[["Runtime", Disturb], None]
"""Does to a node what a Disturb says, and tells it ``Disturbed``, now or later."""


def clock() -> int:
    """Milliseconds of a clock that never goes back."""
    return time.monotonic_ns() // 1_000_000


class Runtime:
    """A running node. Make it and use it on one event loop.

    One whose ``identity`` keeps has a ``journal``; for one with chaos, ``disturb`` is who carries that out. A
    ``recorder`` writes down what happens.
    """

    def __init__(
        self,
        identity: Identity,
        executor: Executor,
        credentials: Credentials,
        measure: Measure | None = None,
        *,
        journal: Journal | None = None,
        disturb: Disturber | None = None,
        recorder: Recorder | None = None,
    ) -> None:
        self.identity = identity
        self.node = Node(identity)
        self._core = Transfers(
            self.node,
            self.node.take_in if recorder is None else self._recorded,
            identity.site,
            identity.node,
            allocate=SharedBuffer,
            room=identity.room,
            inline=identity.inline,
            turn_away=self.node.turn_away,
            copies=self.node.keeping.replicas,
            run=f"{identity.incarnation:x}",
        )
        self.left = asyncio.Event()
        self.carry: Carry | None = None
        self._executor = executor
        self._credentials = credentials
        self._measure = measure
        self._journal = journal
        self._disturb = disturb
        self._recorder = recorder
        self._links: dict[str, Link] = {}
        self._doors: dict[str, Door] = {}
        self._subscriptions: dict[str, None] = {}
        self._outbox = Outbox()
        self._notes = NoteLog(log)
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at = 0
        self._not_before = 0
        self._flushing = False
        self._measuring: asyncio.TimerHandle | None = None

    async def open(self) -> None:
        """Get the executor ready and begin. Brokers are added with :meth:`add_broker`."""
        await self._executor.open(self.tell)
        self._do(self.node.start())
        if self._journal is not None:
            self.tell(Recovered(self._journal.open(self.tell)))
        self._measuring = asyncio.get_running_loop().call_later(FIRST_MEASURE, self._take_measure)

    async def close(self) -> None:
        """End everything now: what is held is lost with the node, and its senders are told that it is gone."""
        if self._recorder is not None:
            self._recorder.close()
        self._send_goodbye()
        await self.close_doors()
        for handle in (self._timer, self._measuring):
            if handle is not None:
                handle.cancel()
        await asyncio.gather(*(link.close() for link in self._links.values()))
        await self._executor.close()
        if self._journal is not None:
            await asyncio.to_thread(self._journal.close)

    async def drain(self, patience: float) -> None:
        """Take nothing new, and wait, ``patience`` seconds at the most, for what runs."""
        self.tell(Drain(int(patience * 1000)))
        await self.left.wait()

    def _send_goodbye(self) -> None:
        if not self.left.is_set():
            self._do(self.node.presence.say_goodbye())
        self._flush()

    # ------------------------------------------------------------ brokers

    @property
    def brokers(self) -> dict[str, bool]:
        """The brokers of this node, and whether each is connected."""
        return {name: link.up for name, link in self._links.items()}

    def add_broker(self, broker: BrokerUrl) -> None:
        """Connect to one more broker, and stay connected."""
        name = str(broker)
        if name in self._links:
            return
        link = self._links[name] = Link(
            broker,
            self._credentials,
            self.identity.node,
            will=self._will,
            on_up=lambda: self._link_up(name),
            on_down=lambda: self.tell(LinkDown(name)),
            on_full=lambda full: self.tell(Congested(name, full)),
            on_message=partial(self._heard, name),
        )
        link.open()

    async def remove_broker(self, broker: BrokerUrl) -> None:
        """Disconnect from a broker for good."""
        link = self._links.pop(str(broker), None)
        if link is not None:
            was_up = link.up
            await link.close()
            if was_up:
                self.tell(LinkDown(str(broker)))

    def _will(self) -> tuple[str, bytes]:
        return topics.birth(self.identity.site, self.identity.node), codec.encode([self.node.will()])

    def _link_up(self, name: str) -> None:
        self._links[name].subscribe(list(self._subscriptions))
        self.tell(LinkUp(name))

    # ------------------------------------------------------------ doors

    async def open_door(self, door: Door) -> None:
        """Let senders come in by one more way than the brokers. Raises ConfigError where it cannot be opened."""
        await door.open(self)
        self._doors[door.name] = door

    async def close_doors(self) -> None:
        """Let nobody in any more but by the brokers, and answer nobody who came in otherwise."""
        doors, self._doors = self._doors, {}
        await asyncio.gather(*(door.close() for door in doors.values()))

    # ------------------------------------------------------------ events in

    def tell(self, *events: Event) -> None:
        """Pass to the core what happened at one time, in order, and carry out what it says."""
        now = clock()
        for event in events:
            try:
                self._do(self._core.handle(event, now))
            except Exception:
                log.exception("a bug in the core, on %s", type(event).__name__)
                self._not_before = now + AFTER_A_BUG
        try:
            if self._recorder is None:  # in whose record every command follows from an event
                self._do(self.node.start_jobs(now))
        except Exception:
            log.exception("a bug, on starting jobs")
            self._not_before = now + AFTER_A_BUG
        self._go_on()

    def _recorded(self, event: Event, now: int) -> list[Command]:
        commands = None
        try:
            commands = self.node.handle(event, now)
            self.node.catch_up()  # where a turn ends is not in the record
            return commands
        finally:
            assert self._recorder is not None
            self._recorder.add(event, now, commands)

    def _heard(self, link: str, topic: str, payload: bytes, *, carried: bool = False) -> None:
        if self.carry is not None and not carried:
            self.carry(topic, payload, partial(self._heard, link, topic, payload, carried=True))
            return
        try:
            at = topics.parse(topic)
        except WireError as error:
            self._notes.add(Note("malformed", str(error)))
            return
        messages: list[Message | Malformed]
        try:
            messages = codec.decode(payload)
        except WireError as error:
            messages = [codec.malformed(error)]
        as_json = codec.is_json(payload)
        events = []
        for message in messages:
            event = event_of(link, at, message, as_json)
            if event is not None:
                events.append(event)
                continue
            kind = type(message).__name__
            said = message.message if isinstance(message, Malformed) else f"a {kind} has no place there"
            self._notes.add(Note("malformed", f"on {topic}: {said}"))
        self.tell(*events)

    def _go_on(self) -> None:
        """What events led to leaves together, when this turn of the event loop ends; at once where no other task is
        there that it could leave with."""
        if self._flushing:
            return
        if not self._outbox:
            self._arm()
        elif self.node.held:
            self._flushing = True
            asyncio.get_running_loop().call_soon(self._flush)
        else:
            self._flush()

    def _take_measure(self) -> None:
        if self._measure is not None:
            self.tell(self._measure())
            self._measuring = asyncio.get_running_loop().call_later(MEASURE_EVERY, self._take_measure)

    def _arm(self) -> None:
        self.node.catch_up()
        deadline = self._core.deadline()
        if deadline is None or (self._timer is not None and self._timer_at <= deadline):
            return
        if self._timer is not None:
            self._timer.cancel()
        self._timer_at = deadline
        delay = max(0, deadline - clock(), self._not_before - clock()) / 1000
        self._timer = asyncio.get_running_loop().call_later(delay, self._fire)

    def _fire(self) -> None:
        self._timer = None
        deadline = self._core.deadline()
        if deadline is not None and deadline <= clock():
            self.tell(Tick())
        else:
            self._arm()

    # ------------------------------------------------------------ commands out

    def _do(self, commands: Iterable[Command]) -> None:  # noqa: C901 - one case for each command
        for command in commands:
            try:
                match command:
                    case Send():
                        door = self._doors.get(command.link)
                        if door is None:
                            self._outbox.add(command)
                        else:
                            door.deliver(command)
                    case Start():
                        self._executor.start(command)
                    case Stop():
                        self._executor.stop(command.job)
                    case Write():
                        assert self._journal is not None, "a node that does not keep writes nothing"
                        self._journal.write(command)
                    case Disturb():
                        assert self._disturb is not None, "a node without chaos is not disturbed"
                        self._disturb(self, command)
                    case Subscribe():
                        self._subscriptions[command.topic] = None
                        for link in self._links.values():
                            link.subscribe([command.topic])
                    case Unsubscribe():
                        self._subscriptions.pop(command.topic, None)
                        for link in self._links.values():
                            link.unsubscribe(command.topic)
                    case Note():
                        self._notes.add(command)
                    case Reconnect():
                        for link in self._links.values():
                            link.reconnect()
                    case Leave():
                        self.left.set()
            except Exception:  # one that cannot be carried out keeps none of the others back
                log.exception("a bug, on %s", type(command).__name__)
                self._not_before = clock() + AFTER_A_BUG

    def _flush(self) -> None:
        self._flushing = False
        for packet in self._outbox.pack():
            link = self._links.get(packet.link)
            if link is not None and self.carry is None:
                link.publish(packet.topic, packet.payload, packet.retain)
            elif link is not None and self.carry is not None:
                deliver = partial(link.publish, packet.topic, packet.payload, packet.retain)
                self.carry(packet.topic, packet.payload, deliver)
        self.flush_links()
        self._arm()

    def flush_links(self) -> None:
        """Write what is queued on the links."""
        for link in self._links.values():
            link.flush()
