"""A bundle runs on one worker, call by call: each has its own outcome, and none waits for one that takes long."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from fogsdk.core.events import JobApart, JobDone, JobFailed, JobLost, JobProgress
from fogsdk.node import pool_worker
from fogsdk.node.pool import Pool
from fogsdk.node.pool_worker import Worker
from fogsdk.node.worker_frames import Frame
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


async def outcomes(bench: Bench, name: str, *arguments: tuple[Any, ...]) -> list[Any]:
    """What becomes of each call. Where a bundle ends early, as on a machine that has much else to do, the rest goes on
    in another, as it would as tasks of their own."""
    job = each(bench, name, *arguments)
    event = await bench.outcome(job)
    if isinstance(event, JobDone):
        return opened(read_data(event.value, 2))
    assert isinstance(event, JobApart), event
    assert not event.at_work
    count = len(event.outcomes)
    return [*opened(event.outcomes), *await outcomes(bench, name, *arguments[count:])]


async def apart(bench: Bench, job: int) -> JobApart:
    event = await bench.outcome(job)
    assert isinstance(event, JobApart), event
    return event


async def apart_at(bench: Bench, index: int, name: str, *arguments: tuple[Any, ...], **options: Any) -> int:
    """Have a bundle taken apart while this call of it is at work, and return its job; another one, where it ended
    before."""
    while True:
        job = each(bench, name, *arguments, **options)
        event = await apart(bench, job)
        if event.at_work:
            assert len(event.outcomes) == index
            return job
        assert len(event.outcomes) <= index


async def after(bench: Bench, job: int) -> Any:
    """What became of the call that a bundle was taken apart at."""
    return await bench.heard(lambda: next((e for e in bench.about(job) if not isinstance(e, JobApart)), None))


@pytest.fixture
def endless_patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine that has much else to do makes nothing of a bundle."""
    monkeypatch.setattr(pool_worker, "PATIENCE", 60.0)


@pytest.mark.usefixtures("endless_patience")
@on_a_loop
async def test_each_call_has_its_own_result_in_their_order() -> None:
    async with at_bench(Pool([TASKS], 2)) as bench:
        rows = [range(64 * row, 64 * (row + 1)) for row in range(10)]
        found = await asyncio.gather(*[outcomes(bench, "increment", *[(call,) for call in row]) for row in rows])
        assert found == [[call + 1 for call in row] for row in rows]


@pytest.mark.usefixtures("endless_patience")
@on_a_loop
async def test_a_call_that_fails_and_one_that_is_refused_leave_the_others_alone() -> None:
    async with at_bench(Pool([TASKS], 1)) as bench:
        first, failed, refused, last = await outcomes(bench, "increment", (1,), ("one",), (), (3,))
        assert (first, last) == (2, 4)
        assert failed[:2] == ["failed", "TypeError"]
        assert "increment" in failed[3]
        assert refused[:2] == ["refused", "bad-arguments"]
        assert refused[3] is None


@on_a_loop
async def test_what_is_done_does_not_wait_for_a_call_that_takes_long_and_that_runs_on() -> None:
    async with at_bench(Pool([TASKS], 1)) as bench:
        pid = await bench.value("worker_pid")
        job = await apart_at(bench, 2, "pause", (0.0,), (0.0,), (0.4,), (0.0,))
        [event] = bench.about(job)
        assert isinstance(event, JobApart)
        assert opened(event.outcomes) == ["paused", "paused"]
        third = await after(bench, job)
        assert isinstance(third, JobDone)
        assert values.decode(third.value) == "paused"
        assert third.ran >= 400
        assert await bench.value("worker_pid") == pid, "the worker lives, and did not begin the fourth"
        assert len(bench.about(job)) == 2


@on_a_loop
async def test_of_a_bundle_that_its_worker_did_not_come_to_the_first_call_runs_there_and_no_other() -> None:
    pool = Pool([TASKS], 1)
    async with at_bench(pool) as bench:
        pid = await bench.value("worker_pid")
        os.kill(pid, signal.SIGSTOP)
        job = each(bench, "increment", (1,), (2,), (3,))
        event = await apart(bench, job)
        assert event.outcomes == ()
        os.kill(pid, signal.SIGCONT)
        first = await after(bench, job)
        assert isinstance(first, JobDone)
        assert values.decode(first.value) == 2
        assert await bench.value("worker_pid") == pid
        assert len(bench.about(job)) == 2


@on_a_loop
async def test_a_bundle_behind_one_that_is_not_quick_goes_elsewhere_whole() -> None:
    async with at_bench(Pool([TASKS], 1)) as bench:
        await bench.value("increment", 1)
        slow = bench.start("rest", 0.2, quick=True)
        assert await outcomes(bench, "increment", (1,), (2,)) == [2, 3]
        assert isinstance(await bench.outcome(slow), JobDone)


@pytest.mark.usefixtures("endless_patience")
@on_a_loop
async def test_a_call_that_kills_its_worker_is_the_only_one_that_is_lost() -> None:
    async with at_bench(Pool([TASKS], 1)) as bench:
        job = await apart_at(bench, 1, "die_by", ("nothing",), ("SIGKILL",), ("nothing",))
        assert isinstance(await after(bench, job), JobLost)
        assert await bench.value("increment", 1) == 2


@on_a_loop
async def test_a_worker_that_is_killed_loses_the_call_that_it_ran() -> None:
    async with at_bench(Pool([TASKS], 1)) as bench:
        await bench.value("increment", 1)
        job = await apart_at(bench, 1, "pause", (0.0,), (30.0,), (0.0,))
        os.kill(fork_server().children()[0].pid, signal.SIGKILL)
        assert isinstance(await after(bench, job), JobLost)


@pytest.mark.usefixtures("endless_patience")
@on_a_loop
async def test_a_timeout_ends_the_call_that_overran_it_and_no_other() -> None:
    async with at_bench(Pool([TASKS], 1)) as bench:
        job = await apart_at(bench, 1, "pause", (0.0,), (30.0,), (0.0,), timeout=400)
        event = await after(bench, job)
        assert isinstance(event, JobFailed)
        assert event.type == "TaskTimeout"
        assert event.ran >= 400


@pytest.mark.usefixtures("endless_patience")
@on_a_loop
async def test_a_bundle_that_takes_long_in_all_ends_early_though_no_call_does() -> None:
    async with at_bench(Pool([TASKS], 1)) as bench:
        job = each(bench, "pause", *[(0.004,)] * 30)
        event = await apart(bench, job)
        assert 1 <= len(event.outcomes) <= 3
        assert not event.at_work
        assert await bench.value("increment", 1) == 2
        assert len(bench.about(job)) == 1


@on_a_loop
async def test_a_bundle_that_is_stopped_is_never_heard_of() -> None:
    async with at_bench(Pool([TASKS], 1)) as bench:
        await bench.value("increment", 1)
        running, waiting = each(bench, "pause", (30.0,), (0.0,)), each(bench, "increment", (1,), (2,))
        bench.executor.stop(waiting)
        bench.executor.stop(running)
        assert await bench.value("increment", 1) == 2
        assert bench.about(running) == bench.about(waiting) == []


@pytest.mark.usefixtures("endless_patience")
@on_a_loop
async def test_much_is_given_alone_and_what_comes_behind_it_is_not_begun(tmp_path: Path) -> None:
    async with at_bench(Pool([TASKS], 1)) as bench:
        marks = tmp_path / "marks"
        job = await apart_at(bench, 2, "mark", *[(str(marks), size) for size in [0, 0, 100_000, *[0] * 61]])
        result = await after(bench, job)
        assert isinstance(result, JobDone)
        assert len(values.decode(result.value)) == 100_000
        assert await bench.value("increment", 1) == 2
        assert len(marks.read_bytes()) == begun(bench)


@pytest.mark.usefixtures("endless_patience")
@on_a_loop
async def test_a_call_that_tells_its_progress_goes_on_alone_and_behind_it_no_other_is_begun(tmp_path: Path) -> None:
    async with at_bench(Pool([TASKS], 1)) as bench:
        marks = tmp_path / "marks"
        job = await apart_at(bench, 2, "mark", *[(str(marks), 0, number == 2) for number in range(64)])
        result = await bench.heard(lambda: next((e for e in bench.about(job) if isinstance(e, JobDone)), None))
        assert values.decode(result.value) == b""
        assert [each.fraction for each in bench.about(job) if isinstance(each, JobProgress)] == [0.5]
        assert await bench.value("increment", 1) == 2
        assert len(marks.read_bytes()) == begun(bench)


def begun(bench: Bench) -> int:
    """Calls that were begun in bundles, as the pool has it."""
    bundles = [event for event in bench.events if isinstance(event, JobApart)]
    return sum(len(event.outcomes) + event.at_work for event in bundles)


# ---------------------------------------------------------------- calls that run on though nobody listens


def take_apart(pool: Pool) -> None:
    """Have the pool take a bundle apart while the worker gets on with it."""
    [worker] = pool._workers.values()
    pool._held_up(worker)


@pytest.mark.usefixtures("endless_patience")
@on_a_loop
async def test_what_a_worker_says_before_it_hears_that_a_bundle_is_apart_is_nobodys() -> None:
    pool = Pool([TASKS], 1)
    async with at_bench(pool) as bench:
        pid = await bench.value("worker_pid")
        for _ in range(20):
            job = each(bench, "increment", *[(number,) for number in range(64)])
            take_apart(pool)
            behind = bench.start("increment", 100, quick=True)
            first = await after(bench, job)
            assert isinstance(first, JobDone)
            assert values.decode(first.value) == 1
            answer = await bench.outcome(behind)
            assert isinstance(answer, JobDone)
            assert values.decode(answer.value) == 101
            assert len(bench.about(job)) == 2
        assert await bench.value("worker_pid") == pid
        [worker] = pool._workers.values()
        assert pool._idle == [worker]
        assert [*worker.jobs, *worker.bundles, *worker.apart] == []


@on_a_loop
async def test_one_of_them_that_never_ends_is_ended_and_blamed_on_nobody() -> None:
    pool = Pool([TASKS], 1)
    async with at_bench(pool) as bench:
        await bench.value("increment", 1)
        job = each(bench, "pause", (0.001,), (30.0,))
        take_apart(pool)
        behind = bench.start("increment", 1, timeout=60_000)
        assert isinstance(await after(bench, job), JobDone)
        answer = await bench.outcome(behind)
        assert isinstance(answer, JobDone)
        assert len(bench.about(behind)) == 1


@on_a_loop
async def test_one_of_them_that_kills_the_worker_is_blamed_on_nobody() -> None:
    pool = Pool([TASKS], 1)
    async with at_bench(pool) as bench:
        await bench.value("increment", 1)
        job = each(bench, "die_by", ("nothing",), ("_exit",))
        take_apart(pool)
        behind = bench.start("increment", 1)
        assert isinstance(await bench.outcome(behind), JobDone)
        assert [type(event) for event in bench.about(job)] in ([JobApart, JobFailed], [JobApart, JobLost])


def one_at_a_time(pool: Pool) -> None:
    """Have each frame of the workers come in a reading of its own."""
    for worker in pool._workers.values():
        worker.link._on_frames = partial(_each_alone, worker.link._on_frames)


def _each_alone(on_frames: Callable[[list[Frame]], None], frames: list[Frame]) -> None:
    for frame in frames:
        on_frames([frame])


@on_a_loop
async def test_a_worker_that_says_twice_that_no_more_will_come_is_idle_once() -> None:
    pool = Pool([TASKS], 1)
    async with at_bench(pool) as bench:
        await bench.value("increment", 1)
        one_at_a_time(pool)
        job = await apart_at(bench, 1, "pause", (0.0,), (0.06,), (0.0,))
        assert isinstance(await after(bench, job), JobDone)
        for _ in range(3):
            assert await bench.value("increment", 1) == 2
        assert len(pool._idle) == 1


@pytest.mark.usefixtures("endless_patience")
@on_a_loop
async def test_what_is_much_ends_its_own_bundle_and_not_one_before_it(tmp_path: Path) -> None:
    pool = Pool([TASKS], 1)
    async with at_bench(pool) as bench:
        await bench.value("increment", 1)
        marks = str(tmp_path / "marks")
        bench.start("rest", 0.005, quick=True)
        first = each(bench, "mark", (marks,), (marks, 0, True))
        second = each(bench, "mark", (marks, 70_000), (marks,), (marks,))
        assert (await apart(bench, first)).outcomes != ()
        event = await apart(bench, second)
        assert (event.outcomes, event.at_work) == ((), True)
        result = await after(bench, second)
        assert isinstance(result, JobDone)
        assert len(values.decode(result.value)) == 70_000


@on_a_loop
async def test_a_bundle_that_is_stopped_when_it_has_begun_keeps_no_other_job_waiting(tmp_path: Path) -> None:
    pool = Pool([TASKS], 1)
    async with at_bench(pool) as bench:
        await bench.value("increment", 1)
        bench.start("rest", 0.002, quick=True)
        stopped = each(bench, "pause", (0.0,), (60.0,))
        asyncio.get_running_loop().call_soon(time.sleep, 0.05)  # the daemon is at something else, the worker at the 2nd
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        pool.stop(stopped)
        assert await bench.value("increment", 1) == 2
        assert bench.about(stopped) == []


async def gone_on_behind_one_that_is_closing(bench: Bench, worker: Worker) -> tuple[int, int]:
    """Two bundles in one pipe, both of them apart: of the first only the last word is to come, of the second a call is
    at work."""
    first, second = each(bench, "pause", (0.0,), (0.0,)), each(bench, "pause", (30.0,), (0.0,))
    one, other = worker.jobs
    said: list[Frame] = [([one, "progress", 0.5], ()), ([one, "done", 0.1], (b"\xf6",)), ([other, "progress", 0.5], ())]
    worker.link._on_frames(said)
    assert list(worker.jobs) == [one, other]
    assert worker.jobs[one] is None
    assert isinstance(bench.about(first)[-1], JobDone)
    return first, second


@pytest.mark.usefixtures("endless_patience")
@on_a_loop
async def test_a_call_that_went_on_behind_a_bundle_that_is_closing_is_lost_alone() -> None:
    pool = Pool([TASKS], 1)
    async with at_bench(pool) as bench:
        await bench.value("increment", 1)
        [worker] = pool._workers.values()
        _, second = await gone_on_behind_one_that_is_closing(bench, worker)
        os.kill(worker.pid, signal.SIGKILL)
        assert isinstance(await bench.heard(lambda: lost(bench, second)), JobLost)
        assert [type(event) for event in bench.about(second)] == [JobApart, JobProgress, JobLost]


@pytest.mark.usefixtures("endless_patience")
@on_a_loop
async def test_a_call_that_went_on_there_is_killed_where_it_is_stopped() -> None:
    pool = Pool([TASKS], 1)
    async with at_bench(pool) as bench:
        pid = await bench.value("worker_pid")
        [worker] = pool._workers.values()
        _, second = await gone_on_behind_one_that_is_closing(bench, worker)
        pool.stop(second)
        assert worker.number in pool._workers
        assert await bench.value("worker_pid") != pid
        assert [type(event) for event in bench.about(second)] == [JobApart, JobProgress]


def lost(bench: Bench, job: int) -> JobLost | None:
    return next((event for event in bench.about(job) if isinstance(event, JobLost)), None)
