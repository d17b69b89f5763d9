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

_Entry = tuple[int, int, int, int, Held]
"""What waits, after what its place depends on."""


class _Line:
    """Waiting tasks in order, with the run time of each. One that leaves from the middle stays in the heap until it
    comes up."""

    def __init__(self) -> None:
        self.waiting: dict[Held, float] = {}
        self.cost = 0.0
        self._heap: list[_Entry] = []

    def push(self, entry: _Entry) -> None:
        held = entry[-1]
        heapq.heappush(self._heap, entry)
        self.waiting[held] = cost = held.job_cost
        self.cost += cost

    def take(self) -> Held:
        """Take out the ``first``."""
        held = heapq.heappop(self._heap)[-1]
        self.drop(held)
        return held

    def drop(self, held: Held) -> None:
        """Take out one that waits here."""
        cost = self.waiting.pop(held)
        if not self.waiting:
            self.cost = 0.0
            self._heap.clear()
            return
        self.cost = max(0.0, self.cost - cost)
        if len(self._heap) > 64 + 2 * len(self.waiting):
            self._heap = [entry for entry in self._heap if entry[-1] in self.waiting]
            heapq.heapify(self._heap)

    def first(self) -> _Entry | None:
        heap, waiting = self._heap, self.waiting
        while heap:
            first = heap[0]
            held = first[-1]
            if held in waiting and held.state is State.QUEUED:
                return first
            heapq.heappop(heap)
        return None


class RunQueue:
    """The queue in front of the workers, and the guess at how long a task waits in it."""

    def __init__(self, slots: int, express: int = 0, ahead: float = 0.0) -> None:
        self.slots = slots
        self.running: dict[int, Held] = {}
        self.tiny: dict[Held, float] = {}  # of them, those that share workers, and their cost
        self._express = express
        self._workers = slots + express
        self._ahead = ahead
        self._quick = _Line()
        self._long = _Line()
        self._count = 0
        self._slow: dict[Held, bool] = {}  # what has a worker, and whether it came from the long line
        self._tiny_cost = 0.0

    def __len__(self) -> int:
        return len(self._quick.waiting) + len(self._long.waiting)

    def push(self, held: Held, now: int) -> None:
        """Let a task wait for a worker."""
        self._count += 1
        held.queued_at = now
        line = self._quick if held.quick or held.job_kind != "run" else self._long
        line.push((*_rank(held), held.arrived, self._count, held))

    def drop(self, held: Held) -> None:
        """Take a task out of the queue or off its worker."""
        if held.job is None:
            for line in (self._quick, self._long):
                if held in line.waiting:
                    line.drop(held)
            return
        self.running.pop(held.job, None)
        held.job = None
        cost = self.tiny.pop(held, None)
        if cost is None:
            self._slow.pop(held, None)
        else:
            self._tiny_cost = self._tiny_cost - cost if self.tiny else 0.0

    def next(self) -> Held | None:
        """Take out the task to run next, None when no worker is free for any that waits."""
        quick_line, long_line = self._quick, self._long
        if not quick_line.waiting and not long_line.waiting:
            return None
        all_busy = not self.has_idle()
        idle = self._workers - len(self._slow)  # or busy with tiny tasks alone
        if all_busy and len(self.tiny) >= idle * MOST_AHEAD:
            return None
        quick = quick_line.first()
        long = long_line.first() if long_line.waiting and sum(self._slow.values()) < self.slots else None
        if quick is None or (long is not None and long < quick):
            return None if all_busy or long is None else self._start_long()
        cost = quick_line.waiting[quick[-1]]
        is_tiny = 0.0 < self._ahead >= cost
        if all_busy and not (is_tiny and self._tiny_cost + cost <= idle * self._ahead):
            return None
        held = quick_line.take()
        if is_tiny:
            self.tiny[held] = cost
            self._tiny_cost += cost
        else:
            self._slow[held] = False
        return held

    def _start_long(self) -> Held:
        held = self._long.take()
        self._slow[held] = True
        return held

    def hand_over(self, held: Held, to: Held) -> None:
        """The worker of a task is another's from now on, and so is its job."""
        job, was_long = held.job, self._slow.get(held, False)
        assert job is not None
        self.drop(held)
        to.job, to.started = job, held.started
        self.running[job] = to
        self._slow[to] = was_long

    def has_idle(self) -> bool:
        """Whether there is a worker that has nothing to do."""
        return len(self.running) < self._workers

    @property
    def busy(self) -> int:
        """Workers that have something to do."""
        return min(len(self.running), self._workers)

    def wait(self, now: int, quick: bool = False) -> float:
        """How long, in milliseconds, a task that came now would wait for a worker; ``quick`` if it is a quick one."""
        if len(self.running) + len(self._quick.waiting) + len(self._long.waiting) < self.slots:
            return 0.0
        if quick and self._express:
            held_up = len(self._slow) >= self._workers
            return (self._quick.cost + self._tiny_cost) / self._express + (LIGHT_BELOW_MS / 2 if held_up else 0.0)
        return self._wait(now, self._quick.cost + self._long.cost)

    def wait_of(self, held: Held, now: int) -> float:
        """How long this task would wait if it came now: behind those alone that go before it."""
        if held.quick and self._express:
            return self.wait(now, quick=True)
        order = _rank(held)
        before = [each.job_cost for each in self.waiting() if _rank(each) <= order]
        return self._wait(now, sum(before)) if len(self.running) + len(before) >= self.slots else 0.0

    def _wait(self, now: int, cost: float) -> float:
        """How long until a worker is free, where none is, with so much run time before."""
        left = [max(0.0, held.job_cost - (now - held.started)) for held in self._slow]
        soonest = 0.0 if self.tiny else min(left, default=0.0)
        return min(MOST_MS, max(soonest, (cost + sum(left) + self._tiny_cost) / max(1, self.slots)))

    def waiting(self) -> list[Held]:
        """Everything that waits, oldest first, quick tasks before the others."""
        return [*self._quick.waiting, *self._long.waiting]


def _rank(held: Held) -> tuple[int, int]:
    rank = -held.task.priority if held.job_kind == "run" else _FIRST
    return rank, _NO_DEADLINE if held.expires is None else held.expires
