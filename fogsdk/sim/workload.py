"""What the owners of the devices do: hand in tasks of all kinds, some with deadlines, and give some up again."""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import TYPE_CHECKING

from fogsdk.sim.agenda import MILLISECOND, MINUTE
from fogsdk.sim.jobs import Job
from fogsdk.sim.oracle import ordinary
from fogsdk.wire.messages import Task

if TYPE_CHECKING:
    from fogsdk.sim.devices import DeviceMachine
    from fogsdk.sim.world import World


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of task: its median run time and the time within which it is answered in time, in milliseconds."""

    name: str
    ran: float
    in_time: float


KINDS = {
    kind.name: kind
    for kind in (
        Kind("tiny", 0.1, 200.0),
        Kind("light", 2.0, 200.0),
        Kind("middle", 300.0, 2000.0),
        Kind("split", 500.0, 2000.0),
        Kind("heavy", 1200.0, 5000.0),
        Kind("broken", 2.0, 200.0),
        Kind("deadly", 2.0, 200.0),
    )
}
SPREAD = 0.5
"""Of the run times, which are log-normal."""
_DEADLINES = (0, 3000)
_PATIENCE = (1 * MILLISECOND, 500 * MILLISECOND)
_BURST = (1, 30)
"""Tiny tasks that come at once."""
_STALLS, _STALL = 0.003, 100 * MILLISECOND
"""How many of them take long all the same, and how much longer."""
_PRIORITIES = (0, 0, 0, 0, 0, 0, 0, 0, 5, -5)


class Workload:
    """The tasks of a run: a Poisson process at each device."""

    def __init__(self, world: World) -> None:
        scenario = world.scenario
        self.handed_in = 0
        self._world = world
        self._chance = random.Random(f"{scenario.seed} workload")
        self._names = list(scenario.mix)
        self._shares = list(scenario.mix.values())
        self._until = 0

    def schedule(self, until: int) -> None:
        """Put each device's first task on the agenda; the others follow, up to ``until``."""
        self._until = until
        if self._world.scenario.rate:
            for device in self._world.devices:
                self._next(device)

    def _next(self, device: DeviceMachine) -> None:
        at = self._world.agenda.now + int(self._chance.expovariate(self._world.scenario.rate) * MINUTE)
        if at < self._until:
            self._world.agenda.at(at, self._hand_in, device)

    def _hand_in(self, device: DeviceMachine) -> None:
        self._next(device)
        if not device.on:
            return
        chance = self._chance
        [name] = chance.choices(self._names, self._shares)
        for _ in range(chance.randint(*_BURST) if name == "tiny" else 1):
            self._hand_in_one(device, name)

    def _hand_in_one(self, device: DeviceMachine, name: str) -> None:
        chance, scenario, kind = self._chance, self._world.scenario, KINDS[name]
        self.handed_in += 1
        micros = int(kind.ran * MILLISECOND * chance.lognormvariate(0.0, SPREAD))
        if name == "tiny" and chance.random() < _STALLS:
            micros += _STALL
        task = Task(
            device.new_id(),
            name,
            Job(self.handed_in, micros, name).body(),
            deadline=chance.randint(*_DEADLINES) if chance.random() < scenario.deadlines else None,
            priority=chance.choice(_PRIORITIES),
        )
        device.submit(task, name, self.handed_in, ordinary)
        if chance.random() < scenario.cancels:
            self._world.agenda.after(chance.randint(*_PATIENCE), self._give_up, device, task.id, device.life)

    def _give_up(self, device: DeviceMachine, id: str, life: int) -> None:
        there = device.on and device.life == life and not device.hampered  # else it is its turn after what came before
        if there and self._world.oracle.given_up(device.name, id):
            device.withdraw(id)
