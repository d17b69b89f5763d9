"""Simulated devices: a client core with one connection at a time, to the first broker that answers."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from fogsdk.core.bundler import Bundler
from fogsdk.core.commands import Advanced, Settled
from fogsdk.core.events import Event, Submit, Withdraw
from fogsdk.sim.agenda import MILLISECOND
from fogsdk.sim.broker import Broker, Connection
from fogsdk.sim.machine import LOGIN, RETRY, Machine
from fogsdk.sim.oracle import Judge, Outcome
from fogsdk.wire.messages import Task

if TYPE_CHECKING:
    from fogsdk.sim.world import World

Then = Callable[[Outcome], None]
"""What a device's owner does when an outcome is there."""

LEAVES_AFTER = 200
"""Microseconds after which what was handed in leaves."""
AT_ONCE = (1 * MILLISECOND, 100 * MILLISECOND)


class DeviceMachine(Machine):
    """A device. Its ids begin with the number of its life, so that no life takes another's answer for its own."""

    core: Bundler

    def __init__(self, world: World, name: str, number: int) -> None:
        super().__init__(world, name)
        self._order = number
        self._ids = 0
        self._then: dict[str, Then] = {}
        self._leaving = False

    def _carry_out(self) -> dict[type, Callable[[Any], None]]:
        return {**super()._carry_out(), Settled: self._settled, Advanced: lambda _: None}

    def make_core(self) -> Bundler:
        """A fresh client core."""
        self._leaving = False
        return Bundler(self.world.scenario.site, self.name, f"{self.life:x}")

    def handle(self, event: Event) -> None:
        """Have the core take in an event, and carry out what it says. What is to leave together does so soon."""
        super().handle(event)
        if self.core.open and not self._leaving:
            self._leaving = True
            self.world.agenda.after(LEAVES_AFTER, self._close, self.life)

    def _close(self, life: int) -> None:
        if life != self.life or not self.on:
            return
        if self.frozen:
            self.world.agenda.after(MILLISECOND, self._close, life)
            return
        self._leaving = False
        self._do(self.core.send_open(self.world.agenda.now // MILLISECOND))
        self.core.catch_up()
        self._arm()

    def reach_brokers(self) -> None:
        """Connect to one broker; devices begin with different ones."""
        self.connect_later(self._next(), LOGIN)

    def _next(self) -> Broker:
        brokers = list(self.world.brokers.values())
        self._order += 1
        return brokers[self._order % len(brokers)]

    def unreachable(self, _: Broker) -> None:
        """A broker does not answer: try the next."""
        self.connect_later(self._next(), RETRY)

    def lost(self, connection: Connection) -> None:
        """The connection has ended: turn to the next broker."""
        if self.forget(connection):
            self.connect_later(self._next(), AT_ONCE)

    def kill(self, silently: bool = False) -> None:
        """End this life at once: what its owner waited for, nobody waits for any more."""
        if not self.on:
            return
        super().kill(silently)
        self._then.clear()
        self.world.oracle.owner_died(self.name)
        self.world.stepping.owner_died(self)

    # ------------------------------------------------------------ what its owner wants

    def new_id(self) -> str:
        """An id that no task of this device had."""
        self._ids += 1
        return f"{self.life:x}-{self._ids:x}"

    def submit(self, task: Task, what: str, number: int, judge: Judge, then: Then | None = None) -> None:
        """Hand in a task, ``then`` is called with its outcome."""
        self.world.oracle.handed_in(self.name, task, what, number, self.world.agenda.now, judge)
        if then is not None:
            self._then[task.id] = then
        self.tell(Submit(task))

    def withdraw(self, id: str) -> None:
        """Give a task up."""
        self.tell(Withdraw(id))

    def _settled(self, settled: Settled) -> None:
        then = self._then.pop(settled.id, None)
        if self.world.oracle.settled(self.name, settled, self.world.agenda.now) and then is not None:
            self.world.agenda.after(0, then, settled.outcome)  # its owner's turn, when the core is through
