"""The worker pool: the promises of every executor, limits, what tasks may do, and opening."""

from __future__ import annotations

import asyncio
import os
import resource
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from fogsdk.core.commands import Start
from fogsdk.core.events import JobDone, JobFailed, JobProgress, JobSplit
from fogsdk.errors import ConfigError
from fogsdk.node import pool
from fogsdk.node.pool import Pool
from fogsdk.wire import limits, values
from tests.node.executor_contract import TASKS, ExecutorContract, alive, at_bench, on_a_loop
from tests.node.pool_support import family, write_module

MIB = 2**20


class TestPool(ExecutorContract):
    """The pool is an executor."""

    @pytest.fixture
    def executor(self) -> Pool:
        return Pool([TASKS], 2)


class QuickPool(Pool):
    """One that takes every job for a quick one."""

    def start(self, job: Start) -> None:
        super().start(replace(job, quick=True))


class TestPoolThatPolls(ExecutorContract):
    """The pool is an executor also where jobs wait in pipes, and where it polls for each that is alone."""

    @pytest.fixture
    def executor(self, monkeypatch: pytest.MonkeyPatch) -> Pool:
        monkeypatch.setattr(pool, "_BUSY_POLL", 0.01)  # most jobs of the contract are done within that
        monkeypatch.setattr(pool, "_AFTER_A_MISS", 0)
        return QuickPool([TASKS], 2, busy_poll=True)


# Limits


@on_a_loop
async def test_a_job_that_grows_past_its_memory_limit_fails_and_its_sibling_does_not() -> None:
    async with at_bench(Pool([TASKS], 2)) as bench:
        sibling = bench.start("hang")
        await bench.begun(sibling)
        event = await bench.run("hoard", 100_000, memory=64 * MIB)
        assert isinstance(event, JobFailed)
        assert event.type == "MemoryLimit"
        assert "its limit is 64 MiB" in event.message
        assert await bench.value("hoard", 16, memory=64 * MIB) == 16
        assert len(bench.about(sibling)) == 1


@on_a_loop
async def test_a_memory_error_under_a_limit_is_reported_as_the_limit() -> None:
    async with at_bench(Pool([TASKS], 1)) as bench:
        event = await bench.run("ask_for_too_much", memory=64 * MIB)
        assert isinstance(event, JobFailed)
        assert event.type == "MemoryLimit"
        assert "64 MiB" in event.message
        event = await bench.run("ask_for_too_much")
        assert isinstance(event, JobFailed)
        assert event.type == "MemoryError"


@on_a_loop
async def test_the_pools_memory_limit_holds_for_jobs_that_set_none() -> None:
    async with at_bench(Pool([TASKS], 1, memory=64 * MIB)) as bench:
        event = await bench.run("hoard", 100_000)
        assert isinstance(event, JobFailed)
        assert event.type == "MemoryLimit"


@on_a_loop
async def test_a_stopped_job_that_was_still_waiting_never_runs() -> None:
    async with at_bench(Pool([TASKS], 1)) as bench:
        running, waiting = bench.start("hang"), bench.start("increment", 1)
        await bench.begun(running)
        bench.executor.stop(waiting)
        bench.executor.stop(running)
        assert await bench.value("increment", 2) == 3
        assert bench.about(waiting) == []


@on_a_loop
async def test_more_large_results_than_files_may_be_open_all_come() -> None:
    """They are kept for a while, in case that somebody asks again."""
    async with at_bench(Pool([TASKS], 1)) as bench:
        ours, most = resource.getrlimit(resource.RLIMIT_NOFILE)
        os.close(free := os.dup(0))
        resource.setrlimit(resource.RLIMIT_NOFILE, (free + 20, most))
        try:
            events = [await bench.run("give_back", bytes([number]) * limits.INLINE_SIZE) for number in range(40)]
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (ours, most))
    for number, event in enumerate(events):
        assert isinstance(event, JobDone), event
        assert values.decode(event.value) == bytes([number]) * limits.INLINE_SIZE


# What tasks do


@on_a_loop
async def test_64_mib_go_in_and_out_while_the_event_loop_stays_responsive() -> None:
    data = os.urandom(MIB) * 64
    async with at_bench(Pool([TASKS], 1)) as bench:
        job = bench.start("count_bytes", data, kind="split", shares=(0.5, 0.5))
        small = 0
        while not bench.about(job):
            await asyncio.sleep(0)
            small += 1
        event = await bench.outcome(job)
    assert isinstance(event, JobSplit)
    halves = [values.decode(part)[0][0] for part in event.parts]
    assert b"".join(halves) == data
    assert small > 100


@on_a_loop
async def test_what_tasks_write_goes_to_standard_error_and_leaves_the_protocol_alone(
    capfd: pytest.CaptureFixture[str],
) -> None:
    async with at_bench(Pool([TASKS], 1)) as bench:
        await bench.value("write_everywhere")
        assert await bench.value("read_input") == ""
    output = capfd.readouterr()
    assert output.out == ""
    for text in ("printed\n", "printed to stderr", "written to descriptor 1", "echoed by a program"):
        assert text in output.err


@on_a_loop
async def test_progress_is_limited_to_some_twenty_a_second() -> None:
    async with at_bench(Pool([TASKS], 1)) as bench:
        began = time.monotonic()
        job = bench.start("report", [step / 50_000 for step in range(50_001)])
        await bench.outcome(job)
        took = time.monotonic() - began
    reports = [event.fraction for event in bench.about(job) if isinstance(event, JobProgress)]
    assert reports[-1] == 1.0
    assert len(reports) <= took * 20 + 2


@on_a_loop
async def test_a_task_that_forks_and_lets_the_child_return_gives_one_result() -> None:
    async with at_bench(Pool([TASKS], 1)) as bench:
        assert await bench.value("fork_and_return") == "parent"
        assert await bench.value("increment", 1) == 2
    assert len(bench.events) == 2


@on_a_loop
async def test_a_task_may_use_processes_and_leave_threads_and_programs_behind() -> None:
    async with at_bench(Pool([TASKS], 1)) as bench:
        assert await bench.value("use_processes") == 9
        await bench.value("leave_thread")
        program = psutil.Process(await bench.value("leave_program"))
        assert await bench.value("increment", 1) == 2
    assert alive([program]) == []


@on_a_loop
async def test_exceptions_of_every_kind_are_the_tasks_failure() -> None:
    async with at_bench(Pool([TASKS], 1)) as bench:
        cancelled = await bench.run("raise_cancelled")
        surrogate = await bench.run("raise_surrogate")
    assert isinstance(cancelled, JobFailed)
    assert cancelled.type == "CancelledError"
    assert isinstance(surrogate, JobFailed)
    assert surrogate.message == "caf\\udce9"


@on_a_loop
async def test_every_worker_draws_its_own_random_numbers() -> None:
    async with at_bench(Pool([TASKS, "numpy.random"], 1)) as bench:
        draws = []
        for _ in range(3):
            draws += await bench.value("draw")
            await bench.run("die_by", "SIGKILL")
    assert len(set(draws)) == 6


@on_a_loop
async def test_a_module_that_starts_a_thread_on_import_gets_workers_of_their_own_start(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The thread holds a lock: a fork would find it held for ever."""
    monkeypatch.syspath_prepend(tmp_path)
    write_module(
        tmp_path,
        "threaded_tasks",
        """
        import threading, time
        from fogsdk.tasks import task
        lock = threading.Lock()
        def hold_most_of_the_time():
            while True:
                with lock:
                    time.sleep(0.01)
        threading.Thread(target=hold_most_of_the_time, daemon=True).start()
        @task
        def take_lock() -> bool:
            with lock:
                return True
        """,
    )
    async with at_bench(Pool(["threaded_tasks"], 2)) as bench:
        for job in [bench.start("take_lock") for _ in range(4)]:
            assert isinstance(await bench.outcome(job), JobDone)


@on_a_loop
async def test_ctrl_c_does_not_reach_workers() -> None:
    async with at_bench(Pool([TASKS], 1)) as bench:
        job = bench.start("hang")
        await bench.begun(job)
        for process in family():
            process.send_signal(signal.SIGINT)
            assert os.getsid(process.pid) != os.getsid(0)
        bench.executor.stop(job)
        assert await bench.value("increment", 1) == 2


# Opening


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        ("import no_such_library", "cannot import the task module 'broken_tasks': ModuleNotFoundError"),
        ("def f(:", "SyntaxError"),
        ("import sys; sys.exit(5)", "SystemExit(5)"),
        ("raise RuntimeError('x' * 3_000_000)", "RuntimeError: xxx"),
        ("raise RuntimeError(chr(0xDC80))", "RuntimeError: \\udc80"),
        ("import os; os._exit(5)", "exited with code 5"),
        ("import os; os.kill(os.getpid(), 11)", "was killed by SIGSEGV"),
    ],
)
@on_a_loop
async def test_a_task_module_that_cannot_be_imported_is_a_config_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, source: str, reason: str
) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    write_module(tmp_path, "broken_tasks", source)
    pool = Pool(["broken_tasks"], 2)
    with pytest.raises(ConfigError) as caught:
        await pool.open(print)
    assert reason in str(caught.value)
    assert family() == []


@on_a_loop
async def test_a_module_that_takes_long_to_import_or_has_no_task_is_told_of(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr("fogsdk.node.pool_forkserver._LONG", 0.05)
    (tmp_path / "slow_tasks.py").write_text("import time; time.sleep(0.3)\n")
    pool = Pool(["slow_tasks"], 1)
    await pool.open(print)
    await pool.close()
    assert "still importing slow_tasks" in caplog.text
    assert "no function in slow_tasks is a task" in caplog.text


def _many_tasks(count: int, about: str = "") -> str:
    return f"""
from fogsdk.tasks import task

for number in range({count}):
    def run(number): pass
    run.__doc__ = {about!r}
    task(name=f"task-{{number}}")(run)
"""


@on_a_loop
async def test_more_tasks_than_a_node_can_announce_are_a_config_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No device could read its birth: it would run, and nobody would see it."""
    monkeypatch.syspath_prepend(tmp_path)
    write_module(tmp_path, "very_many_tasks", _many_tasks(limits.TASKS + 1))
    with pytest.raises(ConfigError, match="declare 1025 tasks, and a node announces 1024 at the most"):
        await Pool(["very_many_tasks"], 1).open(print)
    assert family() == []


@on_a_loop
async def test_as_many_tasks_as_a_node_can_announce_may_all_be_described_at_length(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    write_module(tmp_path, "many_tasks", _many_tasks(limits.TASKS, "long " * 1000))
    async with at_bench(Pool(["many_tasks"], 1)) as bench:
        assert len(bench.offered) == limits.TASKS


@on_a_loop
async def test_open_can_be_cancelled_while_a_module_is_imported(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    write_module(tmp_path, "endless_tasks", "import threading; threading.Event().wait()")
    with pytest.raises(asyncio.TimeoutError):
        await asyncio.wait_for(Pool(["endless_tasks"], 1).open(print), 0.3)
    assert family() == []


def test_importing_the_pool_is_light() -> None:
    """psutil waits for the first memory limit, and nothing else heavy comes along."""
    code = "import sys, fogsdk.node.pool; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not {"psutil", "numpy", "multiprocessing", "concurrent.futures.process"} & set(done.stdout.split())
