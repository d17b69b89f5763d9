"""A bundle runs on one worker, call by call: each has its own outcome, and none waits for one that takes long."""

from __future__ import annotations

import os
import signal
from typing import Any

from fogsdk.core.events import JobApart, JobDone, JobFailed, JobLost, JobProgress
from fogsdk.node.pool import Pool
from fogsdk.node.pool_bundle import MOST_BYTES
from fogsdk.wire import bundles, values
from fogsdk.wire.cbor import read_data
from tests.node.executor_contract import TASKS, Bench, at_bench, on_a_loop
from tests.node.pool_support import fork_server


def calls(*arguments: tuple[Any, ...]) -> tuple[bytes, ...]:
    return tuple(values.encode([list(each), {}]) for each in arguments)


def each(bench: Bench, name: str, *arguments: tuple[Any, ...], **options: Any) -> int:
    """Start a bundle of calls."""
    return bench.start(name, kind="each", bodies=calls(*arguments), quick=True, **options)


def opened(outcomes: tuple[bundles.Item, ...] | list[Any]) -> list[Any]:
    """What each call returned, or what else became of it."""
    return [values.decode(item) if isinstance(item, (bytes, memoryview)) else item for item in outcomes]


async def done(bench: Bench, job: int) -> list[Any]:
    event = await bench.outcome(job)
    assert isinstance(event, JobDone), event
    return opened(read_data(event.value, 2))


async def apart(bench: Bench, job: int) -> JobApart:
    event = await bench.outcome(job)
    assert isinstance(event, JobApart), event
    return event


async def after(bench: Bench, job: int) -> Any:
    """What became of the call that a bundle was taken apart at."""
    return await bench.heard(lambda: next((e for e in bench.about(job) if not isinstance(e, JobApart)), None))


@on_a_loop
async def test_each_call_has_its_own_result_in_their_order() -> None:
    async with at_bench(Pool([TASKS], 2)) as bench:
        jobs = [each(bench, "increment", *[(64 * row + call,) for call in range(64)]) for row in range(10)]
        for row, job in enumerate(jobs):
            assert await done(bench, job) == [64 * row + call + 1 for call in range(64)]
        assert len(bench.events) == len(jobs)


@on_a_loop
async def test_a_call_that_fails_and_one_that_is_refused_leave_the_others_alone() -> None:
    async with at_bench(Pool([TASKS], 1)) as bench:
        job = each(bench, "increment", (1,), ("one",), (), (3,))
        first, failed, refused, last = await done(bench, job)
        assert (first, last) == (2, 4)
        assert failed[:2] == ["failed", "TypeError"]
        assert "increment" in failed[3]
        assert refused[:2] == ["refused", "bad-arguments"]
        assert refused[3] is None


@on_a_loop
async def test_what_is_done_does_not_wait_for_a_call_that_takes_long_and_that_runs_on() -> None:
    async with at_bench(Pool([TASKS], 1)) as bench:
        pid = await bench.value("worker_pid")
        job = each(bench, "pause", (0.0,), (0.0,), (0.4,), (0.0,))
        event = await apart(bench, job)
        assert opened(event.outcomes) == ["paused", "paused"]
        assert len(bench.about(job)) == 1, "the third runs still"
        third = await after(bench, job)
        assert isinstance(third, JobDone)
        assert values.decode(third.value) == "paused"
        assert third.ran >= 400
        assert await bench.value("worker_pid") == pid, "the worker lives, and did not begin the fourth"
        assert len(bench.about(job)) == 2


@on_a_loop
async def test_a_bundle_behind_one_that_is_not_quick_goes_elsewhere_whole() -> None:
    async with at_bench(Pool([TASKS], 1)) as bench:
        await bench.value("increment", 1)
        slow = bench.start("rest", 0.2, quick=True)
        behind = each(bench, "increment", (1,), (2,))
        assert await done(bench, behind) == [2, 3]
        assert isinstance(await bench.outcome(slow), JobDone)
        assert len(bench.about(behind)) == 1


@on_a_loop
async def test_a_call_that_kills_its_worker_is_the_only_one_that_is_lost() -> None:
    async with at_bench(Pool([TASKS], 1)) as bench:
        job = each(bench, "die_by", ("nothing",), ("SIGKILL",), ("nothing",))
        event = await apart(bench, job)
        assert len(event.outcomes) == 1
        assert isinstance(await after(bench, job), JobLost)
        assert await bench.value("increment", 1) == 2


@on_a_loop
async def test_a_worker_that_is_killed_loses_the_call_that_it_ran() -> None:
    async with at_bench(Pool([TASKS], 1)) as bench:
        await bench.value("increment", 1)
        job = each(bench, "pause", (0.0,), (30.0,), (0.0,))
        await apart(bench, job)
        os.kill(fork_server().children()[0].pid, signal.SIGKILL)
        assert isinstance(await after(bench, job), JobLost)


@on_a_loop
async def test_a_timeout_is_that_of_each_call_and_ends_the_one_that_overran_it() -> None:
    async with at_bench(Pool([TASKS], 1)) as bench:
        job = each(bench, "pause", *[(0.015,)] * 40, timeout=400)
        assert await done(bench, job) == ["paused"] * 40, "600 ms together"
        job = each(bench, "pause", (0.0,), (30.0,), timeout=400)
        assert len((await apart(bench, job)).outcomes) == 1
        event = await after(bench, job)
        assert isinstance(event, JobFailed)
        assert event.type == "TaskTimeout"


@on_a_loop
async def test_a_bundle_that_is_stopped_is_never_heard_of() -> None:
    async with at_bench(Pool([TASKS], 1)) as bench:
        await bench.value("increment", 1)
        running, waiting = each(bench, "pause", *[(0.01,)] * 64), each(bench, "increment", (1,), (2,))
        bench.executor.stop(waiting)
        bench.executor.stop(running)
        assert await bench.value("increment", 1) == 2
        assert bench.about(running) == bench.about(waiting) == []


@on_a_loop
async def test_results_that_are_many_bytes_together_are_not_kept_until_the_last() -> None:
    async with at_bench(Pool([TASKS], 1)) as bench:
        event = await apart(bench, each(bench, "blank", *[(MOST_BYTES // 4,)] * 16))
        assert 4 <= len(event.outcomes) < 16


@on_a_loop
async def test_a_call_that_tells_its_progress_goes_on_alone() -> None:
    async with at_bench(Pool([TASKS], 1)) as bench:
        job = each(bench, "report", ([],), ([0.1, 0.5],), ([],))
        assert opened((await apart(bench, job)).outcomes) == ["reported"]
        result = await bench.heard(lambda: next((e for e in bench.about(job) if isinstance(e, JobDone)), None))
        assert values.decode(result.value) == "reported"
        assert [each.fraction for each in bench.about(job) if isinstance(each, JobProgress)] == [0.1, 0.5]


@on_a_loop
async def test_the_jobs_after_a_bundle_that_was_taken_apart_find_the_worker_in_order() -> None:
    pool = Pool([TASKS], 1)
    async with at_bench(pool) as bench:
        for _ in range(5):
            job = each(bench, "pause", (0.0,), (0.05,), (0.0,), (0.0,))
            await apart(bench, job)
            assert isinstance(await after(bench, job), JobDone)
            assert await bench.value("increment", 1) == 2
        [worker] = pool._workers.values()
        assert pool._idle == [worker]
        assert not worker.bundles
        assert not worker.jobs
