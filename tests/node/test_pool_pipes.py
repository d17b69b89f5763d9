"""Quick jobs wait in the pipes of the workers, and nobody notices but by the speed."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Sequence
from typing import Any

import pytest

from fogsdk.core.events import JobDone, JobFailed, JobLost
from fogsdk.node.pool import Pool
from fogsdk.node.pool_link import Link
from fogsdk.node.pool_worker import DEPTH
from fogsdk.wire import values
from fogsdk.wire.messages import Body
from tests.node.executor_contract import TASKS, Bench, at_bench, on_a_loop
from tests.node.pool_support import fork_server


async def with_jobs_behind(bench: Bench, first: str, *behind: str) -> tuple[int, list[int]]:
    """Start jobs that come to wait in one pipe, all said to be quick."""
    await bench.value("increment", 1)  # the workers are up
    running = bench.start(first, quick=True)
    return running, [bench.start(name, *([1] if name == "increment" else []), quick=True) for name in behind]


@on_a_loop
async def test_all_quick_jobs_come_to_their_own_result() -> None:
    async with at_bench(Pool([TASKS], 2)) as bench:
        jobs = {bench.start("increment", number, quick=True): number for number in range(4 * DEPTH)}
        outcomes = [await bench.outcome(job) for job in jobs]
        results = {event.job: values.decode(event.value) for event in outcomes if isinstance(event, JobDone)}
        assert results == {job: number + 1 for job, number in jobs.items()}
        assert len(bench.events) == len(jobs)


@on_a_loop
async def test_a_worker_that_dies_loses_the_job_that_it_ran_and_the_next_one_runs_elsewhere_without_blame() -> None:
    async with at_bench(Pool([TASKS], 1)) as bench:
        dying, behind = await with_jobs_behind(bench, "hang", "increment", "increment")
        await bench.begun(dying)
        os.kill(fork_server().children()[0].pid, signal.SIGKILL)
        assert isinstance(await bench.outcome(dying), JobLost)
        for job in behind:
            assert isinstance(await bench.outcome(job), JobDone)
            assert len(bench.about(job)) == 1


@on_a_loop
async def test_behind_a_job_that_is_not_quick_after_all_nobody_waits() -> None:
    async with at_bench(Pool([TASKS], 2)) as bench:
        slow = [bench.start("hang", quick=True)]
        await bench.begun(slow[0])
        jobs = [bench.start("increment", number, quick=True) for number in range(DEPTH)]
        for job in jobs:
            assert isinstance(await bench.outcome(job), JobDone)
        assert len(bench.about(slow[0])) == 1, "it still runs"


@on_a_loop
async def test_what_was_taken_away_from_a_worker_may_come_back_to_it_and_runs_once() -> None:
    pool = Pool([TASKS], 1)
    async with at_bench(pool) as bench:
        await bench.value("increment", 1)
        first = bench.start("rest", 0.2, quick=True)
        behind = [bench.start("increment", number, quick=True) for number in range(3)]
        for job in [first, *behind]:
            assert isinstance(await bench.outcome(job), JobDone)
            assert len(bench.about(job)) == 1
        [worker] = pool._workers.values()
        assert worker._given < DEPTH, "meanwhile they wait elsewhere, and are not sent again and again"
        assert await bench.value("increment", 1) == 2


@on_a_loop
async def test_a_job_that_is_stopped_in_the_pipe_is_never_heard_of_and_the_others_are_left_alone() -> None:
    async with at_bench(Pool([TASKS], 1)) as bench:
        await bench.value("increment", 1)
        pid = await bench.value("worker_pid")
        jobs = [bench.start("worker_pid", quick=True) for _ in range(3)]
        bench.executor.stop(jobs[1])
        assert isinstance(await bench.outcome(jobs[2]), JobDone)
        assert isinstance(await bench.outcome(jobs[0]), JobDone)
        assert bench.about(jobs[1]) == []
        assert await bench.value("worker_pid") == pid


@on_a_loop
async def test_a_job_that_was_stopped_in_the_pipe_and_runs_for_ever_all_the_same_is_ended() -> None:
    async with at_bench(Pool([TASKS], 1)) as bench:
        _, [endless] = await with_jobs_behind(bench, "worker_pid", "hang")
        bench.executor.stop(endless)
        assert await bench.value("increment", 1) == 2
        assert bench.about(endless) == []


@on_a_loop
async def test_stopping_the_job_that_runs_leaves_those_behind_it_to_others() -> None:
    async with at_bench(Pool([TASKS], 1)) as bench:
        running, behind = await with_jobs_behind(bench, "hang", "increment")
        bench.executor.stop(running)
        assert isinstance(await bench.outcome(behind[0]), JobDone)
        assert not [event for event in bench.about(running) if isinstance(event, (JobLost, JobDone))]


@on_a_loop
async def test_a_timeout_counts_from_when_the_job_begins_and_holds_for_it_alone() -> None:
    async with at_bench(Pool([TASKS], 1)) as bench:
        await bench.value("increment", 1)
        first = bench.start("rest", 0.015, quick=True, timeout=1000)
        overdue = bench.start("hang", quick=True, timeout=600)
        last = bench.start("increment", 1, quick=True, timeout=500)
        assert isinstance(await bench.outcome(first), JobDone)
        event = await bench.outcome(overdue)
        assert isinstance(event, JobFailed)
        assert event.type == "TaskTimeout"
        assert event.ran >= 600
        assert isinstance(await bench.outcome(last), JobDone)


@on_a_loop
async def test_a_timeout_counts_from_when_the_job_has_left_however_long_the_rest_of_that_turn_is() -> None:
    async with at_bench(Pool([TASKS], 2)) as bench:
        await bench.value("increment", 1)
        await bench.begun(bench.start("hang"))
        job = bench.start("increment", 1, quick=True, timeout=200)
        time.sleep(0.25)  # noqa: ASYNC251 - the turn of the event loop is to last
        assert isinstance(await bench.outcome(job), JobDone)


@on_a_loop
async def test_quick_jobs_leave_together_where_others_run_and_all_else_leaves_at_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    sent, send = [], Link.send

    def record(link: Link, fields: Sequence[Any], bodies: Sequence[Body] = (), *, soon: bool = False) -> None:
        sent.append(soon)
        send(link, fields, bodies, soon=soon)

    monkeypatch.setattr(Link, "send", record)
    async with at_bench(Pool([TASKS], 2)) as bench:
        await bench.value("increment", 1, quick=True)
        assert sent == [False], "it is alone"
        hanging = bench.start("hang")
        await bench.begun(hanging)
        await bench.value("increment", 1)
        assert sent == [False] * 3, "they are not quick"
        await bench.value("increment", 1, quick=True)
        assert sent == [*[False] * 3, True]


@on_a_loop
async def test_a_job_with_a_memory_limit_has_a_worker_to_itself() -> None:
    async with at_bench(Pool([TASKS], 1)) as bench:
        await bench.value("increment", 1)
        watched = bench.start("hang", quick=True, memory=2**30)
        await bench.begun(watched)
        waiting = bench.start("increment", 1, quick=True)
        bench.executor.stop(watched)
        assert isinstance(await bench.outcome(waiting), JobDone)


@on_a_loop
async def test_a_pool_polls_for_lone_quick_jobs_and_not_soon_again_where_one_took_longer(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    polled, poll = [], Link.busy_poll

    def busy_poll(link: Link, longest: float) -> bool:
        polled.append(poll(link, longest))
        return polled[-1]

    monkeypatch.setattr(Link, "busy_poll", busy_poll)
    async with at_bench(Pool([TASKS], 1, busy_poll=True)) as bench:
        await bench.value("increment", 1)
        assert polled == [], "nobody said that it is quick"
        for count in (*[1] * 16, 2):
            await bench.value("rest", 0.01, quick=True)
            assert polled == [False] * count


@on_a_loop
async def test_a_job_that_was_stopped_before_it_was_polled_for_is_not_polled_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    polled: list[float] = []
    monkeypatch.setattr(Link, "busy_poll", lambda _, longest: polled.append(longest))
    async with at_bench(Pool([TASKS], 2, busy_poll=True)) as bench:
        await bench.value("increment", 1)
        bench.executor.stop(bench.start("hang", quick=True))
        assert await bench.value("increment", 1) == 2
        assert polled == []
