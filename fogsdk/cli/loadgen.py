"""The load generator behind ``fog load``: when each task is sent, and what became of it.

It is an open loop: tasks are sent when they are due, whatever became of those before. A generator that waited
for answers would send less to a fog that is slow, and so hide that it is.
"""

from __future__ import annotations

import heapq
import math
import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import CancelledError
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from fogsdk.errors import DeadlineExceeded, FogError, TaskRefused

if TYPE_CHECKING:
    from fogsdk.device.fog import Fog
    from fogsdk.device.future import FogFuture

LOOK = 0.1
"""Seconds that the generator sleeps at the most."""
SHOW_EVERY, DRAWING = 0.5, 0.02
"""Seconds between two calls of ``show``, and what must be left for one until the next task is due: drawing must not
make tasks late. It is put off so for ten times as long at the most."""


@dataclass
class Kind:
    """One class of tasks: what is sent, how often (a second), and the outcomes.

    ``answered`` tasks returned a result, after ``latencies`` (milliseconds); ``expired`` ones passed the
    deadline that was sent along. They are ``late`` past ``deadline`` (seconds). ``lost`` ones have none.
    """

    label: str
    task: str
    milliseconds: float
    rate: float
    deadline: float
    submitted: int = 0
    in_time: int = 0
    late: int = 0
    expired: int = 0
    refused: int = 0
    failed: int = 0
    latencies: list[float] = field(default_factory=list)
    nodes: Counter[str] = field(default_factory=Counter)
    errors: Counter[str] = field(default_factory=Counter)

    @property
    def arguments(self) -> tuple[Any, ...]:
        return (self.milliseconds,)

    @property
    def answered(self) -> int:
        return len(self.latencies)

    @property
    def lost(self) -> int:
        return self.submitted - self.answered - self.expired - self.refused - self.failed

    def percentile(self, share: float) -> float | None:
        """The latency in milliseconds that ``share`` of the answered tasks did not exceed (nearest rank)."""
        return percentile(self.latencies, share)

    def settle(self, future: FogFuture, milliseconds: float) -> None:
        """Count an outcome."""
        try:
            future.result()
        except CancelledError:
            return  # given up by the generator itself: it is lost
        except DeadlineExceeded:
            self.expired += 1
            self.late += 1
        except TaskRefused as error:
            self.refused += 1
            self.errors[str(error)] += 1
        except FogError as error:
            self.failed += 1
            self.errors[str(error).partition("\n")[0]] += 1
        else:
            self.latencies.append(milliseconds)
            self.nodes.update(future.trace.nodes if future.trace else ())
            if milliseconds <= self.deadline * 1000:
                self.in_time += 1
            else:
                self.late += 1


def percentile(latencies: Sequence[float], share: float) -> float | None:
    """What ``share`` of the latencies did not exceed (nearest rank)."""
    ranked = sorted(latencies)
    return ranked[max(0, math.ceil(share * len(ranked)) - 1)] if ranked else None


def arrivals(rate: float, seconds: float, chance: random.Random | None) -> Iterator[float]:
    """When tasks are due, in seconds from the start: evenly, or with ``chance`` as a Poisson process."""
    if chance is None:
        yield from (number / rate for number in range(math.ceil(rate * seconds - 1e-9)))
        return
    at = chance.expovariate(rate)
    while at < seconds:
        yield at
        at += chance.expovariate(rate)


def schedule(kinds: list[Kind], seconds: float, seed: int | None) -> Iterator[tuple[float, int]]:
    """All arrivals in order: when, and the index of the kind. With ``seed`` they are a Poisson process."""
    return heapq.merge(
        *(
            [(at, index) for at in arrivals(kind.rate, seconds, _chance(seed, kind.label))]
            for index, kind in enumerate(kinds)
            if kind.rate > 0
        )
    )


def _chance(seed: int | None, label: str) -> random.Random | None:
    """Chance of its own for each kind: another rate of one leaves the arrivals of the others as they are."""
    return None if seed is None else random.Random(f"{seed} {label}")


class Generator:
    """Sends the tasks of ``kinds`` to a site. ``show`` is called now and then, for a live view."""

    def __init__(self, fog: Fog, kinds: list[Kind], enforce: bool, show: Callable[[], None]) -> None:
        self.lag = 0.0
        """Seconds that the latest task was sent after it was due, at the worst."""
        self._fog = fog
        self._kinds = kinds
        self._enforce = enforce
        self._show = show
        self._pending: dict[FogFuture, None] = {}
        self._settled = threading.Condition()
        self._shown = 0.0

    def run(self, arrivals: Iterator[tuple[float, int]], grace: float) -> None:
        """Send everything, then wait up to ``grace`` seconds for what is not settled; the rest is lost."""
        start = time.perf_counter()
        for at, index in arrivals:
            self._wait_until(start + at)
            self._submit(self._kinds[index], start + at)
        self._wait_until(time.perf_counter() + grace, unless_settled=True)
        with self._settled:
            left = list(self._pending)
        for future in left:
            future.cancel()

    def _submit(self, kind: Kind, due: float) -> None:
        self.lag = max(self.lag, time.perf_counter() - due)
        options: dict[str, Any] = {"deadline": kind.deadline} if self._enforce else {}
        kind.submitted += 1
        future = self._fog.submit(kind.task, *kind.arguments, **options)
        with self._settled:
            self._pending[future] = None
        future.add_done_callback(lambda _: self._done(kind, future, due))

    def _done(self, kind: Kind, future: FogFuture, due: float) -> None:
        # Measured from when it was due: that it was sent late is no merit of the fog.
        milliseconds = (time.perf_counter() - due) * 1000
        with self._settled:
            kind.settle(future, milliseconds)
            del self._pending[future]
            if not self._pending:
                self._settled.notify_all()

    def _show_if_due(self, left: float) -> None:
        overdue = time.perf_counter() - self._shown
        if overdue > (SHOW_EVERY if left > DRAWING else SHOW_EVERY * 10):
            self._show()
            self._shown = time.perf_counter()

    def _wait_until(self, moment: float, unless_settled: bool = False) -> None:
        while (left := moment - time.perf_counter()) > 0:
            self._show_if_due(left)
            if not unless_settled:
                time.sleep(max(0.0, min(moment - time.perf_counter(), LOOK)))
                continue
            with self._settled:
                if not self._pending:
                    return
                self._settled.wait(min(left, LOOK))
