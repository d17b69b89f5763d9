"""The workers of a simulated node: each job ends when its time has come, unless its worker dies before."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fogsdk.core.commands import Start, Stop
from fogsdk.core.events import JobLost
from fogsdk.sim import jobs
from fogsdk.wire.messages import Hop

if TYPE_CHECKING:
    from fogsdk.sim.nodes import NodeMachine


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

    def start(self, start: Start) -> None:
        """Run a job. Raises RuntimeError where the core takes more workers than there are."""
        if len(self.running) >= self._places:
            raise RuntimeError(f"{self._machine.name} runs more than {self._places} jobs")
        self.running[start.job] = start
        took = int(jobs.micros(start) * self.slowness)
        self._machine.world.agenda.after(took, self._end, start.job, took)

    def stop(self, stop: Stop) -> None:
        """Stop a job."""
        self.running.pop(stop.job, None)

    def kill_worker(self, job: int) -> None:
        """The worker dies under a job."""
        if self.running.pop(job, None) is not None:
            self._machine.tell(JobLost(job, "killed by signal 9", induced=True))

    def come_back(self) -> None:
        """The site can be reached again: what ended meanwhile is told."""
        self.away = False
        waiting, self._waiting = self._waiting, []
        for job in waiting:
            self._end(job, 0)

    def _end(self, job: int, took: int) -> None:
        start = self.running.get(job)
        if start is None or self._machine.executor is not self or not self._machine.on:
            return
        if self.away:
            self._waiting.append(job)
            return
        del self.running[job]
        hops = (Hop(self._site, "ran", ran=took / 1000, took=took / 1000),) if self._site else ()
        event = jobs.end(start, took, hops)
        self._machine.world.oracle.ended(self._machine.name, self._machine.life, start, event)
        self._machine.tell(event)
