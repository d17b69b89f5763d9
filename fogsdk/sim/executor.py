"""The workers of a simulated node: each job ends when its time has come, unless its worker dies before."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fogsdk.core.commands import Start, Stop
from fogsdk.core.events import JobApart, JobDone, JobEvent, JobLost
from fogsdk.sim import jobs
from fogsdk.sim.agenda import MILLISECOND
from fogsdk.wire import bundles
from fogsdk.wire.messages import Hop

if TYPE_CHECKING:
    from fogsdk.sim.nodes import NodeMachine

PATIENCE = 20 * MILLISECOND
"""Microseconds that a call of a bundle may run before the others go on without it."""


class Executor:
    """The jobs of one life of one node. ``slowness`` stretches their times; while it is ``away``, as a core site may
    be, none ends."""

    def __init__(self, machine: NodeMachine, places: int, site: str = "") -> None:
        self.running: dict[int, Start] = {}
        self.slowness = 1.0
        self.away = False
        self._machine = machine
        self._places = places
        self._site = site
        self._waiting: list[int] = []
        self._done: dict[int, list[JobEvent]] = {}  # of each bundle, the calls that are over

    def start(self, start: Start) -> None:
        """Run a job. Raises RuntimeError where the core takes more workers than there are."""
        if len(self.running) >= self._places:
            raise RuntimeError(f"{self._machine.name} runs more than {self._places} jobs")
        self.running[start.job] = start
        if start.kind == "each":
            self._done[start.job] = []
            self._next(start)
        else:
            self._begin(start)

    def stop(self, stop: Stop) -> None:
        """Stop a job."""
        self._forget(stop.job)

    def kill_worker(self, job: int) -> None:
        """The worker dies under a job."""
        self._take_apart(job)
        if self._forget(job):
            self._machine.tell(JobLost(job, "killed by signal 9", induced=True))

    def come_back(self) -> None:
        """The site can be reached again: what ended meanwhile is told."""
        self.away = False
        waiting, self._waiting = self._waiting, []
        for job in waiting:
            self._end(job, 0)

    def _forget(self, job: int) -> bool:
        self._done.pop(job, None)
        return self.running.pop(job, None) is not None

    def _begin(self, start: Start) -> int:
        took = int(jobs.micros(start) * self.slowness)
        self._machine.world.agenda.after(took, self._end, start.job, took)
        return took

    def _next(self, bundle: Start) -> None:
        """Begin the next call of a bundle. One that takes long goes on alone."""
        index = len(self._done[bundle.job])
        took = self._begin(jobs.call(bundle, index))
        if took > PATIENCE:
            self._machine.world.agenda.after(PATIENCE, self._take_apart, bundle.job)

    def _take_apart(self, job: int) -> None:
        done = self._done.pop(job, None)
        if done is None or not self._is_there(job):
            return
        self.running[job] = jobs.call(self.running[job], len(done))
        self._machine.tell(JobApart(job, tuple(map(jobs.item, done)), _ran(done)))

    def _is_there(self, job: int) -> bool:
        return job in self.running and self._machine.executor is self and self._machine.on

    def _end(self, job: int, took: int) -> None:
        if not self._is_there(job):
            return
        if job in self._done:
            self._call_over(self.running[job], took)
            return
        start = self.running[job]
        if self.away:
            self._waiting.append(job)
            return
        del self.running[job]
        hops = (Hop(self._site, "ran", ran=took / 1000, took=took / 1000),) if self._site else ()
        event = jobs.end(start, took, hops)
        self._machine.world.oracle.ended(self._machine.name, self._machine.life, start, event)
        self._machine.tell(event)

    def _call_over(self, bundle: Start, took: int) -> None:
        done = self._done[bundle.job]
        call = jobs.call(bundle, len(done))
        event = jobs.end(call, took)
        self._machine.world.oracle.ended(self._machine.name, self._machine.life, call, event)
        if isinstance(event, JobLost):
            self._take_apart(bundle.job)
            self._forget(bundle.job)
            self._machine.tell(event)
            return
        done.append(event)
        if len(done) < len(bundle.bodies):
            self._next(bundle)
            return
        self._forget(bundle.job)
        self._machine.tell(JobDone(bundle.job, bundles.write([jobs.item(each) for each in done]), _ran(done)))


def _ran(done: list[JobEvent]) -> float:
    return sum(event.ran for event in done if isinstance(event, JobDone))
