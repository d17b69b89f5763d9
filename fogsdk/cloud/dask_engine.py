"""The executor of a core site: runs jobs on a Dask cluster, its own on this machine or one that is elsewhere.

A job goes to Dask when one of the engine's slots is free, and stays the engine's until it has an answer. When
the connection to the cluster breaks, each job without one goes to Dask again over the next connection, and
whoever started it notices no more than a delay. A worker that dies is Dask's to replace, and its job Dask's
to run again, until Dask gives the job up: then it is lost, which is not an answer of the task's own.
"""

from __future__ import annotations

import asyncio
import contextlib
import heapq
import logging
import uuid
from collections.abc import Callable, Coroutine, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from fogsdk.cloud import dask_worker
from fogsdk.cloud.dask_link import Link
from fogsdk.core.commands import Start
from fogsdk.core.events import (
    JobDone,
    JobEvent,
    JobFailed,
    JobLost,
    JobProgress,
    JobRefused,
    JobSplit,
    Offer,
)
from fogsdk.errors import ConfigError
from fogsdk.node.executor import Emit
from fogsdk.wire.messages import TaskInfo

_GRACE = 0.5  # seconds that a stopped task has to end before its worker process is killed
_AGAIN = 0.1  # seconds before a job whose connection broke goes to Dask again
_CLOSE = 3.0  # seconds that stopped jobs have to leave their workers when the engine closes
_DASK_PORT = 8786
_MIB = 2**20

log = logging.getLogger(__name__)


@dataclass(eq=False)
class _Job:
    """A job without an answer yet, and where it is.

    ``worker`` is known from when one took it; ``workers`` are all that ever did. ``watches`` hold this run to
    its limits; one that is ``greedy`` has outgrown its memory, and is not asked to end but killed.
    """

    start: Start
    rank: tuple[int, int]
    runner: asyncio.Task[None] | None = None
    key: str = ""
    worker: str = ""
    workers: set[str] = field(default_factory=set)
    alone: bool = False
    began: float = 0.0
    watches: list[asyncio.Task[None]] = field(default_factory=list)
    greedy: bool = False

    def __lt__(self, other: _Job) -> bool:
        return self.rank < other.rank


class DaskEngine:
    """Executor that runs the tasks of ``modules`` on a Dask cluster.

    ``address`` is ``"dask://host:port"`` for a cluster that is elsewhere (without a port: 8786), or ``"dask-local"``
    (also None) for ``workers`` processes on this machine. The modules are imported by name in the workers; ``offered``
    are their tasks. ``workers`` is also how many jobs run at once: a cluster elsewhere should have as many threads, one
    to a worker process, and nannies. Where a worker runs several jobs, memory limits are not held, and a stopped task
    that stays in C code is not killed.

    Raises ConfigError for any other address.
    """

    def __init__(
        self, address: str | None, modules: Sequence[str], workers: int, offered: Iterable[TaskInfo] = ()
    ) -> None:
        if workers < 1:
            raise ConfigError(f"the Dask engine needs at least 1 worker, not {workers}")
        self.slots = workers
        self._modules = tuple(modules)
        self._offered = tuple(offered)
        self._link = Link(_scheduler(address), workers)
        self._topic = f"fogsdk-{uuid.uuid4().hex}"
        self._jobs: dict[int, _Job] = {}
        self._keys: dict[str, _Job] = {}
        self._waiting: list[_Job] = []
        self._tasks: set[asyncio.Task[None]] = set()
        self._busy = 0
        self._count = 0
        self._closing = False

    async def open(self, emit: Emit) -> None:
        """Start the local cluster, or begin to connect to the one elsewhere: jobs wait until it answers.

        Raises ConfigError when Dask is not installed, or the local cluster does not start.
        """
        self._emit = emit
        emit(Offer(self._offered))
        await self._link.open()

    def start(self, job: Start) -> None:
        """Run a job, as soon as a slot is free and the cluster there; higher priorities go first."""
        self._count += 1
        mine = _Job(job, rank=(-job.priority, self._count))
        self._jobs[job.job] = mine
        heapq.heappush(self._waiting, mine)
        self._feed()

    def stop(self, job: int) -> None:
        """Stop a job, wherever it is. Nothing more is emitted for it."""
        if job in self._jobs:
            self._end(self._jobs[job])

    async def close(self) -> None:
        """Stop every job and disconnect; the processes of a local cluster are gone afterwards."""
        self._closing = True
        for job in list(self._jobs.values()):
            self._end(job)
        if self._tasks:
            _, late = await asyncio.wait(self._tasks, timeout=_CLOSE)
            for task in late:
                task.cancel()
        await self._link.close()

    def _feed(self) -> None:
        while self._waiting and self._busy < self.slots:
            job = heapq.heappop(self._waiting)
            if self._is_open(job):
                self._busy += 1
                job.runner = self._spawn(self._run(job))
                job.runner.add_done_callback(self._free_slot)

    def _free_slot(self, _: object) -> None:
        self._busy -= 1
        self._feed()

    def _spawn(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    def _is_open(self, job: _Job) -> bool:
        return self._jobs.get(job.start.job) is job

    def _end(self, job: _Job, event: JobEvent | None = None) -> None:
        """Take a job out of ``_jobs`` with its answer, if it has one, and stop it where it still runs."""
        del self._jobs[job.start.job]
        if event is not None:
            self._emit(event)
        if job.runner is not None and job.runner is not asyncio.current_task():
            job.runner.cancel()

    async def _run(self, job: _Job) -> None:
        """Hold a slot for the job until it has its answer, or was stopped and has left its worker."""
        try:
            self._end(job, await self._answer(job))
        except asyncio.CancelledError:
            if job.worker:
                await self._clear(job.key, job.worker, job.alone, ask=not job.greedy)

    async def _answer(self, job: _Job) -> JobEvent:
        """Have Dask run the job until there is an answer, over as many connections as that takes."""
        while True:
            future = self._submit(await self._link.client(), job)
            try:
                return _event(job.start.job, await _result(future))
            except (Exception, asyncio.CancelledError) as error:
                if not self._is_open(job):
                    raise  # it was stopped
                if future.status == "error" and not _is_innocent(job, error):
                    return JobLost(job.start.job, _why(job, error))
                log.info("job %d goes to Dask again: %s", job.start.job, error)
            finally:
                del self._keys[job.key]
                future.release()  # also takes it out of the queues, where it is in one
                self._watch(job)
            if job.worker and not self._link.is_local:  # it may have lost no more than its scheduler
                self._spawn(self._clear(job.key, job.worker, job.alone))
            await asyncio.sleep(_AGAIN)

    def _submit(self, client: Any, job: _Job) -> Any:
        start, loop = job.start, asyncio.get_running_loop()
        job.key, job.worker = f"fog-{uuid.uuid4().hex}", ""
        self._keys[job.key] = job
        # With each job: the client may have got a new scheduler unnoticed, which does not know of the topic.
        # By way of the loop: an error would get lost in Dask's logs.
        client.subscribe_topic(self._topic, lambda event: loop.call_soon(self._heard, event[1]))
        order = dask_worker.Order(
            job.key,
            self._topic,
            self._modules,
            start.kind,
            start.name,
            start.bodies,
            start.shares,
            start.memory,
        )
        return client.submit(dask_worker.work, order, key=job.key, pure=False, priority=start.priority)

    def _heard(self, message: dict[str, Any]) -> None:
        """Take in what :func:`dask_worker.work` says while it runs a job."""
        job = self._keys.get(message["key"])
        placed = message["op"] in ("taken", "running")
        if job is None or not self._is_open(job):
            if placed:  # it was stopped while it was on its way
                self._spawn(self._clear(message["key"], message["worker"], message["alone"]))
            return
        if placed:
            job.worker, job.alone = message["worker"], message["alone"]
            job.workers.add(job.worker)
        if message["op"] == "running":
            job.began = asyncio.get_running_loop().time()
            self._watch(job, *self._limits(job, message["size"]))
        elif message["op"] == "progress":
            self._emit(JobProgress(job.start.job, message["fraction"]))

    def _watch(self, job: _Job, *limits: Coroutine[Any, Any, None]) -> None:
        """Hold a run of the job to these limits, and no longer to those of the run before."""
        for watch in job.watches:
            watch.cancel()
        job.watches = [self._spawn(limit) for limit in limits]

    def _limits(self, job: _Job, size: int) -> Iterator[Coroutine[Any, Any, None]]:
        if job.start.timeout is not None:
            yield self._hold_time(job, job.start.timeout / 1000)
        if job.start.memory is not None and job.alone:  # of several jobs nobody can tell which one grows
            yield self._hold_memory(job, size, job.start.memory)

    async def _hold_time(self, job: _Job, seconds: float) -> None:
        await asyncio.sleep(seconds)
        with contextlib.suppress(KeyError):  # else it has died with its worker, and runs again
            await self._ask(dask_worker.is_there, worker=job.worker, nanny=True)
            self._fail(job, "TaskTimeout", f"took longer than its limit of {seconds:g} s")

    async def _hold_memory(self, job: _Job, size: int, limit: int) -> None:
        with contextlib.suppress(KeyError):
            now = 0
            while not now:
                now = await self._ask(dask_worker.outgrown, size + limit, worker=job.worker, nanny=True)
                if now is None:
                    await asyncio.sleep(_AGAIN)
            job.greedy = True
            grown = f"grew by {(now - size) / _MIB:.0f} MiB"
            self._fail(job, "MemoryLimit", f"{grown}, its limit is {limit / _MIB:.0f} MiB")

    def _fail(self, job: _Job, type_: str, message: str) -> None:
        if self._is_open(job):
            ran = (asyncio.get_running_loop().time() - job.began) * 1000
            self._end(job, JobFailed(job.start.job, type_, f"{job.start.name} {message}", "", ran))

    async def _clear(self, key: str, worker: str, alone: bool, ask: bool = True) -> None:
        """Free a worker of a job that nobody waits for: ask the job to leave, or else kill the process."""
        if self._closing and self._link.is_local:
            return  # close() ends the worker too
        with contextlib.suppress(KeyError):  # it has gone already
            if ask and await self._ask(dask_worker.interrupt, key, _GRACE, worker=worker):
                return
            if not alone:
                log.warning("a stopped task stays on Dask worker %s, which may run others too", worker)
            elif not await self._ask(dask_worker.kill_worker, worker=worker, nanny=True):
                log.warning("a stopped task may stay on Dask worker %s, which cannot be killed", worker)

    async def _ask(self, function: Callable[..., Any], *arguments: Any, worker: str, nanny: bool = False) -> Any:
        """Run a function beside the jobs of a worker, or in its nanny; None where no answer comes in time.

        Raises KeyError when the scheduler knows no such worker, which it finds out for a nanny only.
        """
        client = await self._link.client()
        call = client.run(function, *arguments, workers=[worker], nanny=nanny)
        try:
            answers = await asyncio.wait_for(call, 2 * _GRACE)
        except KeyError:
            raise
        except Exception as error:  # noqa: BLE001  of any kind, Dask's and the network's
            log.debug("no answer from Dask worker %s: %s: %s", worker, type(error).__name__, error)
            return None
        return next(iter(answers.values()), None)


async def _result(future: Any) -> dask_worker.Answer:
    result = asyncio.ensure_future(future.result())
    result.add_done_callback(lambda done: done.cancelled() or done.exception())  # else logged after a stop
    # Dask is not prepared to be cancelled in there, and comes out by itself when the future is released.
    answer: dask_worker.Answer = await asyncio.shield(result)
    return answer


def _is_innocent(job: _Job, error: BaseException) -> bool:
    """Return whether Dask blames the job for the death of workers that only had it in their queue."""
    from distributed import KilledWorker

    return isinstance(error, KilledWorker) and len(job.workers) <= error.allowed_failures


def _why(job: _Job, error: BaseException) -> str:
    from distributed import KilledWorker

    if isinstance(error, KilledWorker):
        return f"{len(job.workers)} Dask workers died under it, one after the other"
    return f"Dask: {type(error).__name__}: {error}"


def _scheduler(address: str | None) -> str | None:
    """Return the address of a Dask scheduler as Dask writes it, None for a local cluster."""
    if address in (None, "dask-local"):
        return None
    with contextlib.suppress(ValueError):
        parts = urlsplit(address)
        if parts.scheme == "dask" and parts.hostname and not parts.path.strip("/"):
            return f"tcp://{parts.hostname}:{parts.port or _DASK_PORT}"
    raise ConfigError(f'the engine is "dask-local" or "dask://host:port", not {address!r}')


def _event(job: int, answer: dask_worker.Answer) -> JobEvent:
    match answer:
        case ("done", value, ran):
            return JobDone(job, value, ran)
        case ("split", parts, ran):
            return JobSplit(job, parts, ran)
        case ("failed", kind, message, traceback, ran):
            return JobFailed(job, kind, message, traceback, ran)
        case ("refused", reason, message, retry_after):
            return JobRefused(job, reason, message, None if retry_after is None else int(retry_after * 1000))
    return JobLost(job, f"its worker answered with {answer[0]}")
