"""Tasks waiting for a worker of this node: highest priority first, then earliest deadline, then first come.

Beside its ``slots`` a node may have ``express`` workers that only quick tasks get, so that a task of a millisecond does
not wait for one of minutes to end. They share the cores with the others, which at such run times nobody notices.

The shortest tasks may be started ``ahead``, some for each worker: there they wait for each other, and no worker waits
for the next one to be sent to it.
"""

from __future__ import annotations

import heapq

from fogsdk.core.costs import LIGHT_BELOW_MS, MOST_MS
from fogsdk.core.held import Held, State

_NO_DEADLINE = 2**62
_FIRST = -1000  # splits and merges: others wait for them
MOST_AHEAD = 16
"""Tasks for each worker that may be started ahead."""


class _Line:
    """Waiting tasks in order. One that leaves from the middle stays in the heap until it comes up."""

    def __init__(self) -> None:
        self.waiting: dict[Held, None] = {}
        self.cost = 0.0
        self._heap: list[tuple[int, int, int, Held]] = []

    def push(self, order: tuple[int, int, int], held: Held) -> None:
        heapq.heappush(self._heap, (*order, held))
        self.waiting[held] = None
        self.cost += held.job_cost

    def drop(self, held: Held) -> bool:
        if held not in self.waiting:
            return False
        del self.waiting[held]
        self.cost = max(0.0, self.cost - held.job_cost) if self.waiting else 0.0
        if len(self._heap) > 64 + 2 * len(self.waiting):
            self._heap = [entry for entry in self._heap if entry[3] in self.waiting]
            heapq.heapify(self._heap)
        return True

    def first(self) -> tuple[int, int, int, Held] | None:
        while self._heap:
            held = self._heap[0][3]
            if held in self.waiting and held.state is State.QUEUED:
                return self._heap[0]
            heapq.heappop(self._heap)
        return None


class RunQueue:
    """The queue in front of the workers, and the guess at how long a task waits in it."""

    def __init__(self, slots: int, express: int = 0, ahead: float = 0.0) -> None:
        self.slots = slots
        self.running: dict[int, Held] = {}
        self.bytes = 0
        self._express = express
        self._ahead = ahead
        self._quick = _Line()
        self._long = _Line()
        self._count = 0
        self._slow: dict[Held, bool] = {}  # what has a worker, and whether it came from the long line
        self._tiny: dict[Held, float] = {}  # what shares the other workers, and its cost
        self._tiny_cost = 0.0

    def __len__(self) -> int:
        return len(self._quick.waiting) + len(self._long.waiting)

    def push(self, held: Held, now: int) -> None:
        """Let a task wait for a worker."""
        self._count += 1
        held.queued_at = now
        line = self._quick if _is_quick(held) else self._long
        line.push((*_rank(held), self._count), held)
        self.bytes += len(held.task.body)

    def drop(self, held: Held) -> None:
        """Take a task out of the queue or off its worker."""
        if self._quick.drop(held) or self._long.drop(held):
            self.bytes -= len(held.task.body)
        if held.job is not None:
            self.running.pop(held.job, None)
            self._slow.pop(held, None)
            self._tiny_cost -= self._tiny.pop(held, 0.0)
            if not self._tiny:
                self._tiny_cost = 0.0
            held.job = None

    def next(self) -> Held | None:
        """Take out the task to run next, None when no worker is free for any that waits."""
        if not self._quick.waiting and not self._long.waiting:
            return None
        quick, long = self._quick.first(), self._long.first()
        if long is not None and sum(self._slow.values()) >= self.slots:
            long = None
        if quick is not None and long is not None:
            quick, long = (quick, None) if quick < long else (None, long)
        if len(self.running) >= self.slots + self._express:
            long = None
            quick = quick if quick is not None and self._has_room(quick[3]) else None
        if (first := quick or long) is None:
            return None
        held = first[3]
        self.drop(held)
        if self.is_tiny(held):
            self._tiny[held] = held.job_cost
            self._tiny_cost += held.job_cost
        else:
            self._slow[held] = long is not None
        return held

    def is_tiny(self, held: Held) -> bool:
        """Whether a task runs so shortly that it may be started ahead."""
        return 0.0 < self._ahead >= held.job_cost and _is_quick(held)

    def _has_room(self, held: Held) -> bool:
        """Whether the workers that have nothing longer to do can be given a tiny task ahead."""
        workers = self.slots + self._express - len(self._slow)
        few = len(self._tiny) < workers * MOST_AHEAD and self._tiny_cost + held.job_cost <= workers * self._ahead
        return few and self.is_tiny(held)

    @property
    def busy(self) -> int:
        """Workers that have something to do."""
        return min(len(self.running), self.slots + self._express)

    def wait(self, now: int, quick: bool = False) -> float:
        """How long, in milliseconds, a task that came now would wait for a worker; ``quick`` if it is a quick one."""
        if quick and self._express and len(self.running) + len(self) >= self.slots:
            held_up = len(self._slow) >= self.slots + self._express
            return (self._quick.cost + self._tiny_cost) / self._express + (LIGHT_BELOW_MS / 2 if held_up else 0.0)
        return self._wait(now, len(self), self._quick.cost + self._long.cost)

    def wait_of(self, held: Held, now: int) -> float:
        """How long this task would wait if it came now: behind those alone that go before it."""
        if held.quick and self._express:
            return self.wait(now, quick=True)
        order = _rank(held)
        before = [each.job_cost for each in self.waiting() if _rank(each) <= order]
        return self._wait(now, len(before), sum(before))

    def _wait(self, now: int, count: int, cost: float) -> float:
        """How long until a worker is free, with so many tasks of so much run time before."""
        if len(self.running) + count < self.slots:
            return 0.0
        left = [max(0.0, held.job_cost - (now - held.started)) for held in self._slow]
        soonest = 0.0 if self._tiny else min(left, default=0.0)
        return min(MOST_MS, max(soonest, (cost + sum(left) + self._tiny_cost) / max(1, self.slots)))

    def waiting(self) -> list[Held]:
        """Everything that waits, oldest first, quick tasks before the others."""
        return [*self._quick.waiting, *self._long.waiting]


def _rank(held: Held) -> tuple[int, int]:
    rank = -held.task.priority if held.job_kind == "run" else _FIRST
    return rank, _NO_DEADLINE if held.expires is None else held.expires


def _is_quick(held: Held) -> bool:
    return held.quick or held.job_kind != "run"
