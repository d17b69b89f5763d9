"""Sessions: each is a counter that one device after the other steps, as the SDK does it.

What is promised: each step takes effect once. So the count that a step returns is its number; what was told is there
ever after; and a step that was taken without being told is one whose outcome its device did not wait for, or died over.
The second and third hold as long as one node at most is dead, or seems so, at a time: where both that keep a session
are, whoever is left cannot know its last step.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING

from fogsdk.sim.agenda import MILLISECOND, SECOND
from fogsdk.sim.jobs import Job
from fogsdk.sim.oracle import Outcome, Record
from fogsdk.wire import values
from fogsdk.wire.messages import Expired, Failed, Refused, Result, Task

if TYPE_CHECKING:
    from fogsdk.sim.devices import DeviceMachine
    from fogsdk.sim.world import World

THINKING = (1 * MILLISECOND, 400 * MILLISECOND)
_AGAIN = (200 * MILLISECOND, 1 * SECOND)
_RAN = 2 * MILLISECOND
_DEADLINES = (100, 2000)
_WITH_DEADLINE = 0.1


@dataclass(eq=False, slots=True)
class Counter:
    """One session, and the life of the device that steps it.

    ``step`` and ``tag`` are where its device sees it, ``told`` is the last step that any device was told of: a node
    that was cut off may show an earlier one for a while, but must not step from there. ``unsure`` are the attempts at
    the next one (sender and id) that may have been taken, or still be.
    """

    name: str
    device: DeviceMachine
    life: int = 0
    step: int = 0
    told: int = 0
    tag: str = ""
    attempt: str = ""
    unsure: dict[str, None] = field(default_factory=dict)
    look: bool = False
    over: bool = False


class Stepping:
    """The sessions of a run."""

    def __init__(self, world: World) -> None:
        self.counters: list[Counter] = []
        self.steps = 0
        self._world = world
        self._chance = random.Random(f"{world.scenario.seed} stepping")
        self._until = 0
        self._strict = world.scenario.faults.nodes_down == 1

    def schedule(self, until: int) -> None:
        """Begin all sessions."""
        self._until = until
        for number in range(self._world.scenario.sessions):
            counter = Counter(f"count-{number + 1}", self._chance.choice(self._world.devices))
            counter.life = counter.device.life
            self.counters.append(counter)
            self._world.oracle.open += 1
            self._later(THINKING, counter)

    def _later(self, delay: tuple[int, int], counter: Counter) -> None:
        self._world.agenda.after(self._chance.randint(*delay), self._go_on, counter, counter.device, counter.life)

    def _go_on(self, counter: Counter, device: DeviceMachine, life: int) -> None:
        if (counter.device, counter.life) != (device, life):
            return
        if not device.on or device.life != life:
            self._hand_over(counter)
        elif counter.look or self._world.agenda.now >= self._until:
            self._look(counter)
        else:
            self._take_step(counter)

    def owner_died(self, device: DeviceMachine) -> None:
        """The sessions of a device that died go on with others."""
        for counter in self.counters:
            if counter.device is device and not counter.over:
                self._in_doubt(counter)
                self._hand_over(counter)

    def _in_doubt(self, counter: Counter) -> None:
        counter.look = True
        if counter.attempt:
            counter.unsure[counter.attempt] = None
            counter.attempt = ""

    def _hand_over(self, counter: Counter) -> None:
        there = [device for device in self._world.devices if device.on]
        counter.device = self._chance.choice(there or self._world.devices)
        counter.life = counter.device.life
        self._later(_AGAIN, counter)

    # ------------------------------------------------------------ steps

    def _take_step(self, counter: Counter) -> None:
        self.steps += 1
        device, number = counter.device, counter.step + 1
        deadline = self._chance.randint(*_DEADLINES) if self._chance.random() < _WITH_DEADLINE else None
        body = Job(number, _RAN, "count").body()
        task = Task(device.new_id(), "count", body, deadline, session=counter.name, step=number, after=counter.tag)
        counter.attempt = f"{device.name}/{task.id}"
        device.submit(task, "step", number, partial(self._judge, counter), partial(self._stepped, counter))

    def _judge(self, counter: Counter, record: Record, outcome: Outcome, _: int) -> str:
        match outcome:
            case Result():
                count = values.decode(outcome.body)
                return "" if count == record.number else f"step {record.number} of {counter.name} counted {count}"
            case Failed():
                return "" if outcome.error == "WorkerDied" else f"{outcome}"
            case Expired():
                return "" if record.deadline is not None else f"{outcome}"
            case Refused():
                stale = counter.step < counter.told
                known = counter.unsure or stale or not self._strict or "not found" in outcome.message
                return "" if outcome.reason == "conflict" and known else f"{outcome}"

    def _stepped(self, counter: Counter, outcome: Outcome) -> None:
        if isinstance(outcome, Result):
            counter.step, counter.tag = counter.step + 1, outcome.tag
            self._told(counter)
            counter.unsure.clear()  # they go on from a state that is no more
        elif isinstance(outcome, Expired):
            self._in_doubt(counter)
        elif isinstance(outcome, Refused):
            counter.look = True
        counter.attempt = ""
        self._later(_AGAIN if counter.look else THINKING, counter)

    def _told(self, counter: Counter) -> None:
        if self._strict and counter.step <= counter.told:
            story = f"step {counter.step} of {counter.name} was told, and {counter.told} were told before"
            self._world.oracle.break_("step doubled", story)
        counter.told = max(counter.told, counter.step)

    # ------------------------------------------------------------ looking where it is

    def _look(self, counter: Counter) -> None:
        task = Task(counter.device.new_id(), "fog.session", values.encode([[counter.name], {}]))
        counter.device.submit(task, "look", counter.step, _look_judge, partial(self._looked, counter))

    def _looked(self, counter: Counter, outcome: Outcome) -> None:
        if not isinstance(outcome, Result):
            self._later(_AGAIN, counter)
            return
        said = values.decode(outcome.body)
        counter.step, counter.tag, counter.look = said["step"], said["tag"], False
        if counter.step > counter.told:
            self._check(counter, said["by"])
        if self._world.agenda.now < self._until:
            self._later(THINKING, counter)
        elif counter.step < counter.told and self._strict:
            self._later(_AGAIN, counter)
        else:
            counter.over = True
            self._world.oracle.open -= 1

    def _check(self, counter: Counter, by: str) -> None:
        """It is further than anybody was told: then it is so by an attempt that is in doubt."""
        if self._strict and not (counter.step == counter.told + 1 and by in counter.unsure):
            story = (
                f"{counter.name} is at {counter.step} by {by}; {counter.told} were told, in doubt are {counter.unsure}"
            )
            self._world.oracle.break_("step doubled", story)
        counter.told = counter.step
        counter.unsure.clear()

    def finish(self) -> None:
        """The run is over."""
        for counter in self.counters:
            if not counter.over and counter.step < counter.told:
                story = f"{counter.name} is at {counter.step}, and step {counter.told} was told"
                self._world.oracle.break_("step lost", story)
            elif not counter.over:
                self._world.oracle.break_("session stuck", f"{counter.name} after step {counter.step}")


def _look_judge(_: Record, outcome: Outcome, __: int) -> str:
    known = isinstance(outcome, Result) or (isinstance(outcome, Refused) and outcome.reason == "behind")
    return "" if known else f"{outcome}"
