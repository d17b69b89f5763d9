"""Jobs of all kinds on one pool, alone and in bundles, quick and not, stopped and killed at random: each has one end,
with what its own calls gave, and at the end every worker is idle, once."""

from __future__ import annotations

import asyncio
import random
import signal
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest

from fogsdk.core.events import JobApart, JobDone, JobEvent, JobFailed, JobLost, JobProgress
from fogsdk.node.pool import Pool
from fogsdk.node.worker_frames import Frame
from fogsdk.wire import values
from fogsdk.wire.cbor import read_data
from tests.node.executor_contract import TASKS, Bench, at_bench, on_a_loop

ROUNDS = 150
HOWS = (
    *[("", 0.0)] * 40,
    *[("pause", seconds) for seconds in (0.003, 0.012, 0.0205, 0.04)],
    *[("give", size) for size in (1000.0, 70_000.0)],
    ("tell", 0.0),
    ("fail", 0.0),
    ("fail", 0.0),
)
"""What calls do; one in a hundred kills its worker."""


class Crowd:
    """Makes up jobs, and remembers the keys of their calls."""

    def __init__(self, seed: int, pool: Pool, bench: Bench) -> None:
        self.random = random.Random(seed)
        self.jobs: dict[int, list[str]] = {}
        self.stopped: dict[int, int] = {}  # and how much had been said of each
        self._pool, self._bench = pool, bench

    def start(self) -> None:
        keys = [f"{len(self.jobs)}-{index}" for index in range(self.random.choice((1, 2, 5, 20)))]
        job = self._bench.start(
            "behave",
            kind="each" if len(keys) > 1 else "run",
            bodies=tuple(values.encode([[key, *self._how()], {}]) for key in keys),
            quick=self.random.random() < 0.9,
            timeout=self.random.choice((None, 30, 5000)),
        )
        self.jobs[job] = keys

    def _how(self) -> tuple[str, float]:
        return ("die", 0.0) if self.random.random() < 0.01 else self.random.choice(HOWS)

    def stop(self) -> None:
        job = self.random.choice(list(self.jobs)[-8:])
        if job in self._pool._running or job in self._pool._waiting:
            self._pool.stop(job)
            self.stopped[job] = len(self._bench.about(job))

    def kill(self) -> None:
        if self._pool._workers:
            self._pool.disturb([self.random.choice(list(self._pool._workers))], signal.SIGKILL)

    def read_singly(self) -> None:
        """Have each frame of a worker come in a reading of its own: so all crossings come about."""
        for worker in self._pool._workers.values():
            if not isinstance(worker.link._on_frames, _Singly):
                worker.link._on_frames = _Singly(_each_alone, worker.link._on_frames)


class _Singly(partial[None]):
    pass


def _each_alone(on_frames: Callable[[list[Frame]], None], frames: list[Frame]) -> None:
    for frame in frames:
        on_frames([frame])


@pytest.mark.parametrize("seed", range(3))
@on_a_loop
async def test_every_job_has_one_end_and_its_own_results(seed: int) -> None:
    pool = Pool([TASKS], 2)
    async with at_bench(pool) as bench:
        crowd = Crowd(seed, pool, bench)
        for _ in range(ROUNDS):
            crowd.read_singly()
            for _ in range(crowd.random.randint(1, 4)):
                crowd.start()
            await asyncio.sleep(crowd.random.choice((0.0, 0.001, 0.005, 0.03)))
            if crowd.random.random() < 0.08:
                crowd.stop()
            if crowd.random.random() < 0.04:
                crowd.kill()
            assert len(set(pool._idle)) == len(pool._idle)
            assert not any(worker.jobs for worker in pool._idle)
        await asyncio.wait_for(at_rest(pool), 30)
        for job, keys in crowd.jobs.items():
            if job in crowd.stopped:
                assert len(bench.about(job)) == crowd.stopped[job]
            else:
                check(keys, [event for event in bench.about(job) if not isinstance(event, JobProgress)])


async def at_rest(pool: Pool) -> None:
    """Wait until no job is left, and every worker is idle."""
    while pool._running or pool._waiting or len(pool._idle) < pool.slots:  # noqa: ASYNC110 - nobody tells
        await asyncio.sleep(0.01)
    for worker in pool._workers.values():
        assert [*worker.jobs, *worker.bundles, *worker.apart] == []


def check(keys: list[str], events: list[JobEvent]) -> None:
    """A job of these keys came to this end."""
    first, *more = events
    outcomes: list[Any] = []
    if isinstance(first, JobApart):
        outcomes += first.outcomes
        assert len(more) == first.at_work
    elif len(keys) > 1 and isinstance(first, JobDone):
        outcomes += read_data(first.value, 2)
        assert len(outcomes) == len(keys)
    else:
        more = events
    for event in more:
        assert isinstance(event, (JobDone, JobFailed, JobLost))
        if isinstance(event, JobDone):
            outcomes.append(event.value)
    assert len(more) <= 1
    for key, outcome in zip(keys, outcomes, strict=False):
        if isinstance(outcome, list):
            assert outcome[:3] == ["failed", "LookupError", key]
        else:
            assert values.decode(outcome)[0] == key
