"""The worker pool when processes die: workers, the fork server, the daemon itself."""

from __future__ import annotations

import itertools
import os
import signal
import time
from pathlib import Path

import psutil
import pytest

from fogsdk.core.events import JobDone, JobLost
from fogsdk.node.pool import Pool
from tests.node.executor_contract import TASKS, alive, at_bench, on_a_loop
from tests.node.pool_support import family, fork_server, until, write_module
from tests.support.processes import Processes
from tests.support.waiting import eventually

# How a worker can end


@pytest.mark.parametrize(
    ("how", "why"),
    [
        ("SIGKILL", "was killed by SIGKILL"),
        ("SIGABRT", "was killed by SIGABRT"),
        ("segfault", "was killed by SIGSEGV"),
        ("_exit", "exited with code 3"),
        ("exit", "exited with code 4"),
        ("exit with text", "exited with code 1"),
    ],
)
@on_a_loop
async def test_a_lost_job_says_how_its_worker_ended(how: str, why: str) -> None:
    async with at_bench(Pool([TASKS], 1)) as bench:
        event = await bench.run("die_by", how)
        assert event == JobLost(1, f"the worker {why}")
        assert await bench.value("increment", 1) == 2


@on_a_loop
async def test_a_worker_killed_from_outside_is_replaced_and_its_sibling_keeps_its_process() -> None:
    async with at_bench(Pool([TASKS], 2)) as bench:
        sibling = bench.start("hang")
        await bench.begun(sibling)
        victim_pid = await bench.value("worker_pid")
        victim = bench.start("hang")
        await bench.begun(victim)
        pids = {worker.pid for worker in fork_server().children()}
        os.kill(victim_pid, signal.SIGKILL)
        assert isinstance(await bench.outcome(victim), JobLost)
        replacement = await bench.value("worker_pid")
        assert replacement not in pids
        assert {worker.pid for worker in fork_server().children()} == pids - {victim_pid} | {replacement}
        assert len(bench.about(sibling)) == 1


@on_a_loop
async def test_an_idle_worker_that_is_killed_is_replaced_without_a_job_noticing() -> None:
    async with at_bench(Pool([TASKS], 1)) as bench:
        first = await bench.value("worker_pid")
        os.kill(first, signal.SIGKILL)
        await until(lambda: {worker.pid for worker in fork_server().children()} - {first})
        assert await bench.value("worker_pid") != first
        assert not [event for event in bench.events if isinstance(event, JobLost)]


@on_a_loop
async def test_a_replacement_is_up_within_milliseconds() -> None:
    """The best of several: other tests may have the machine busy."""
    async with at_bench(Pool([TASKS], 1)) as bench:
        times = []
        for _ in range(10):
            await bench.run("die_by", "SIGKILL")
            lost = time.perf_counter()
            await bench.value("increment", 1)
            times.append(time.perf_counter() - lost)
    assert min(times) < 0.05


@on_a_loop
async def test_workers_that_die_on_start_are_replaced_ever_more_slowly_until_they_live(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = tmp_path / "forks"
    monkeypatch.syspath_prepend(tmp_path)
    write_module(
        tmp_path,
        "doomed_tasks",
        f"""
        import os, pathlib, time
        def doom():
            log = pathlib.Path({str(log)!r})
            if log.exists():
                with log.open("a") as file:
                    file.write(f"{{time.monotonic()}}\\n")
                os._exit(9)
        os.register_at_fork(after_in_child=doom)
        """,
    )

    def forks() -> list[float]:
        return [float(line) for line in log.read_text().splitlines()]

    async with at_bench(Pool([TASKS, "doomed_tasks"], 2)) as bench:
        sibling = bench.start("hang")
        await bench.begun(sibling)
        await bench.value("increment", 1)  # both workers are up
        log.touch()
        await bench.run("die_by", "SIGKILL")
        waiting = bench.start("increment", 1)
        await until(lambda: len(forks()) == 5)
        times = forks()
        log.unlink()
        gaps = [after - before for before, after in itertools.pairwise(times)]
        assert gaps[1] > 0.09
        assert gaps[2] > 0.19
        assert gaps[3] > 0.39
        assert len(bench.about(sibling)) == 1
        assert isinstance(await bench.outcome(waiting), JobDone)


@on_a_loop
async def test_a_killed_fork_server_is_replaced_and_its_jobs_are_lost() -> None:
    async with at_bench(Pool([TASKS], 1)) as bench:
        running, waiting = bench.start("hang"), bench.start("increment", 1)
        await bench.begun(running)
        old = family()
        fork_server().kill()
        assert await bench.outcome(running) == JobLost(running, "the worker died with its fork server")
        assert isinstance(await bench.outcome(waiting), JobDone)
        assert alive(old) == []


@pytest.mark.parametrize("end", ["stop", "timeout", "death"])
@on_a_loop
async def test_a_program_that_a_task_started_ends_with_its_worker(end: str) -> None:
    async with at_bench(Pool([TASKS], 1)) as bench:
        job = bench.start("hang_with_program", timeout=300 if end == "timeout" else None)
        await bench.begun(job)
        [program] = [process for process in family() if process.name() == "sleep"]
        if end == "stop":
            bench.executor.stop(job)
        if end == "death":
            fork_server().children()[0].kill()
        await until(lambda: not alive([program]))


# The daemon's death


DAEMON = """
    import asyncio, sys
    from fogsdk.node.pool import Pool
    from fogsdk.core.commands import Start
    from fogsdk.wire import values

    async def main():
        nothing = (values.encode([[], {}]),)
        pool = Pool(sys.argv[1:], 2)
        print("opening", flush=True)
        await pool.open(lambda *events: print(*events, flush=True))
        pool.start(Start(1, "run", "hang_with_program", nothing))
        await asyncio.Event().wait()

    asyncio.run(main())
"""


@pytest.mark.parametrize("moment", ["at work", "importing"])
def test_no_process_outlives_a_daemon_that_is_killed(moment: str, processes: Processes, tmp_path: Path) -> None:
    write_module(tmp_path, "daemon", DAEMON)
    write_module(tmp_path, "endless_tasks", "print('importing'); import threading; threading.Event().wait()")
    modules = [TASKS, "endless_tasks"] if moment == "importing" else [TASKS]
    daemon = processes.start_python(tmp_path / "daemon.py", *modules)
    daemon.wait_for("importing" if moment == "importing" else "JobProgress")
    started = psutil.Process(daemon.pid).children(recursive=True)
    assert len(started) == (1 if moment == "importing" else 4)  # fork server, two workers, the task's program
    daemon.kill()
    eventually(lambda: not alive(started), what="the end of what the daemon started")
