"""The simulated fog as a whole: brokers, machines, workload and storm around one agenda and one seed."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable

from fogsdk.core.commands import Note
from fogsdk.sim.agenda import SECOND, Agenda
from fogsdk.sim.broker import Broker
from fogsdk.sim.devices import DeviceMachine
from fogsdk.sim.machine import Machine
from fogsdk.sim.nodes import NodeMachine
from fogsdk.sim.oracle import Oracle
from fogsdk.sim.posting import Posting
from fogsdk.sim.scenario import Scenario
from fogsdk.sim.series import Deciding
from fogsdk.sim.stepping import Stepping
from fogsdk.sim.storm import Storm
from fogsdk.sim.trace import Scales, Trace
from fogsdk.sim.workload import Workload

MEASURE_EVERY = 1 * SECOND
CALM = 5 * SECOND
"""Microseconds at the end of the workload without faults."""
_STEP = SECOND // 2
_MOST, _MOST_EACH = 20_000, 500  # things that may happen within a step, at all and for each machine

Tell = Callable[[float, float], None]
"""Called now and then with the seconds that have passed, and those that there are."""


class World:
    """One run of one scenario."""

    def __init__(self, scenario: Scenario) -> None:
        self.scenario = scenario
        self.agenda = Agenda()
        self.chance = random.Random(f"{scenario.seed} world")
        self.trace = Trace()
        self.scales = Scales()
        self.oracle = Oracle()
        self.deciding = Deciding()
        self.notes: Counter[str] = Counter()
        self.brokers = {name: Broker(self, name) for name in _names("broker", scenario.brokers)}
        self.nodes = [NodeMachine(self, name) for name in _names("node", scenario.nodes)]
        self.bridge = NodeMachine(self, "bridge", role="cloud")
        self.devices = [
            DeviceMachine(self, name, number) for number, name in enumerate(_names("device", scenario.devices))
        ]
        self.machines: dict[str, Machine] = {
            machine.name: machine for machine in (*self.nodes, self.bridge, *self.devices)
        }
        self.storm = Storm(self)
        self.workload = Workload(self)
        self.posting = Posting(self)
        self.stepping = Stepping(self)

    @property
    def work_ends(self) -> int:
        """When the last task is handed in, in microseconds."""
        return int((self.scenario.start + self.scenario.seconds) * SECOND)

    def run(self, tell: Tell = lambda _, __: None) -> None:
        """Let it all happen: switch everything on, work under faults, and wait until all is settled."""
        start = int(self.scenario.start * SECOND)
        for machine in self.machines.values():
            self.agenda.after(self.chance.randrange(start // 2), machine.switch_on)
        for node in (*self.nodes, self.bridge):
            self.agenda.after(start + self.chance.randrange(MEASURE_EVERY), self._measure, node)
        self._run(start, tell)
        for work in (self.workload, self.posting, self.stepping):
            work.schedule(self.work_ends)
        self.storm.schedule(start, max(start, self.work_ends - CALM))
        self._run(self.work_ends, tell)
        self.storm.end()
        self._settle(tell)
        for judge in (self.oracle, self.posting, self.stepping):
            judge.finish()
        if self.scenario.quiet:
            self._run(self.agenda.now + int(self.scenario.quiet * SECOND), tell)
            self._check_quiet()

    def _run(self, until: int, tell: Tell) -> None:
        while self.agenda.now < until:
            tell(self.agenda.now / SECOND, self.work_ends / SECOND)
            self.agenda.run(min(until, self.agenda.now + _STEP), _MOST + _MOST_EACH * len(self.machines))

    def _settle(self, tell: Tell) -> None:
        last = self.agenda.now + int(self.scenario.grace * SECOND)
        while self.oracle.open and self.agenda.now < last:
            self._run(self.agenda.now + _STEP, tell)

    def _check_quiet(self) -> None:
        """After the last outcome nothing may be left anywhere: nothing waits, runs, or is asked after for ever."""
        for machine in self.machines.values():
            if not machine.on:
                continue
            left = {"entries of the ledger": len(machine.core.ledger.entries)}
            if isinstance(machine, NodeMachine):
                left |= {"tasks": len(machine.core.held), "jobs": len(machine.executor.running)}
            for what, count in left.items():
                if count:
                    self.oracle.break_("left behind", f"{count} {what} on {machine.name}")

    def _measure(self, node: NodeMachine) -> None:
        node.measure()
        self.agenda.after(MEASURE_EVERY, self._measure, node)

    # ------------------------------------------------------------ what the machines tell

    def note(self, note: Note) -> None:
        """A core has something for its log."""
        self.notes[note.kind] += 1


def _names(kind: str, count: int) -> list[str]:
    return [f"{kind}-{number}" for number in range(1, count + 1)]
