"""The faults of a plan, carried out: each strikes its targets, lasts its time, and is undone."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import partial
from typing import TYPE_CHECKING

from fogsdk.sim.agenda import MINUTE, SECOND
from fogsdk.sim.devices import DeviceMachine
from fogsdk.sim.machine import Machine
from fogsdk.sim.nodes import NodeMachine
from fogsdk.sim.plan import Fault
from fogsdk.sim.weather import Cut, Weather

if TYPE_CHECKING:
    from fogsdk.sim.world import World

REST = 8 * SECOND
"""Microseconds after a fault of a node in which it counts as down, where a plan bounds how many are: what the node kept
for others is copied again meanwhile."""
DRAIN_MS = 1000
DOWN = ("crash", "power", "restart", "freeze", "slow", "cable", "partition", "one-way", "loss", "broker-crash")
"""Faults that may make a node seem dead to others. A broker that is dead may make many seem so."""

Undo = Callable[[], None]


@dataclass(slots=True)
class Episode:
    """One fault that struck: when, what, and until when (in microseconds)."""

    kind: str
    targets: tuple[str, ...]
    begin: int
    end: int


class Storm:
    """Carries out the plan of a world."""

    def __init__(self, world: World) -> None:
        self.episodes: list[Episode] = []
        self._world = world
        self._plan = world.scenario.faults
        self._chance = random.Random(f"{world.scenario.seed} faults")
        self._struck: dict[tuple[str, str], None] = {}
        self._down: dict[str, None] = {}
        self._undo: dict[int, Undo] = {}

    def schedule(self, begin: int, end: int) -> None:
        """Put all faults on the agenda; none outlasts ``end``."""
        for fault in self._plan.faults:
            for at in fault.at:
                if at < end:
                    self._world.agenda.at(max(at, self._world.agenda.now), self._due, fault, end)
            at = begin
            while fault.per_minute:
                at += int(self._chance.expovariate(fault.per_minute) * MINUTE)
                if at >= end:
                    break
                self._world.agenda.at(at, self._due, fault, end)

    def end(self) -> None:
        """Undo whatever is left."""
        for number in list(self._undo):
            self._undo_one(number)

    # ------------------------------------------------------------ one fault

    def _due(self, fault: Fault, end: int) -> None:
        if not fault.aimed:
            self._strike(fault, end, self._targets(fault))
            return
        for name in self._targets(fault):
            self._world.machines[name].aimed_at[fault.aimed] = partial(self._hit, fault, end, name)

    def _hit(self, fault: Fault, end: int, name: str) -> None:
        """A node that was aimed at has just promised something."""
        if self._world.agenda.now < end:
            self._strike(fault, end, self._bounded(fault, [name]))

    def _strike(self, fault: Fault, end: int, names: list[str]) -> None:
        now = self._world.agenda.now
        lasts = min(self._chance.randint(*fault.lasts), end - now)
        undos = []
        for name in names:
            self._struck[fault.kind, name] = None
            if self._may_seem_dead(fault, name):
                self._down[name] = None
            undos.append(self._begin(fault, name))
        if not names:
            return
        episode = Episode(fault.kind, tuple(names), now, now + (lasts if fault.kind != "worker-death" else 0))
        self.episodes.append(episode)
        number = len(self.episodes)

        def undo() -> None:
            for name, each in zip(names, undos, strict=True):
                each()
                del self._struck[fault.kind, name]
                if self._may_seem_dead(fault, name):
                    self._world.agenda.after(REST, self._down.pop, name, None)

        self._undo[number] = undo
        self._world.agenda.after(lasts, self._undo_one, number)

    def _undo_one(self, number: int) -> None:
        undo = self._undo.pop(number, None)
        if undo is not None:
            undo()

    def _targets(self, fault: Fault) -> list[str]:
        everything = self._world.brokers if fault.kind == "broker-crash" else self._world.machines
        names = [name for name in everything if fnmatchcase(name, fault.target)]
        free = [name for name in names if (fault.kind, name) not in self._struck and name not in self._down]
        return self._bounded(fault, self._chance.sample(free, min(fault.together, len(free))))

    def _bounded(self, fault: Fault, chosen: list[str]) -> list[str]:
        if self._plan.nodes_down is None:
            return chosen
        room = max(0, self._plan.nodes_down - len(self._down))
        down = [name for name in chosen if self._may_seem_dead(fault, name)][room:]
        return [name for name in chosen if name not in down]

    def _may_seem_dead(self, fault: Fault, name: str) -> bool:
        device = isinstance(self._world.machines.get(name), DeviceMachine)
        return fault.kind in DOWN and not device

    def _begin(self, fault: Fault, name: str) -> Undo:
        if fault.kind == "broker-crash":
            broker = self._world.brokers[name]
            broker.crash()
            return broker.revive
        machine = self._world.machines[name]
        return _BEGIN[fault.kind](fault, machine, self)

    def brokers(self, pattern: str) -> tuple[str, ...]:
        """The brokers that a pattern names."""
        return tuple(name for name in self._world.brokers if fnmatchcase(name, pattern))

    def pick(self, jobs: list[int]) -> int:
        """One of these."""
        return self._chance.choice(jobs)


def _nothing() -> None:
    """Nothing is to be undone."""


def _crash(fault: Fault, machine: Machine, _: Storm) -> Undo:
    machine.kill(silently=fault.kind == "power")
    return (lambda: _start_again(machine)) if fault.returns else _nothing


def _restart(_: Fault, machine: Machine, __: Storm) -> Undo:
    if not isinstance(machine, NodeMachine):
        machine.kill()
    elif machine.on:
        machine.drain(DRAIN_MS)
    return lambda: _start_again(machine)


def _start_again(machine: Machine) -> None:
    machine.kill()  # it may not be through with its leaving
    machine.switch_on()


def _freeze(_: Fault, machine: Machine, __: Storm) -> Undo:
    machine.freeze()
    return machine.thaw


def _slow(fault: Fault, machine: Machine, _: Storm) -> Undo:
    machine.slow_down(fault.delay[1], fault.factor)
    return lambda: machine.slow_down(0, 1.0)


def _cut(fault: Fault, machine: Machine, storm: Storm) -> Undo:
    one_way = fault.direction if fault.kind == "one-way" else ""
    cut = Cut(storm.brokers(fault.brokers), inward=one_way != "out", outward=one_way != "in")
    machine.cut(cut)
    return lambda: machine.mend(cut)


def _weather(fault: Fault, machine: Machine, _: Storm) -> Undo:
    chances = {fault.kind: fault.chance} if fault.kind != "delay" else {}
    weather = Weather(**chances, delay=fault.delay)
    machine.weathers.append(weather)
    return lambda: machine.weathers.remove(weather)


def _worker_death(_: Fault, machine: Machine, storm: Storm) -> Undo:
    if isinstance(machine, NodeMachine) and machine.on and machine.executor.running:
        machine.executor.kill_worker(storm.pick(list(machine.executor.running)))
    return _nothing


def _cloud_away(_: Fault, machine: Machine, __: Storm) -> Undo:
    if not isinstance(machine, NodeMachine):
        return _nothing
    machine.reach_cloud(False)
    return lambda: machine.reach_cloud(True)


_BEGIN: dict[str, Callable[[Fault, Machine, Storm], Undo]] = {
    "crash": _crash,
    "power": _crash,
    "restart": _restart,
    "freeze": _freeze,
    "slow": _slow,
    "cable": _cut,
    "partition": _cut,
    "one-way": _cut,
    "loss": _weather,
    "delay": _weather,
    "duplicate": _weather,
    "reorder": _weather,
    "worker-death": _worker_death,
    "cloud-away": _cloud_away,
}
