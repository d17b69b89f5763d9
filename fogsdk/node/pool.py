"""The worker pool: runs jobs in supervised processes of this machine.

Each worker runs one job at a time. Quick jobs wait for their turn in its pipe, some of them, so that it need not wait
for the daemon between two; whatever else comes, they are taken away from it again. A worker that dies, overruns its
job's time or outgrows its job's memory is replaced, and its siblings do not notice. The pieces:

    Pool ---- ForkServer (pool_forkserver)  - - socket - -  the fork server's process (worker_forkserver)
      |                                                        | forks
      `------ Workers (pool_worker) - - - - - - - - socket - -  worker processes (worker), which run the tasks
                |---- Link (pool_link)
                `---- Limits (pool_limits) of the running job

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
from functools import partial

from fogsdk.core.commands import Start
from fogsdk.core.events import JobEvent, JobFailed, JobLost, Offer
from fogsdk.errors import ConfigError
from fogsdk.node.executor import Emit
from fogsdk.node.pool_forkserver import ForkServer
from fogsdk.node.pool_link import Link
from fogsdk.node.pool_worker import DEPTH, Worker, event, may_wait
from fogsdk.node.worker_frames import Frame, is_much
from fogsdk.node.worker_launch import Launched

_YOUNG = 1.0  # seconds: a worker that ends within them, before it had a job, did not start well
_FIRST_DELAY, _LONGEST_DELAY = 0.1, 5.0  # seconds before such a worker is replaced; doubled each time
_BUSY_POLL = 250e-6  # seconds: about what the way to a worker and back takes, with cold caches
_AFTER_A_MISS = 15  # lone jobs that are not polled for, after one that took longer

log = logging.getLogger(__name__)


class Pool:
    """Executor that runs the tasks of ``modules`` in ``workers`` processes.

    ``memory`` is by how many bytes a job may grow its worker where the job itself sets no limit; ``launched`` a fork
    server of these modules that was started already. With ``busy_poll`` it does not sleep while a quick job runs
    alone, for a quarter of a millisecond at the most.
    """

    def __init__(
        self,
        modules: Sequence[str],
        workers: int,
        *,
        memory: int | None = None,
        launched: Launched | None = None,
        busy_poll: bool = False,
    ) -> None:
        self.slots = workers
        self._memory = memory
        self._busy_poll = busy_poll
        self._no_polls = 0
        self._forkserver = ForkServer(modules, self._worker_died, self._forkserver_gone, launched)
        self._numbers = itertools.count()
        self._workers: dict[int, Worker] = {}
        self._idle: list[Worker] = []
        self._running: dict[int, Worker] = {}  # by job
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
        self._emit(Offer(self._forkserver.tasks))
        self._fill()

    def start(self, job: Start) -> None:
        """Run a job: at once, or as soon as a worker is free."""
        worker = None if self._waiting else self._taker(job)
        if worker is None:
            self._waiting[job.job] = job
        else:
            self._give(job, worker)

    def stop(self, job: int) -> None:
        """Kill a running job, forget a waiting one. Nothing more is emitted for it."""
        if self._waiting.pop(job, None) is not None or (worker := self._running.pop(job, None)) is None:
            return
        if worker.at_work is not None and worker.at_work.job == job:
            self._kill(worker)
        else:
            worker.take_away(lambda each: each.job == job)

    def workers(self) -> list[int]:
        """The numbers of the workers, those at work first."""
        return sorted(self._workers, key=lambda number: not self._workers[number].jobs)

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
            worker.close()
        self._workers.clear()
        self._idle.clear()
        self._running.clear()
        self._waiting.clear()
        await self._forkserver.close()

    # Jobs

    def _hand_out(self) -> None:
        while self._waiting:
            job = next(iter(self._waiting.values()))
            if (worker := self._taker(job)) is None:
                return
            del self._waiting[job.job]
            self._give(job, worker)

    def _give(self, job: Start, worker: Worker) -> None:
        others = bool(self._running)
        self._running[job.job] = worker
        worker.give(job, soon=others and job.quick)
        if self._busy_poll and job.quick and len(self._running) == 1:
            # In the next turn: what this one sends to others is not to wait for it.
            self._loop.call_soon(self._loop.call_soon, self._await, job.job, worker)

    def _await(self, job: int, worker: Worker) -> None:
        """A quick job runs alone: be there when it is done. Where the last one took longer, so may this."""
        if self._running.get(job) is not worker or len(self._running) > 1 or not worker.link.has_sent:
            return
        if self._no_polls:
            self._no_polls -= 1
        elif not worker.link.busy_poll(_BUSY_POLL):
            self._no_polls = _AFTER_A_MISS

    def _taker(self, job: Start) -> Worker | None:
        """A worker for a job: one that is free, or else the one with the fewest jobs in whose pipe it may wait."""
        if self._idle:
            return self._idle.pop()
        taker, fewest = None, DEPTH
        if may_wait(job, self._memory):
            for worker in self._workers.values():
                if worker.is_quick and 0 < (count := len(worker.jobs)) < fewest:
                    taker, fewest = worker, count
        return taker

    def _frames(self, worker: Worker, frames: list[Frame]) -> None:
        """A worker has said something."""
        events: list[JobEvent] = []
        goes_on = False
        for fields, bodies in frames:
            number, what = fields[0], fields[1]
            bundle = worker.bundles.get(number)
            if number == "ready":
                worker.pid, goes_on = what, True
            elif bundle is not None and what != "progress" and not is_much(bodies):
                goes_on = True
                ended = bundle.apart(at_work=False) if what == "skipped" else bundle.add(fields, bodies)
                if ended is not None:
                    self._over(worker, number, what)
                    events.append(ended)
            elif number in worker.jobs:
                if bundle is not None:
                    events += worker.take_apart(number)
                job = worker.jobs[number]
                if what != "progress":
                    goes_on = True
                    self._over(worker, number, what)
                if job is not None:
                    events.append(event(job.job, fields, bodies))
        if goes_on:
            worker.go_on()
            self._free(worker)
        if events:
            self._emit(*events)

    def _over(self, worker: Worker, number: int, what: str) -> None:
        """A job is over. Of a bundle that is apart more may come, for nobody, until the worker says otherwise."""
        job = worker.jobs[number]
        if job is not None:
            del self._running[job.job]
        if number in worker.apart and what != "skipped":
            worker.jobs[number] = None
            return
        del worker.jobs[number]
        worker.bundles.pop(number, None)
        worker.apart.discard(number)

    def _free(self, worker: Worker) -> None:
        if worker.number not in self._workers:
            return
        if not worker.jobs:
            self._idle.append(worker)
        self._hand_out()

    def _overrun(self, worker: Worker, type_: str, message: str) -> None:
        begun, apart = worker.begun, worker.take_apart()
        job = self._kill(worker)
        if job is not None and begun is not None:
            ran = (self._loop.time() - begun) * 1000
            self._emit(*apart, JobFailed(job.job, type_, f"{job.name} {message}", "", ran))

    def _held_up(self, worker: Worker) -> None:
        """Jobs wait behind one that is not quick after all, or the rest of a bundle does behind such a call. Where that
        was taken away, nobody waits for it."""
        if worker.job is None:
            self._kill(worker)
        else:
            apart = worker.take_apart()
            self._again(worker.take_away(lambda _: True))
            if apart:
                self._emit(*apart)

    def _again(self, jobs: Sequence[Start]) -> None:
        """Jobs that did not begin go to other workers, before all others."""
        for job in reversed(jobs):
            del self._running[job.job]
            self._waiting[job.job] = job
            self._waiting.move_to_end(job.job, last=False)
        self._hand_out()

    # Workers

    def _kill(self, worker: Worker) -> Start | None:
        """Kill a worker and return the job that it ran; the replacement starts when it is dead."""
        self._forkserver.kill(worker.number)
        return self._part(worker)

    def _part(self, worker: Worker) -> Start | None:
        """Part a worker from its jobs: those that did not begin go elsewhere, and the one that did is returned."""
        first, *others = worker.close()
        if first is not None:
            self._running.pop(first.job, None)
        self._again([job for job in others if job is not None])
        return first

    def _worker_died(self, number: int, how: str) -> None:
        worker = self._workers.pop(number)
        if worker in self._idle:
            self._idle.remove(worker)
        young = worker.begun is None and self._loop.time() - worker.born < _YOUNG
        self._replace(how if young else None)
        self._bury(worker, how)

    def _bury(self, worker: Worker, how: str) -> None:
        worker.link.drain()  # the answer may have been under way already
        apart = worker.take_apart()
        job = self._part(worker)
        if job is not None:
            log.info("a worker %s while it ran %s", how, job.name)
            self._emit(*apart, JobLost(job.job, f"the worker {how}", worker.induced))

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
        worker = Worker(next(self._numbers), self._memory, self._overrun, self._held_up)
        kill = partial(self._forkserver.kill, worker.number)
        ours, theirs = socket.socketpair()
        with theirs:
            # A worker that closes its socket and lives on is of no use.
            worker.link = Link(ours, partial(self._frames, worker), on_end=kill)
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
        self._emit(Offer(self._forkserver.tasks))
        self._fill()
