"""Hedging: a task whose answer takes much longer than usual is given to a second node too, and the first answer counts
(Dean and Barroso, The Tail at Scale, 2013).

What is usual is learned for each task name from when its tasks were handed out until their outcome was back. A budget
keeps this from making an overload worse: a small part of all tasks, and no more in store than a few.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

from fogsdk.core.builtins import PREFIX
from fogsdk.core.timers import Line, Timers
from fogsdk.core.windows import Window
from fogsdk.wire.messages import Task, TaskInfo

ENOUGH = 20
"""Tasks of a name that must have come back before one counts as late."""
FACTOR = 1.5
"""Times their 95th percentile that tasks of a name may take before one is late."""
SHORTEST = 30
"""Milliseconds before no task is late: chance alone makes more difference."""
ONE_IN = 20
"""Of so many tasks one may be hedged."""
BURST = 4
"""Tasks that may be hedged at once, where there was no need to for long."""
MOST_NAMES = 256


@dataclass(frozen=True, slots=True)
class Straggling:
    """The task's taker, ``node``, has not answered within the usual time: a second one may take it too."""

    id: str
    node: str


class _Kind:
    """The tasks of one name: how long they usually take, and when each of those that are out is late."""

    __slots__ = ("out", "usual")

    def __init__(self) -> None:
        self.usual = Window()
        self.out: Line[str] = Line()


class Hedging:
    """Which tasks are late, and how many more may be hedged. ``sent`` and ``won`` count those that were, and those
    where the second node was first to answer."""

    def __init__(self) -> None:
        self.sent = 0
        self.won = 0
        self._earned = 0
        self._kinds: OrderedDict[str, _Kind] = OrderedDict()
        self._due: Timers[str] = Timers()
        self.deadline: Callable[[], int | None] = self._due.next
        """When the next task may be late."""

    def earn(self) -> None:
        """There is one task more, and so a part of one that may be hedged."""
        if self._earned < BURST * ONE_IN:
            self._earned += 1

    def handed_out(self, task: Task, now: int) -> Line[str] | None:
        """A task went to its taker. Returns where it waits to be late, None where it never is: whoever sees that it
        needs no second taker takes it out."""
        name = task.name if task.part is None else _part(task)
        kind = self._kinds.get(name)
        if kind is None or kind.usual.count < ENOUGH or task.keep is not None or task.session is not None:
            return None
        usual, out = FACTOR * kind.usual.p95, kind.out
        late_at = now + (int(usual) if usual > SHORTEST else SHORTEST)
        if not out:
            self._due.set(name, late_at)
        out[task.id] = late_at
        return out

    def came_back(self, task: Task, took: float) -> None:
        """A task is back, so many milliseconds after it went to its taker."""
        name = task.name if task.part is None else _part(task)
        kind = self._kinds.get(name)
        if kind is None:
            kind = self._kinds[name] = _Kind()
            if len(self._kinds) > MOST_NAMES:
                self._due.drop(self._kinds.popitem(last=False)[0])
        kind.usual.add(took)

    def late(self, now: int) -> list[str]:
        """The tasks that became late, as far as the budget goes."""
        late = [id for name in self._due.pop_due(now) for id in self._late(name, now)]
        return late[: self._earned // ONE_IN]

    def _late(self, name: str, now: int) -> list[str]:
        out = self._kinds[name].out
        late, then = out.pop_due(now), out.next()
        if then is not None:
            self._due.set(name, then)
        return late

    def spend(self, task: Task, took: int) -> str:
        """A second node gets a task; returns why, for the trace."""
        self._earned -= ONE_IN
        self.sent += 1
        kind = self._kinds.get(task.name if task.part is None else _part(task), _Kind())
        return f"no answer in {took} ms, usually in {kind.usual.p95:.0f}"


def worthwhile(task: Task, info: TaskInfo) -> bool:
    """Whether a second node would help: not with what is split, whose parts are hedged one by one, with what runs in
    the cloud whichever node it goes to, nor with what is asked of a node itself."""
    return not (info.split or "heavy" in (task.weight, info.weight) or task.name.startswith(PREFIX))


def _part(task: Task) -> str:
    return f"{task.name}/part"
