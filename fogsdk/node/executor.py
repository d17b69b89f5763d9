"""What runs a node's jobs: the interface that the worker pool, the Dask engine and the bridge's uplink share."""

from __future__ import annotations

from typing import Protocol

from fogsdk.core.commands import Start
from fogsdk.core.events import Asked, CloudReached, JobEvent, Offer


class Emit(Protocol):
    """Is told what happened, in order."""

    def __call__(self, *events: JobEvent | Offer | CloudReached | Asked) -> None: ...


class Executor(Protocol):
    """Runs jobs and tells, through ``emit`` on the event loop's thread, what becomes of each.

    Each job gets exactly one of JobDone, JobSplit, JobFailed, JobRefused and JobLost, unless it is stopped before. One
    of the kind each, which only nodes of the fog are given, may get a JobApart: ahead of these if a call is at work.
    """

    slots: int
    """Jobs that run at once."""

    async def open(self, emit: Emit) -> None:
        """Get ready, and emit an Offer of the tasks that it runs, now or when they are known.

        Raises ConfigError when it cannot get ready.
        """

    def start(self, job: Start) -> None:
        """Begin a job; never blocks."""

    def stop(self, job: int) -> None:
        """End a job; nothing more is emitted for it."""

    async def close(self) -> None:
        """End every job and process."""
