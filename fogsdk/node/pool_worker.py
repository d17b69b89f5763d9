"""What the pool knows of one worker: the jobs in its pipe, of which it runs the first, and for how long it has."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from fogsdk.core.commands import Start
from fogsdk.core.events import JobApart, JobDone, JobEvent, JobFailed, JobLost, JobProgress, JobRefused, JobSplit
from fogsdk.node.pool_bundle import Bundle
from fogsdk.node.pool_limits import Limits
from fogsdk.node.pool_link import Link
from fogsdk.wire.messages import Body

DEPTH = 16
"""Quick jobs in one pipe at the most."""
PATIENCE = 0.02
"""Seconds that a job may run before those behind it, which were to be quick ones behind quick ones, go elsewhere."""
LAST_PATIENCE = 1.0
"""Seconds that one may run that was taken away, and had begun in that moment."""


class Worker:
    """One worker process. ``pid`` is 0 until it is ready, ``begun`` is when its job began: None till it had one.

    ``jobs`` are those in its pipe, in order and by a number of its own, as one may come back to it; the first one runs,
    or does so in a moment. None is in the place of one that was taken away from it: should it run all the same, nobody
    listens. While it ``is_quick``, others may wait behind the one that it runs; ``held_up(worker)`` is called when they
    have waited for too long, or done calls of the bundle that it runs. ``bundles`` are those of its jobs, under the
    same numbers; of those that are ``apart`` it is still to say that no more will come. ``induced``: it was killed on
    purpose, to see what the fog makes of it.
    """

    def __init__(
        self,
        number: int,
        memory: int | None,
        overrun: Callable[[Worker, str, str], None],
        held_up: Callable[[Worker], None],
    ) -> None:
        self.number = number
        self.link: Link
        self.pid = 0
        self.jobs: dict[int, Start | None] = {}
        self.bundles: dict[int, Bundle] = {}
        self.apart: set[int] = set()
        self.begun: float | None = None
        self.induced = False
        self._loop = asyncio.get_running_loop()
        self.born = self._loop.time()
        self._memory = memory
        self._limits = Limits(lambda type_, message: overrun(self, type_, message))
        self._held_up = held_up
        self._given = 0
        self.is_quick = False
        self._watching: asyncio.TimerHandle | None = None

    @property
    def job(self) -> Start | None:
        """The job that it runs."""
        return next(iter(self.jobs.values()), None)

    @property
    def at_work(self) -> Start | None:
        """The job that has begun: the first, or a call that went on behind a bundle of which only the last word is to
        come."""
        went_on = (job for number, job in self.jobs.items() if job is not None and number in self.apart)
        return next(went_on, self.job)

    def give(self, job: Start, *, soon: bool) -> None:
        """Send it a job; ``soon`` is together with those that follow."""
        memory = self._memory if job.memory is None else job.memory
        self._given += 1
        self.jobs[self._given] = job
        if job.kind == "each":
            self.bundles[self._given] = Bundle(job)
        is_first = len(self.jobs) == 1
        self.link.send([self._given, job.kind, job.name, job.shares or None, memory], job.bodies, soon=soon)
        if is_first:
            self._begin()
            if soon:
                self._loop.call_soon(self._has_left, self._given)
        elif self._watching is None:
            self._watch()

    def go_on(self) -> None:
        """It has answered its first jobs, or is ready for one: the next one begins."""
        self._limits.lift()
        if self.jobs:
            self._begin()

    def take_away(self, wanted: Callable[[Start], bool]) -> list[Start]:
        """Some of the jobs behind the first are not to run here any more; returns them in order."""
        _, *behind = self.jobs.items()
        taken = {number: job for number, job in behind if job is not None and wanted(job)}
        for number in taken:
            self.jobs[number] = None
            self.link.send([number])
            self.take_apart(number)  # where it has begun all the same
        return list(taken.values())

    def take_apart(self, number: int = 0) -> list[JobApart]:
        """If a job, the first with no number, is a bundle, it is not to begin any other call of that."""
        number = number or next(iter(self.jobs), 0)
        bundle = self.bundles.pop(number, None)
        if bundle is None:
            return []
        self.apart.add(number)
        self.link.send([number, "apart"])
        return [bundle.apart(at_work=True)]

    def close(self) -> list[Start | None]:
        """It has ended, or is about to; returns the one ``at_work``, and then the other jobs that it had, in order."""
        self.link.close()
        self._limits.close()
        if self._watching is not None:
            self._watching.cancel()
        begun, jobs = self.at_work, list(self.jobs.values())
        self.jobs = {}
        return [begun, *[job for job in jobs if job is not begun]]

    def _has_left(self, number: int) -> None:
        """Its time counts from here on, if it is the first: what else there was to do in that turn may have been
        much."""
        if next(iter(self.jobs), None) == number:
            self._limits.lift()
            self._begin()

    def _begin(self) -> None:
        self.begun, job = self._loop.time(), self.job
        self.is_quick = job is not None and may_wait(job, self._memory)
        if job is not None:
            self._limits.hold(job, self._memory if job.memory is None else job.memory, self.pid, self.begun)
        if (job is None or self.bundles) and self._watching is None:
            self._watch()

    def _watch(self) -> None:
        self._watching = self._loop.call_at(self._patient_until(), self._look)

    def _patient_until(self) -> float:
        return (self.begun or 0.0) + (LAST_PATIENCE if self.job is None else PATIENCE)

    def _look(self) -> None:
        self._watching = None
        if not self.jobs or (len(self.jobs) == 1 and self.job is not None and not self.bundles):
            return
        if self._loop.time() < self._patient_until():
            self._watch()
        else:
            self.is_quick = False
            self._held_up(self)


def may_wait(job: Start, memory: int | None) -> bool:
    """Whether a job is quick, and nothing has to be watched while it runs but the time; ``memory`` is what it may have
    where it does not say so itself."""
    return job.quick and job.memory is None and memory is None


def event(job: int, fields: list[Any], bodies: tuple[Body, ...]) -> JobEvent:
    """What a worker said about a job."""
    match fields:
        case [_, "done", ran]:
            return JobDone(job, bodies[0], ran)
        case [_, "progress", fraction]:
            return JobProgress(job, fraction)
        case [_, "split", ran]:
            return JobSplit(job, bodies, ran)
        case [_, "failed", ran, type_, message, traceback]:
            return JobFailed(job, type_, message, traceback, ran)
        case [_, "skipped"]:
            return JobLost(job, "its worker did not begin it", induced=True)
    _, _, reason, message, seconds = fields
    return JobRefused(job, reason, message, None if seconds is None else round(seconds * 1000))
