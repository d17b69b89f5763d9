"""Holds the running job of one worker to its limits of time and memory."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING

from fogsdk.core.commands import Start

if TYPE_CHECKING:
    import psutil

_INTERVAL = 0.02  # seconds between two looks at a worker's memory
_MIB = 2**20


class Limits:
    """Calls ``overrun(type, message)`` when the job of a worker takes more than it may, at most once for each.

    Its timeout is in milliseconds; ``memory`` is the bytes by which the resident memory of process ``pid``
    may grow. That is looked at from outside, since the limits that the system itself holds (setrlimit(2))
    count addresses, not memory: threads alone reserve hundreds of MiB that they never touch.
    """

    def __init__(self, overrun: Callable[[str, str], None]) -> None:
        self._loop = asyncio.get_running_loop()
        self._overrun = overrun
        self._timeout: int | None = None
        self._due = 0.0
        self._timer: asyncio.TimerHandle | None = None  # left alone from job to job: most end long before it is due
        self._weighing: asyncio.TimerHandle | None = None

    def hold(self, job: Start, memory: int | None, pid: int, now: float) -> None:
        """The worker begins a job ``now``, in seconds of the event loop's clock."""
        self._timeout = job.timeout
        if job.timeout is not None:
            self._due = now + job.timeout / 1000
            if self._timer is None or self._timer.when() > self._due:
                self._set_timer()
        if memory is not None:
            self._watch_memory(pid, memory)

    def lift(self) -> None:
        """The job has ended."""
        self._timeout = None
        if self._weighing is not None:
            self._weighing.cancel()
            self._weighing = None

    def close(self) -> None:
        """The worker has ended."""
        self.lift()
        if self._timer is not None:
            self._timer.cancel()

    def _set_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._loop.call_at(self._due, self._time_is_over)

    def _time_is_over(self) -> None:
        self._timer = None
        if self._timeout is None:
            return
        if self._loop.time() < self._due:  # this job began later than the one that the timer was set for
            self._set_timer()
        else:
            self._exceeded("TaskTimeout", f"took longer than its limit of {self._timeout / 1000:g} s")

    def _exceeded(self, type_: str, message: str) -> None:
        self.lift()
        self._overrun(type_, message)

    def _watch_memory(self, pid: int, memory: int) -> None:
        import psutil

        try:
            process = psutil.Process(pid)
            self._weigh(process, process.memory_info().rss, memory)
        except psutil.NoSuchProcess:
            pass  # it has died, and the pool will hear of that

    def _weigh(self, process: psutil.Process, before: int, memory: int) -> None:
        import psutil

        try:
            growth = process.memory_info().rss - before
        except psutil.NoSuchProcess:
            return
        if growth > memory:
            message = f"grew by {growth / _MIB:.0f} MiB, its limit is {memory / _MIB:.0f} MiB"
            self._exceeded("MemoryLimit", message)
        else:
            self._weighing = self._loop.call_later(_INTERVAL, self._weigh, process, before, memory)
