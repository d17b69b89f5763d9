"""What every executor promises: a class of tests to inherit, and the bench that they work at.

A test class that inherits ``ExecutorContract`` has a fixture ``executor``: one that is not open yet, has two
slots or more, and runs the tasks of ``TASKS``.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import math
from collections.abc import AsyncIterator, Callable, Coroutine
from typing import Any, ParamSpec, TypeVar

import psutil
import pytest

from fogsdk.core.commands import Start
from fogsdk.core.events import (
    Asked,
    CloudReached,
    JobDone,
    JobEvent,
    JobFailed,
    JobLost,
    JobProgress,
    JobRefused,
    JobSplit,
    Offer,
)
from fogsdk.node.executor import Executor
from fogsdk.wire import limits, values
from fogsdk.wire.messages import TaskInfo

TASKS = "tests.node.pool_tasks"
PATIENCE = 30.0  # seconds

P = ParamSpec("P")
T = TypeVar("T")


def on_a_loop(test: Callable[P, Coroutine[Any, Any, None]]) -> Callable[P, None]:
    """Make a coroutine function into a test: it runs on an event loop of its own."""

    @functools.wraps(test)
    def run(*args: P.args, **kwargs: P.kwargs) -> None:
        asyncio.run(test(*args, **kwargs))

    return run


class Bench:
    """An executor, the jobs given to it, and what it has said."""

    def __init__(self, executor: Executor) -> None:
        self.executor = executor
        self.events: list[JobEvent] = []
        self.offered: tuple[TaskInfo, ...] = ()
        self._jobs = 0
        self._heard = asyncio.Event()

    def emit(self, *events: JobEvent | Offer | CloudReached | Asked) -> None:
        for event in events:
            if not isinstance(event, (Offer, CloudReached, Asked)):
                self.events.append(event)
                self._heard.set()
            elif isinstance(event, Offer):
                self.offered = event.tasks

    def start(
        self,
        name: str,
        *args: Any,
        kind: str = "run",
        bodies: tuple[bytes, ...] | None = None,
        **options: Any,
    ) -> int:
        """Start a job with these arguments (or ``bodies`` as they are); return its number."""
        self._jobs += 1
        if bodies is None:
            bodies = (values.encode([list(args), {}]),)
        self.executor.start(Start(self._jobs, kind, name, bodies, **options))
        return self._jobs

    def about(self, job: int) -> list[JobEvent]:
        """Everything that was said about a job."""
        return [event for event in self.events if event.job == job]

    async def heard(self, find: Callable[[], T | None]) -> T:
        """Wait until ``find`` finds something in what was said."""

        async def search() -> T:
            while (found := find()) is None:
                self._heard.clear()
                await self._heard.wait()
            return found

        return await asyncio.wait_for(search(), PATIENCE)

    async def outcome(self, job: int) -> JobEvent:
        """Wait for the end of a job."""

        def find() -> JobEvent | None:
            return next((event for event in self.about(job) if not isinstance(event, JobProgress)), None)

        return await self.heard(find)

    async def begun(self, job: int) -> None:
        """Wait until a job has reported progress."""
        await self.heard(lambda: self.about(job) or None)

    async def run(self, name: str, *args: Any, **options: Any) -> JobEvent:
        """Run a job to its end."""
        return await self.outcome(self.start(name, *args, **options))

    async def value(self, name: str, *args: Any, **options: Any) -> Any:
        """Run a job that succeeds, and return its result."""
        event = await self.run(name, *args, **options)
        assert isinstance(event, JobDone), event
        return values.decode(event.value)


@contextlib.asynccontextmanager
async def at_bench(executor: Executor) -> AsyncIterator[Bench]:
    """Open the executor, and close it at the end."""
    bench = Bench(executor)
    await executor.open(bench.emit)
    try:
        yield bench
    finally:
        await executor.close()


def alive(processes: list[psutil.Process]) -> list[psutil.Process]:
    """Those that still run."""
    return [process for process in processes if _runs(process)]


def _runs(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


class ExecutorContract:
    """The tests. Each opens the ``executor`` fixture and closes it."""

    @on_a_loop
    async def test_it_offers_its_tasks_as_they_were_declared(self, executor: Executor) -> None:
        async with at_bench(executor) as bench:
            [offered] = [info for info in bench.offered if info.name == "increment"]
        assert (offered.signature, offered.summary) == ("(number: int) -> int", "Return the next number.")

    @on_a_loop
    async def test_a_job_gives_its_result_and_how_long_it_ran(self, executor: Executor) -> None:
        async with at_bench(executor) as bench:
            event = await bench.run("increment", 41)
        assert isinstance(event, JobDone)
        assert values.decode(event.value) == 42
        assert 0 <= event.ran < PATIENCE * 1000

    @on_a_loop
    async def test_a_task_that_raises_fails_with_type_message_and_its_own_traceback(self, executor: Executor) -> None:
        async with at_bench(executor) as bench:
            event = await bench.run("raise_error", "no such plant")
        assert isinstance(event, JobFailed)
        assert (event.type, event.message) == ("LookupError", "no such plant")
        assert "in raise_error" in event.traceback
        assert "fogsdk" not in event.traceback.partition("pool_tasks.py")[0]

    @on_a_loop
    async def test_wrong_arguments_are_refused_and_the_signature_is_shown(self, executor: Executor) -> None:
        async with at_bench(executor) as bench:
            event = await bench.run("increment", 1, 2)
        assert isinstance(event, JobRefused)
        assert event.reason == "bad-arguments"
        assert "increment(number: " in event.message

    @on_a_loop
    async def test_bytes_that_are_no_arguments_are_refused(self, executor: Executor) -> None:
        async with at_bench(executor) as bench:
            event = await bench.run("increment", bodies=(b"\xff\x00nonsense",))
        assert isinstance(event, JobRefused)
        assert event.reason == "bad-arguments"

    @on_a_loop
    async def test_a_task_that_nobody_declared_is_refused(self, executor: Executor) -> None:
        async with at_bench(executor) as bench:
            event = await bench.run("no-such-task")
        assert isinstance(event, JobRefused)
        assert event.reason == "unknown-task"
        assert "no-such-task" in event.message

    @on_a_loop
    async def test_a_long_refusal_is_cut_and_costs_no_worker(self, executor: Executor) -> None:
        """Its text may be a sender's: three workers lost with a task, and nobody gets it any more."""
        async with at_bench(executor) as bench:
            wrong_name = values.encode([[1], {"x" * 1_100_000: 1}])
            for event in (
                await bench.run("increment", bodies=(wrong_name,)),
                await bench.run("refuse", "no", "é" * 2**21),
            ):
                assert isinstance(event, JobRefused), event
                assert len(event.message) <= limits.TEXT_LENGTH

    @pytest.mark.parametrize(
        ("reason", "seconds", "said"),
        [
            ("Not An Id", None, "a-z, 0-9 and '-', and is not 'Not An Id'"),
            (["no-disk"], None, "a-z, 0-9 and '-', and is not ['no-disk']"),
            ("no-disk", math.nan, "retry_after is a number of seconds, 0 or more, or None, and not nan"),
            ("no-disk", math.inf, "and not inf"),
            ("no-disk", -1, "and not -1"),
        ],
    )
    @on_a_loop
    async def test_a_refusal_that_cannot_be_told_is_a_failure_that_says_so(
        self, executor: Executor, reason: object, seconds: object, said: str
    ) -> None:
        async with at_bench(executor) as bench:
            event = await bench.run("refuse", reason, "why", seconds)
            assert isinstance(event, JobFailed), event
            assert event.type == "TaskDefinitionError"
            assert said in event.message
            event = await bench.run("refuse", "no-disk", "why", 2.5)
            assert isinstance(event, JobRefused)
            assert (event.reason, event.message, event.retry_after) == ("no-disk", "why", 2500)

    @on_a_loop
    async def test_a_result_that_cannot_be_sent_fails_and_says_why(self, executor: Executor) -> None:
        async with at_bench(executor) as bench:
            event = await bench.run("make_unsendable")
        assert isinstance(event, JobFailed)
        assert "cannot send a builtins.object" in event.message

    @on_a_loop
    async def test_progress_comes_in_order_and_the_last_of_it_before_the_result(self, executor: Executor) -> None:
        async with at_bench(executor) as bench:
            job = bench.start("report", [0.25, 0.5, 0.75, 1.0])
            await bench.outcome(job)
        *reports, outcome = bench.about(job)
        assert isinstance(outcome, JobDone)
        fractions = [event.fraction for event in reports if isinstance(event, JobProgress)]
        assert len(fractions) == len(reports)
        assert fractions == sorted(fractions)
        assert fractions[-1] == 1.0

    @on_a_loop
    async def test_split_gives_the_arguments_of_each_part_and_merge_the_whole(self, executor: Executor) -> None:
        async with at_bench(executor) as bench:
            split = await bench.run("sum_up", [1, 2, 3, 4], kind="split", shares=(0.75, 0.25))
            assert isinstance(split, JobSplit)
            assert [values.decode(part) for part in split.parts] == [[[[1, 2, 3]], {}], [[[4]], {}]]
            parts = [await bench.run("sum_up", bodies=(part,)) for part in split.parts]
            results = tuple(part.value for part in parts if isinstance(part, JobDone))
            assert await bench.value("sum_up", kind="merge", bodies=results) == 10

    @on_a_loop
    async def test_a_split_into_more_parts_than_there_are_shares_fails(self, executor: Executor) -> None:
        async with at_bench(executor) as bench:
            event = await bench.run("add_too_many", 1, kind="split", shares=(0.5, 0.5))
            assert isinstance(event, JobFailed), event
            assert event.message == "split returned 500000 parts for 2 shares"

    @on_a_loop
    async def test_a_step_takes_the_state_and_gives_the_next_one_and_a_result(self, executor: Executor) -> None:
        async with at_bench(executor) as bench:
            bodies = (values.encode([[2], {}]), values.encode(5))
            state, result = await bench.value("count_up", kind="step", bodies=bodies)
            assert (values.decode(state), values.decode(result)) == (7, "it is 7")
            failed = await bench.run("increment", kind="step", bodies=bodies)
            assert isinstance(failed, JobRefused), "it takes no state"

    @on_a_loop
    async def test_as_many_jobs_run_at_once_as_there_are_slots(self, executor: Executor) -> None:
        async with at_bench(executor) as bench:
            for job in [bench.start("hang") for _ in range(executor.slots)]:
                await bench.begun(job)

    @on_a_loop
    async def test_more_jobs_than_slots_all_come_to_their_own_result(self, executor: Executor) -> None:
        async with at_bench(executor) as bench:
            jobs = {bench.start("increment", number): number for number in range(200)}
            outcomes = [await bench.outcome(job) for job in jobs]
        results = {event.job: values.decode(event.value) for event in outcomes if isinstance(event, JobDone)}
        assert results == {job: number + 1 for job, number in jobs.items()}
        assert len(bench.events) == len(jobs)

    @on_a_loop
    async def test_a_stopped_job_is_killed_and_never_heard_of_again(self, executor: Executor) -> None:
        async with at_bench(executor) as bench:
            jobs = [bench.start("hang") for _ in range(executor.slots)]
            for job in jobs:
                await bench.begun(job)
                executor.stop(job)
            bench.events.clear()
            assert await bench.value("increment", 1) == 2  # there is room again
            assert not [job for job in jobs if bench.about(job)]

    @on_a_loop
    async def test_a_job_past_its_timeout_fails_and_its_slot_is_free_again(self, executor: Executor) -> None:
        async with at_bench(executor) as bench:
            jobs = [bench.start("hang", timeout=300) for _ in range(executor.slots)]
            for job in jobs:
                event = await bench.outcome(job)
                assert isinstance(event, JobFailed)
                assert event.type == "TaskTimeout"
                assert "0.3 s" in event.message
            assert await bench.value("increment", 1) == 2

    @on_a_loop
    async def test_a_job_whose_worker_dies_is_lost_and_others_are_not(self, executor: Executor) -> None:
        async with at_bench(executor) as bench:
            other = bench.start("hang")
            await bench.begun(other)
            event = await bench.run("die_by", "SIGKILL")
            assert isinstance(event, JobLost)
            assert event.why
            assert await bench.value("increment", 1) == 2
            assert len(bench.about(other)) == 1  # it still runs

    @on_a_loop
    async def test_close_leaves_no_process_even_with_jobs_running_and_waiting(self, executor: Executor) -> None:
        ours = psutil.Process()
        before = ours.children(recursive=True)
        async with at_bench(executor) as bench:
            jobs = [bench.start("hang") for _ in range(2 * executor.slots)]
            await bench.begun(jobs[0])
            started = [process for process in ours.children(recursive=True) if process not in before]
            # multiprocessing keeps its resource tracker for as long as this process lives.
            started = [process for process in started if "resource_tracker" not in str(process.cmdline())]
        assert started
        assert alive(started) == []
