"""The worker pool: runs jobs in supervised processes of this machine.

One job at a time in each worker. A worker that dies, overruns its job's time or outgrows its job's memory is
replaced, and its siblings do not notice. The pieces:

    Pool ---- ForkServer (pool_forkserver)  - - socket - -  the fork server's process (worker_forkserver)
      |                                                        | forks
      `------ one Link per worker (pool_link) - socket - -  worker processes (worker), which run the tasks
      `------ Limits (pool_limits) of each running job

Workers are forks of one process that has imported the task modules already. What a module sets up on import
(open files, random generators) is therefore the same in every worker: make such things inside the task. The
standard library's and numpy's global random numbers are seeded anew in every worker.

Needs a POSIX system.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
import os
import signal
import socket
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from fogsdk.core.commands import Start
from fogsdk.core.events import (
    JobDone,
    JobEvent,
    JobFailed,
    JobLost,
    JobProgress,
    JobRefused,
    JobSplit,
)
from fogsdk.errors import ConfigError
from fogsdk.node.executor import Emit
from fogsdk.node.pool_forkserver import ForkServer
from fogsdk.node.pool_limits import Limits
from fogsdk.node.pool_link import Link

_YOUNG = 1.0  # seconds: a worker that ends within them, before it had a job, did not start well
_FIRST_DELAY, _LONGEST_DELAY = 0.1, 5.0  # seconds before such a worker is replaced; doubled each time

log = logging.getLogger(__name__)


@dataclass(slots=True, eq=False)
class _Worker:
    """What the pool knows of a worker process. ``pid`` is 0 until it is ready, ``begun`` None till a job.
    ``induced``: it was killed on purpose, to see what the fog makes of it.
    """

    number: int
    born: float
    link: Link = field(init=False)
    pid: int = 0
    job: Start | None = None
    begun: float | None = None
    limits: Limits | None = None
    induced: bool = False


class Pool:
    """Executor that runs the tasks of ``modules`` in ``workers`` processes.

    ``memory`` is by how many bytes a job may grow its worker where the job itself sets no limit.
    """

    def __init__(self, modules: Sequence[str], workers: int, *, memory: int | None = None) -> None:
        self.slots = workers
        self._memory = memory
        self._forkserver = ForkServer(modules, self._worker_died, self._forkserver_gone)
        self._numbers = itertools.count()
        self._workers: dict[int, _Worker] = {}
        self._idle: list[_Worker] = []
        self._running: dict[int, _Worker] = {}  # by job
        self._waiting: OrderedDict[int, Start] = OrderedDict()  # by job
        self._delay = 0.0
        self._refill: asyncio.TimerHandle | None = None
        self._restart: asyncio.Task[None] | None = None

    async def open(self, emit: Emit) -> None:
        """Start the workers. Raises ConfigError when the task modules cannot be imported."""
        if not hasattr(os, "fork"):
            raise ConfigError("the worker pool needs a POSIX system (Linux, macOS, or Windows' WSL)")
        self._emit = emit
        self._loop = asyncio.get_running_loop()
        try:
            await self._forkserver.start()
        except BaseException:
            await self.close()
            raise
        self._fill()

    def start(self, job: Start) -> None:
        """Run a job: at once, or as soon as a worker is free."""
        self._waiting[job.job] = job
        self._hand_out()

    def stop(self, job: int) -> None:
        """Kill a running job, forget a waiting one. Nothing more is emitted for it."""
        if self._waiting.pop(job, None) is None and (worker := self._running.get(job)) is not None:
            self._kill(worker)

    def workers(self) -> list[int]:
        """The numbers of the workers, those at work first."""
        return sorted(self._workers, key=lambda number: self._workers[number].job is None)

    def disturb(self, numbers: Sequence[int], what: signal.Signals) -> None:
        """Kill, stop or continue workers on purpose; those that are gone need nothing."""
        for worker in [self._workers[number] for number in numbers if number in self._workers]:
            worker.induced = worker.induced or what == signal.SIGKILL
            self._forkserver.signal(worker.number, what)

    async def close(self) -> None:
        """Stop everything; no process is left."""
        if self._restart is not None:
            self._restart.cancel()
            await asyncio.wait([self._restart])
        if self._refill is not None:
            self._refill.cancel()
        for worker in self._workers.values():
            self._take_job(worker)
            worker.link.close()
        self._workers.clear()
        self._idle.clear()
        self._waiting.clear()
        await self._forkserver.close()

    # Jobs

    def _hand_out(self) -> None:
        while self._waiting and self._idle:
            _, job = self._waiting.popitem(last=False)
            self._give(self._idle.pop(), job)

    def _give(self, worker: _Worker, job: Start) -> None:
        memory = self._memory if job.memory is None else job.memory
        worker.job, worker.begun = job, self._loop.time()
        self._running[job.job] = worker
        worker.limits = Limits(job, memory, worker.pid, partial(self._overrun, worker))
        worker.link.send([job.kind, job.name, job.shares, memory], job.bodies)

    def _take_job(self, worker: _Worker) -> Start | None:
        """Part a worker from its job, if it has one."""
        job, worker.job = worker.job, None
        if job is not None:
            del self._running[job.job]
        if worker.limits is not None:
            worker.limits.lift()
        return job

    def _frame(self, worker: _Worker, fields: list[Any], bodies: tuple[bytes, ...]) -> None:
        """A worker has said something."""
        if worker.job is None:
            worker.pid = fields[1]
            self._free(worker)
            return
        event = _event(worker.job.job, fields, bodies)
        if not isinstance(event, JobProgress):
            self._take_job(worker)
            self._free(worker)
        self._emit(event)

    def _free(self, worker: _Worker) -> None:
        if worker.number in self._workers:
            self._idle.append(worker)
            self._hand_out()

    def _overrun(self, worker: _Worker, type_: str, message: str) -> None:
        job = self._kill(worker)
        if job is not None and worker.begun is not None:
            ran = (self._loop.time() - worker.begun) * 1000
            self._emit(JobFailed(job.job, type_, f"{job.name} {message}", "", ran))

    # Workers

    def _kill(self, worker: _Worker) -> Start | None:
        """Kill a worker and return the job it had; the replacement starts when it is dead."""
        job = self._take_job(worker)
        worker.link.close()
        self._forkserver.kill(worker.number)
        return job

    def _worker_died(self, number: int, how: str) -> None:
        worker = self._workers.pop(number)
        if worker in self._idle:
            self._idle.remove(worker)
        young = worker.begun is None and self._loop.time() - worker.born < _YOUNG
        self._replace(how if young else None)
        self._bury(worker, how)

    def _bury(self, worker: _Worker, how: str) -> None:
        worker.link.drain()  # the answer may have been under way already
        worker.link.close()
        job = self._take_job(worker)
        if job is not None:
            log.info("a worker %s while it ran %s", how, job.name)
            self._emit(JobLost(job.job, f"the worker {how}", worker.induced))

    def _replace(self, bad_start: str | None = None) -> None:
        """Bring the workers back to their number: at once, or after a delay when they do not start well."""
        if self._refill is not None:
            return
        delay = self._delay if bad_start else 0.0
        self._delay = min(2 * delay or _FIRST_DELAY, _LONGEST_DELAY) if bad_start else 0.0
        if delay:
            log.error("workers do not start: the last one %s; the next try is in %.1f s", bad_start, delay)
            self._refill = self._loop.call_later(delay, self._fill)
        else:
            self._fill()

    def _fill(self) -> None:
        self._refill = None
        try:
            while len(self._workers) < self.slots:
                self._spawn()
        except OSError as error:  # too many open files, for one
            self._replace(f"could not be started: {error}")

    def _spawn(self) -> None:
        worker = _Worker(next(self._numbers), self._loop.time())
        kill = partial(self._forkserver.kill, worker.number)
        ours, theirs = socket.socketpair()
        with theirs:
            # A worker that closes its socket and lives on is of no use.
            worker.link = Link(ours, partial(self._frame, worker), on_end=kill)
            try:
                self._forkserver.fork(worker.number, theirs)
            except OSError:
                worker.link.close()
                raise
        self._workers[worker.number] = worker

    def _forkserver_gone(self) -> None:
        log.error("the workers' fork server died; starting another")
        if self._refill is not None:
            self._refill.cancel()
            self._refill = None
        workers, self._workers = self._workers, {}
        self._idle.clear()
        self._restart = self._loop.create_task(self._start_again())
        for worker in workers.values():
            self._bury(worker, "died with its fork server")

    async def _start_again(self) -> None:
        while True:
            await asyncio.sleep(_FIRST_DELAY)
            try:
                await self._forkserver.start()
                break
            except (ConfigError, OSError) as error:
                log.error("the workers' fork server does not start: %s", error)
                await self._forkserver.close()
                await asyncio.sleep(_LONGEST_DELAY)
        self._fill()


def _event(job: int, fields: list[Any], bodies: tuple[bytes, ...]) -> JobEvent:
    match fields:
        case ["done", ran]:
            return JobDone(job, bodies[0], ran)
        case ["progress", fraction]:
            return JobProgress(job, fraction)
        case ["split", ran]:
            return JobSplit(job, bodies, ran)
        case ["failed", ran, type_, message, traceback]:
            return JobFailed(job, type_, message, traceback, ran)
    _, reason, message, seconds = fields
    return JobRefused(job, reason, message, None if seconds is None else round(seconds * 1000))
