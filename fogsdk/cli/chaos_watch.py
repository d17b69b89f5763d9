"""What users saw while ``fog chaos`` disturbed their fog: each task's latency, and the gaps in service."""

from __future__ import annotations

import math
import time
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from fogsdk.cli.loadgen import Kind, percentile

if TYPE_CHECKING:
    from fogsdk.device.future import FogFuture

AROUND = 5.0
"""Seconds before and after a disturbance with which it is compared."""


@dataclass
class Service(Kind):
    """The users' tasks. ``answers`` are when each was due (on ``time.perf_counter()``) and its latency in
    milliseconds."""

    args: tuple[Any, ...] = ()
    answers: list[tuple[float, float]] = field(default_factory=list)
    outcomes: Counter[str] = field(default_factory=Counter)

    @property
    def arguments(self) -> tuple[Any, ...]:
        return self.args

    def settle(self, future: FogFuture, milliseconds: float) -> None:
        """Count an outcome."""
        answered = self.answered
        super().settle(future, milliseconds)
        self.outcomes[future.id] += 1
        if self.answered > answered:
            self.answers.append((time.perf_counter() - milliseconds / 1000, milliseconds))

    @property
    def without_result(self) -> int:
        """Tasks whose user got no result, for whatever reason."""
        return self.submitted - self.answered

    @property
    def doubled(self) -> int:
        """Tasks that were settled more than once."""
        return sum(count > 1 for count in self.outcomes.values())

    def gaps(self) -> list[tuple[float, float]]:
        """The times, (from, to), in which somebody waited and nobody was answered."""
        by_end = sorted((due + ms / 1000, due) for due, ms in self.answers)
        earliest = math.inf
        gaps = []
        for index in range(len(by_end) - 1, -1, -1):
            end, due = by_end[index]
            earliest = min(earliest, due)
            before = by_end[index - 1][0] if index else -math.inf
            gaps.append((max(before, earliest), end))
        return gaps[::-1]


def longest_gap(service: Service, begin: float = -math.inf, end: float = math.inf) -> float:
    """Seconds of the longest gap that ended in this time."""
    return max((until - since for since, until in service.gaps() if begin <= until < end), default=0.0)


@dataclass(frozen=True)
class Effect:
    """What users saw of one disturbance: p99 in milliseconds of the tasks that were due before it, during it and after
    it, and the longest gap in service (seconds)."""

    tasks: int
    before: float | None
    during: float | None
    after: float | None
    gap: float


def effect(service: Service, begin: float, end: float) -> Effect:
    """What users saw of a disturbance from ``begin`` to ``end`` (on ``time.perf_counter()``)."""

    def due(since: float, until: float) -> list[float]:
        return [ms for when, ms in service.answers if since <= when < until]

    during = due(begin, end)
    before, after = due(begin - AROUND, begin), due(end, end + AROUND)
    p99 = [percentile(each, 0.99) for each in (before, during, after)]
    return Effect(len(during), p99[0], p99[1], p99[2], longest_gap(service, begin, end + AROUND))
