"""The Dask engine on real clusters: the promises of every executor, stopping, and what comes back."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import psutil
import pytest

from fogsdk.cloud.dask_engine import DaskEngine
from fogsdk.core.events import JobDone, JobFailed, JobRefused
from fogsdk.wire import values
from fogsdk.wire.messages import TaskInfo
from tests.node.executor_contract import TASKS, Bench, ExecutorContract, alive, at_bench, on_a_loop
from tests.node.pool_support import family, until
from tests.support.fixtures import no_process_is_left
from tests.support.ports import free_port
from tests.support.processes import Processes, Program
from tests.support.waiting import eventually

__all__ = ["no_process_is_left"]

MODULES = [TASKS, "tests.cloud.cloud_tasks"]
MIB = 2**20


class Cluster:
    """A Dask cluster as an administrator would start it: a scheduler, and a program with worker processes."""

    def __init__(self, folder: Path) -> None:
        self._programs = Processes(folder)
        self.port = free_port()
        self.address = f"dask://127.0.0.1:{self.port}"

    def start(self, *options: str) -> None:
        """Start the scheduler, and the worker program with these options."""
        self._start("scheduler", "--host", "127.0.0.1", "--port", str(self.port))
        self._nanny = self._start("worker", f"tcp://127.0.0.1:{self.port}", "--host", "127.0.0.1", *options)

    def _start(self, *command: str) -> Program:
        settings = {
            "DASK_DISTRIBUTED__SCHEDULER__ALLOWED_FAILURES": "1",
            "DASK_DISTRIBUTED__SCHEDULER__WORK_STEALING_INTERVAL": "100ms",
        }
        return self._programs.start_python("-m", "dask", *command, "--no-dashboard", environ=settings)

    def workers(self) -> set[int]:
        """The process ids of the workers."""
        below = psutil.Process(self._nanny.pid).children()
        return {process.pid for process in below if "spawn_main" in str(process.cmdline())}

    def kill(self) -> None:
        """End everything with SIGKILL, the scheduler first."""
        self._programs.kill()


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """A cluster of two workers with one thread each."""
    cluster = Cluster(tmp_path_factory.mktemp("cluster"))
    cluster.start("--nworkers", "2", "--nthreads", "1")
    yield cluster
    cluster.kill()


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    """A cluster that is not started yet."""
    cluster = Cluster(tmp_path)
    yield cluster
    cluster.kill()


@pytest.fixture
def gate(tmp_path: Path) -> Path:
    """Makes ``wait_for`` return once it is there."""
    return tmp_path / "gate"


@pytest.fixture
def notes(tmp_path: Path) -> Path:
    """Where tasks leave notes."""
    return tmp_path / "notes"


def open_gate(gate: Path) -> None:
    gate.touch()


def pid_in(notes: Path) -> int:
    return int(notes.read_text())


async def progress_of(bench: Bench, job: int, times: int) -> None:
    """Wait until a job has reported progress so many times."""
    await bench.heard(lambda: len(bench.about(job)) >= times or None)


async def value_of(bench: Bench, job: int) -> object:
    """Wait for a job that succeeds, and return its result."""
    event = await bench.outcome(job)
    assert isinstance(event, JobDone), event
    return values.decode(event.value)


# A cluster of the engine's own. These come first, while the shared one does not run yet.


def test_a_local_cluster_ends_with_its_engine() -> None:
    engine = DaskEngine("dask-local", MODULES, 2)
    ExecutorContract().test_close_leaves_no_process_even_with_jobs_running_and_waiting(engine)


@on_a_loop
async def test_open_can_be_cancelled_while_a_local_cluster_starts() -> None:
    before = family()
    opening = asyncio.ensure_future(DaskEngine("dask-local", MODULES, 1).open(print))
    await until(lambda: len(family()) > len(before) + 1)  # it has workers, or begins to
    started = [process for process in family() if process not in before]
    opening.cancel()
    with pytest.raises(asyncio.CancelledError):
        await opening
    assert alive(started) == []


@on_a_loop
async def test_a_local_cluster_that_is_killed_is_replaced_and_its_jobs_run_again(
    tmp_path: Path,
    gate: Path,
    notes: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    """It also finds task modules where the engine does, lets tasks print, and keeps quiet."""
    (tmp_path / "own_tasks.py").write_text("from fogsdk.tasks import task\n@task\ndef own() -> int: return 5\n")
    monkeypatch.syspath_prepend(tmp_path)
    before = family()
    async with at_bench(DaskEngine("dask-local", [*MODULES, "own_tasks"], 1)) as bench:
        assert await bench.value("own") == 5
        assert await bench.value("print_much") == "printed"
        job = bench.start("wait_for", str(gate), str(notes))
        await bench.begun(job)
        cluster = [process for process in family() if process not in before]
        cluster[0].kill()
        await progress_of(bench, job, 2)
        assert alive(cluster) == []
        open_gate(gate)
        assert await value_of(bench, job) == 2
    output = capfd.readouterr()
    assert "Traceback" not in output.err
    assert "distributed" not in output.err


def test_a_local_cluster_does_not_outlive_an_engine_that_is_killed(processes: Processes) -> None:
    code = """
import asyncio
from fogsdk.cloud.dask_engine import DaskEngine
from fogsdk.core.commands import Start
from tests.support.fixtures import no_process_is_left

__all__ = ["no_process_is_left"]

async def main():
    engine = DaskEngine(None, ["tests.cloud.cloud_tasks"], 1)
    await engine.open(print)
    print("open")
    engine.start(Start(1, "run", "hog", (bytes.fromhex("8280a0"),)))  # [[], {}]
    await asyncio.Event().wait()

asyncio.run(main())
"""
    program = processes.start_python("-c", code)
    program.wait_for("open")
    cluster = psutil.Process(program.pid).children(recursive=True)
    assert len(cluster) >= 2
    program.kill()
    eventually(lambda: not alive(cluster), what="the end of the cluster")


# A cluster that is there


class TestDaskEngine(ExecutorContract):
    """The engine is an executor, on a cluster that is there already."""

    @pytest.fixture
    def executor(self, shared: Cluster) -> DaskEngine:
        offered = [TaskInfo("increment", signature="(number: int) -> int", summary="Return the next number.")]
        return DaskEngine(shared.address, MODULES, 2, offered)

    def test_close_leaves_no_process_even_with_jobs_running_and_waiting(self) -> None:  # type: ignore[override]
        """The processes are not the engine's here: see test_a_local_cluster_ends_with_its_engine."""


# Stopping


@on_a_loop
async def test_a_task_in_python_code_is_stopped_without_harm_to_its_worker(
    shared: Cluster, gate: Path, notes: Path
) -> None:
    async with at_bench(DaskEngine(shared.address, MODULES, 2)) as bench:
        assert await bench.value("increment", 1) == 2
        await until(lambda: len(shared.workers()) == 2)
        workers = shared.workers()
        for _ in range(2):
            job = bench.start("wait_for", str(gate), str(notes))
            await bench.begun(job)
            bench.executor.stop(job)
        assert [await bench.value("increment", number) for number in range(4)] == [1, 2, 3, 4]
        assert shared.workers() == workers


@on_a_loop
async def test_a_task_that_never_lets_go_of_the_interpreter_is_killed_and_its_sibling_is_not(
    shared: Cluster, gate: Path, notes: Path
) -> None:
    async with at_bench(DaskEngine(shared.address, MODULES, 2)) as bench:
        sibling = bench.start("wait_for", str(gate), str(notes))
        await bench.begun(sibling)
        event = await bench.run("hog", timeout=200)
        assert isinstance(event, JobFailed)
        assert (event.type, event.message) == ("TaskTimeout", "hog took longer than its limit of 0.2 s")
        assert event.ran >= 200
        assert await bench.value("increment", 1) == 2
        open_gate(gate)
        assert await value_of(bench, sibling) == 1  # it was begun once


@on_a_loop
async def test_jobs_stopped_on_their_way_to_a_worker_leave_it_free(shared: Cluster) -> None:
    async with at_bench(DaskEngine(shared.address, MODULES, 2)) as bench:
        assert await bench.value("increment", 1) == 2
        for number in range(6):
            job = bench.start("hang")
            await asyncio.sleep(number * 0.004)  # from before it is sent until after it has begun
            bench.executor.stop(job)
        bench.events.clear()
        for job in [bench.start("hang") for _ in range(2)]:
            await bench.begun(job)
        assert len(bench.events) == 2


@on_a_loop
async def test_a_stuck_task_is_spared_where_its_worker_runs_others_too(
    cluster: Cluster, gate: Path, notes: Path, caplog: pytest.LogCaptureFixture
) -> None:
    cluster.start("--no-nanny", "--nthreads", "2")
    async with at_bench(DaskEngine(cluster.address, MODULES, 2)) as bench:
        sibling = bench.start("wait_for", str(gate), str(notes))
        await bench.begun(sibling)
        stuck = bench.start("hang")
        await bench.begun(stuck)
        bench.executor.stop(stuck)
        await until(lambda: "which may run others too" in caplog.text)
        open_gate(gate)
        assert await value_of(bench, sibling) == 1


# Limits and order


@on_a_loop
async def test_a_job_that_grows_past_its_memory_limit_fails(shared: Cluster) -> None:
    async with at_bench(DaskEngine(shared.address, MODULES, 2)) as bench:
        event = await bench.run("hoard", 100_000, memory=64 * MIB)
        assert isinstance(event, JobFailed)
        assert event.type == "MemoryLimit"
        assert "its limit is 64 MiB" in event.message
        assert await bench.value("hoard", 8, memory=64 * MIB) == 8


@on_a_loop
async def test_higher_priorities_go_first_and_a_stopped_job_that_waits_never_runs(
    shared: Cluster, gate: Path, notes: Path
) -> None:
    async with at_bench(DaskEngine(shared.address, MODULES, 1)) as bench:
        await bench.begun(bench.start("wait_for", str(gate), str(gate) + "-notes"))
        jobs = [bench.start("note", str(notes), priority, priority=priority) for priority in (0, -5, 7, 0)]
        bench.executor.stop(bench.start("note", str(notes), "stopped", priority=9))
        open_gate(gate)
        # Each says which line of the notes is its own.
        assert [await value_of(bench, job) for job in jobs] == [2, 4, 1, 3]


@on_a_loop
async def test_a_module_that_the_workers_cannot_import_refuses_the_job_and_says_so(shared: Cluster) -> None:
    async with at_bench(DaskEngine(shared.address, [*MODULES, "no_such_module"], 2)) as bench:
        event = await bench.run("increment", 1)
    assert isinstance(event, JobRefused)
    assert event.reason == "unknown-task"
    assert "cannot import the task module 'no_such_module'" in event.message


# What dies and comes back


@on_a_loop
async def test_a_job_whose_worker_is_killed_runs_again(shared: Cluster, gate: Path, notes: Path) -> None:
    async with at_bench(DaskEngine(shared.address, MODULES, 2)) as bench:
        job = bench.start("wait_for", str(gate), str(notes))
        await bench.begun(job)
        os.kill(pid_in(notes), signal.SIGKILL)
        await progress_of(bench, job, 2)
        open_gate(gate)
        assert await value_of(bench, job) == 2


@on_a_loop
async def test_jobs_outlive_a_cluster_that_comes_late_and_is_killed_once(
    cluster: Cluster, gate: Path, notes: Path
) -> None:
    async with at_bench(DaskEngine(cluster.address, MODULES, 1)) as bench:
        job = bench.start("wait_for", str(gate), str(notes))
        cluster.start("--no-nanny", "--nthreads", "1")
        await bench.begun(job)
        waiting = bench.start("increment", 1)
        cluster.kill()
        while_away = bench.start("increment", 2)
        cluster.start("--no-nanny", "--nthreads", "1")
        await progress_of(bench, job, 2)
        open_gate(gate)
        assert [await value_of(bench, number) for number in (job, waiting, while_away)] == [2, 2, 3]


@contextlib.asynccontextmanager
async def cable(port: int) -> AsyncIterator[Cable]:
    """A connection to a port that can be cut."""
    cable = Cable(port)
    server = await asyncio.start_server(cable.connect, "127.0.0.1", 0)
    cable.address = f"dask://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    try:
        yield cable
    finally:
        server.close()
        await cable.cut()


class Cable:
    """Passes on what comes in at ``address``."""

    address: str

    def __init__(self, far: int) -> None:
        self._far = far
        self._passing: set[asyncio.Task[None]] = set()

    async def connect(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self._far)
        for source, target in ((reader, far_writer), (far_reader, writer)):
            task = asyncio.create_task(self._pass_on(source, target))
            self._passing.add(task)

    async def _pass_on(self, source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
        with contextlib.closing(target), contextlib.suppress(OSError):
            while data := await source.read(65536):
                target.write(data)

    async def cut(self) -> None:
        """Break every connection that there is; new ones are let through."""
        cut, self._passing = self._passing, set()
        for task in cut:
            task.cancel()
        await asyncio.gather(*cut, return_exceptions=True)


@on_a_loop
async def test_a_cut_connection_starts_a_job_again_and_frees_the_worker_that_had_it(
    shared: Cluster, gate: Path, notes: Path
) -> None:
    async with cable(shared.port) as link, at_bench(DaskEngine(link.address, MODULES, 2)) as bench:
        job = bench.start("wait_for", str(gate), str(notes))
        await bench.begun(job)
        await link.cut()
        await progress_of(bench, job, 2)
        await bench.begun(bench.start("hang"))  # there are two workers


# Before anything runs


def test_importing_the_engine_does_not_import_dask(processes: Processes) -> None:
    """A daemon that only bridges does not pay for it."""
    code = "import sys, fogsdk.cloud.dask_engine; print({'dask', 'distributed'} & set(sys.modules))"
    program = processes.start_python("-c", code)
    assert program.wait() == 0
    assert program.output == "set()\n"
