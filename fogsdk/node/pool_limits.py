"""Holds one running job to its limits of time and memory."""

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
    """Calls ``overrun(type, message)``, at most once, when ``job`` takes more than it may.

    Its timeout is in milliseconds; ``memory`` is the bytes by which the resident memory of process ``pid``
    may grow. That is looked at from outside, since the limits that the system itself holds (setrlimit(2))
    count addresses, not memory: threads alone reserve hundreds of MiB that they never touch.
    """

    def __init__(self, job: Start, memory: int | None, pid: int, overrun: Callable[[str, str], None]) -> None:
        self._loop = asyncio.get_running_loop()
        self._overrun = overrun
        self._timers: dict[str, asyncio.TimerHandle] = {}
        if job.timeout is not None:
            seconds = job.timeout / 1000
            message = f"took longer than its limit of {seconds:g} s"
            self._timers["time"] = self._loop.call_later(seconds, self._exceeded, "TaskTimeout", message)
        if memory is not None:
            self._watch_memory(pid, memory)

    def lift(self) -> None:
        """Watch no longer."""
        for timer in self._timers.values():
            timer.cancel()

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
            again = self._loop.call_later(_INTERVAL, self._weigh, process, before, memory)
            self._timers["memory"] = again
