"""Tasks waiting for a worker of this node: highest priority first, then earliest deadline, then first come."""

from __future__ import annotations

import heapq

from fogsdk.core.held import Held, State

_NO_DEADLINE = 2**62
_FIRST = -1000  # splits and merges: others wait for them


class RunQueue:
    """The queue in front of ``slots`` workers, and the guess at how long a task waits in it."""

    def __init__(self, slots: int) -> None:
        self.slots = slots
        self.running: dict[int, Held] = {}
        self.bytes = 0
        self._heap: list[tuple[int, int, int, Held]] = []
        self._waiting: dict[Held, None] = {}
        self._queued_ms = 0.0
        self._count = 0

    def __len__(self) -> int:
        return len(self._waiting)

    def push(self, held: Held, now: int) -> None:
        """Let a task wait for a worker."""
        rank = -held.task.priority if held.job_kind == "run" else _FIRST
        expires = _NO_DEADLINE if held.expires is None else held.expires
        self._count += 1
        held.queued_at = now
        heapq.heappush(self._heap, (rank, expires, self._count, held))
        self._waiting[held] = None
        self._queued_ms += held.job_cost
        self.bytes += len(held.task.body)

    def drop(self, held: Held) -> None:
        """Take a task out of the queue or off its worker."""
        if held in self._waiting:
            del self._waiting[held]
            self._queued_ms = max(0.0, self._queued_ms - held.job_cost) if self._waiting else 0.0
            self.bytes -= len(held.task.body)
        if held.job is not None:
            self.running.pop(held.job, None)
            held.job = None

    def next(self) -> Held | None:
        """Take out the task to run next, None when no worker is free or nothing waits."""
        if len(self.running) >= self.slots:
            return None
        while self._heap:
            held = heapq.heappop(self._heap)[3]
            if held in self._waiting and held.state is State.QUEUED:
                self.drop(held)
                return held
        return None

    def wait(self, now: int) -> float:
        """How long, in milliseconds, a task that came now would wait for a worker."""
        free = self.slots - len(self.running) - len(self._waiting)
        if free > 0:
            return 0.0
        left = [max(0.0, held.job_cost - (now - held.started)) for held in self.running.values()]
        soonest = min(left, default=0.0)
        return max(soonest, (self._queued_ms + sum(left)) / max(1, self.slots))

    def waiting(self) -> list[Held]:
        """Everything that waits, oldest first."""
        return list(self._waiting)
