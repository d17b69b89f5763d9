"""A computer of the simulated fog: a core, its connections, its clock, and the days that it has.

A machine goes through lives: it is switched on with a fresh core and killed, or loses its power. In between it may be
frozen (what happens is dealt with afterwards) or slow (everything takes a while), and be cut off from brokers.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from time import perf_counter_ns
from typing import TYPE_CHECKING, Any

from fogsdk.core.client import Client
from fogsdk.core.commands import Command, Leave, Note, Reconnect, Send, Subscribe, Unsubscribe
from fogsdk.core.events import Asked, Event, LinkDown, LinkUp, Tick
from fogsdk.core.node import Node
from fogsdk.sim import weather
from fogsdk.sim.agenda import MILLISECOND
from fogsdk.sim.broker import Broker, Connection
from fogsdk.sim.weather import Cut, Weather
from fogsdk.wire.messages import Message, Result, Task

if TYPE_CHECKING:
    from fogsdk.sim.world import World

LOGIN = (1 * MILLISECOND, 5 * MILLISECOND)
RETRY = (200 * MILLISECOND, 800 * MILLISECOND)
"""Microseconds between two attempts to reach a broker."""
MOST_TICKS = 100
"""Ticks within one millisecond after which a core's timer counts as one that is never done."""


class Machine:
    """One computer. ``lag`` is how many microseconds it takes over each event, while it is slow; it is ``hampered`` as
    long as events may have to wait. ``aimed_at`` is what is to be done when it next promises something, by what it
    promises."""

    core: Client | Node

    def __init__(self, world: World, name: str) -> None:
        self.world = world
        self.name = name
        self.on = False
        self.life = 0
        self.links: dict[str, Connection] = {}
        self.topics: dict[str, None] = {}
        self.weathers: list[Weather] = []
        self.cuts: list[Cut] = []
        self.frozen = False
        self.lag = 0
        self.sent = self.received = self.sent_bytes = self.received_bytes = 0
        self.aimed_at: dict[str, Callable[[], None]] = {}
        self._backlog: deque[Event] = deque()
        self._at_work = False
        self.hampered = False
        self._timer: int | None = None
        self._ticked = self._ticks = 0
        self._handlers = self._carry_out()

    def _carry_out(self) -> dict[type, Callable[[Any], None]]:
        """What is done about each kind of command."""
        return {
            Send: self._send,
            Subscribe: self._subscribe,
            Unsubscribe: self._unsubscribe,
            Note: self.world.note,
            Reconnect: self._reconnect,
            Leave: lambda _: self._leave(),
        }

    # ------------------------------------------------------------ on and off

    def switch_on(self) -> None:
        """Begin a life."""
        self.on = True
        self.life += 1
        self.links, self.topics = {}, {}
        self.frozen = self.hampered = False
        self.lag = 0
        self._backlog, self._at_work, self._timer = deque(), False, None
        self.core = self.make_core()
        self._do(self.core.start())
        self.reach_brokers()

    def make_core(self) -> Client | Node:
        """A fresh core."""
        raise NotImplementedError

    def reach_brokers(self) -> None:
        """Connect to those that this machine wants."""
        raise NotImplementedError

    def kill(self, silently: bool = False) -> None:
        """End this life at once; ``silently`` as by a loss of power, so that brokers find out by themselves."""
        if not self.on:
            return
        self.on = False
        chance = self.world.chance
        for connection in self.links.values():
            delay = chance.randint(*weather.GIVEN_UP_AFTER) if silently else weather.WILL_AFTER
            self.world.agenda.after(delay, connection.broker.drop, connection, True)

    def _leave(self) -> None:
        self.on = False
        for connection in self.links.values():
            connection.broker.drop(connection, with_will=False)

    # ------------------------------------------------------------ good days and bad days

    def freeze(self) -> None:
        """Stop dealing with anything, for now."""
        if self.on and not self.frozen:
            self.frozen = self.hampered = True
            for connection in self.links.values():
                self._give_up_later(connection, lambda: self.frozen)

    def thaw(self) -> None:
        """Deal with all that happened meanwhile."""
        if not self.frozen:
            return
        self.frozen = False
        for connection in list(self.links.values()):
            if not connection.up:
                self.lost(connection)
        self._go_on()
        self._see()
        self._arm()

    def slow_down(self, lag: int, factor: float) -> None:  # noqa: ARG002 - a device has no jobs to stretch
        """Take ``lag`` microseconds over each event from now on, and ``factor`` times as long over each job."""
        self.lag = lag
        self._see()

    def cut(self, cut: Cut) -> None:
        """Cut the machine off: nothing passes, and after a while brokers and machine give each other up."""
        self.cuts.append(cut)
        for connection in self.links.values():
            if connection.up and connection.broker.name in cut.brokers:
                self._hold(connection)
                self._give_up_later(connection, lambda: cut in self.cuts)

    def mend(self, cut: Cut) -> None:
        """End a cut: what waited at it comes through now, where the connection is still there."""
        if cut in self.cuts:
            self.cuts.remove(cut)
            for connection in list(self.links.values()):
                self._let_through(connection)

    def _give_up_later(self, connection: Connection, still: Callable[[], bool]) -> None:
        life = self.life

        def give_up() -> None:
            if connection.up and life == self.life and still():
                connection.broker.drop(connection, with_will=True)
                self.lost(connection)

        self.world.agenda.after(self.world.chance.randint(*weather.GIVEN_UP_AFTER), give_up)

    def _cut_from(self, broker: str) -> tuple[bool, bool]:
        cuts = [cut for cut in self.cuts if broker in cut.brokers]
        return any(cut.inward for cut in cuts), any(cut.outward for cut in cuts)

    def _hold(self, connection: Connection) -> None:
        inward, outward = self._cut_from(connection.broker.name)
        if inward and connection.held_in is None:
            connection.held_in = []
        if outward and connection.held_out is None:
            connection.held_out = []

    def _let_through(self, connection: Connection) -> None:
        inward, outward = self._cut_from(connection.broker.name)
        if not outward and connection.held_out is not None:
            held_out, connection.held_out = connection.held_out, None
            for topic, message, retain in held_out if connection.up else []:
                connection.broker.publish(topic, message, retain, self.name)
        if not inward and connection.held_in is not None:
            held_in, connection.held_in = connection.held_in, None
            if held_in and connection.up:
                connection.last = max(connection.last, self.world.agenda.now + weather.FASTEST)
                self.world.agenda.at(connection.last, connection.deliver_all, held_in)

    # ------------------------------------------------------------ connections

    def will(self) -> tuple[str, Message] | None:
        """What a broker is to publish when the connection ends without a goodbye."""
        return None

    def connect(self, broker: Broker, life: int) -> None:
        """Log in at a broker, now or, where it does not answer, as soon as it does."""
        if not self.on or life != self.life or broker.name in self.links:
            return
        if not broker.up or self.frozen or any(self._cut_from(broker.name)):
            self.unreachable(broker)
            return
        connection = self.links[broker.name] = broker.connect(self)
        for topic in self.topics:
            broker.subscribe(connection, topic)
        self.tell(LinkUp(broker.name))

    def unreachable(self, broker: Broker) -> None:
        """A broker does not answer: try again."""
        self.connect_later(broker, RETRY)

    def connect_later(self, broker: Broker, delay: tuple[int, int]) -> None:
        """Log in at a broker after a delay between two bounds."""
        self.world.agenda.after(self.world.chance.randint(*delay), self.connect, broker, self.life)

    def lost(self, connection: Connection) -> None:
        """A connection has ended, and the machine finds out: try again."""
        if self.forget(connection):
            self.connect_later(connection.broker, RETRY)

    def forget(self, connection: Connection) -> bool:
        """Tell the core that a connection is lost; False where it has no use for it any more."""
        if not self.on or self.frozen or self.links.get(connection.broker.name) is not connection:
            return False
        del self.links[connection.broker.name]
        self.tell(LinkDown(connection.broker.name))
        return True

    def _reconnect(self, _: Reconnect) -> None:
        for connection in list(self.links.values()):
            self.world.agenda.after(MILLISECOND, self._log_in_anew, connection)

    def _log_in_anew(self, connection: Connection) -> None:
        connection.broker.drop(connection, with_will=False)
        self.lost(connection)

    def _subscribe(self, command: Subscribe) -> None:
        self.topics[command.topic] = None
        for connection in self.links.values():
            if connection.up:
                connection.broker.subscribe(connection, command.topic)

    def _unsubscribe(self, command: Unsubscribe) -> None:
        self.topics.pop(command.topic, None)
        for connection in self.links.values():
            if connection.up:
                connection.broker.unsubscribe(connection, command.topic)

    def _send(self, send: Send) -> None:
        connection = self.links.get(send.link)
        if connection is None or not connection.up:
            return
        self.sent += 1
        if connection.held_out is not None:
            connection.held_out.append((send.topic, send.message, send.retain))
        elif self.weathers and not send.retain:
            for late, _ in weather.copies(self.weathers, self.world.chance):
                self.world.agenda.after(late, self._publish, connection, send)
        else:
            self.sent_bytes += connection.broker.publish(send.topic, send.message, send.retain, self.name)
        if self.aimed_at and isinstance(send.message, Result):
            aimed = self.aimed_at.pop(_promise(send.message), None)
            if aimed is not None:
                self.world.agenda.after(0, aimed)

    def _publish(self, connection: Connection, send: Send) -> None:
        if connection.up:
            self.sent_bytes += connection.broker.publish(send.topic, send.message, send.retain, self.name)

    # ------------------------------------------------------------ the core

    def tell(self, event: Event) -> None:
        """Pass an event to the core, as soon as the machine comes to it."""
        if self.hampered:
            self._backlog.append(event)
            self._go_on()
        elif self.on:
            self.handle(event)

    def _go_on(self) -> None:
        """See to it that what waits is dealt with, one event after the other."""
        if self._backlog and not self._at_work and not self.frozen:
            self._at_work = True
            self.world.agenda.after(self.lag, self._take_next, self.life)

    def _take_next(self, life: int) -> None:
        if life != self.life or not self.on:
            return
        self._at_work = False
        if self._backlog and not self.frozen:
            self.handle(self._backlog.popleft())
        self._go_on()
        self._see()

    def _see(self) -> None:
        self.hampered = self.frozen or self.lag > 0 or bool(self._backlog)

    def handle(self, event: Event) -> None:
        """Have the core take in an event, and carry out what it says. How long a node thinks of a task is measured."""
        now = self.world.agenda.now // MILLISECOND
        if type(event) is Asked and type(event.message) is Task:
            before = perf_counter_ns()
            commands = self.core.handle(event, now)
            self.world.deciding.add(perf_counter_ns() - before)
        else:
            commands = self.core.handle(event, now)
        if commands:
            self._do(commands)
        if type(event) is Tick:
            self._timer = None
        self.core.catch_up()
        self._arm()

    def _do(self, commands: list[Command]) -> None:
        handlers = self._handlers
        for command in commands:
            handlers[type(command)](command)

    def _arm(self) -> None:
        deadline = self.core.deadline()
        if deadline is None:
            return
        at = max(deadline * MILLISECOND, self.world.agenda.now)
        if self._timer is None or at < self._timer:
            self._timer = at
            self.world.agenda.at(at, self._fire, self.life, at)

    def _fire(self, life: int, at: int) -> None:
        if life != self.life or at != self._timer or not self.on:
            return
        now = self.world.agenda.now // MILLISECOND
        deadline = self.core.deadline()
        if self.frozen or deadline is None or deadline > now:
            self._timer = None  # armed again when it thaws
            if not self.frozen:
                self._arm()
            return
        self._ticks = self._ticks + 1 if now == self._ticked else 1
        self._ticked = now
        if self._ticks > MOST_TICKS:
            raise RuntimeError(f"{self.name}: at {now} ms a timer of {deadline} ms that is never done")
        self.tell(Tick())  # until the core has it, the timer rests


def _promise(result: Result) -> str:
    """What a result promises to keep: a session's new state, a posted task, or nothing."""
    if result.tag:
        return "step"
    return "receipt" if b"receipt" in result.body[:16] else ""
