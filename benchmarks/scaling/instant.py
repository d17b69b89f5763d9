"""A fog node whose tasks are done at once: all that a task costs is the way.

    python -m benchmarks.scaling.instant --node n1 --brokers mqtt://127.0.0.1:1883

Takes the flags of ``fognode``.
"""

from __future__ import annotations

import asyncio
import os
import sys

from fogsdk.core.commands import Start
from fogsdk.core.events import JobDone, Offer
from fogsdk.node.config import NodeSettings, load
from fogsdk.node.daemon import Daemon, node_identity
from fogsdk.node.executor import Emit
from fogsdk.node.main import AHEAD, EXPRESS, run, start_log
from fogsdk.wire import bundles, values
from fogsdk.wire.messages import TaskInfo

TASKS = (TaskInfo("increment", weight="light"),)
ANSWER = values.encode(1)
RAN = 0.01  # milliseconds


class Instant:
    """Executor that has the same answer to everything."""

    def __init__(self, slots: int) -> None:
        self.slots = slots

    async def open(self, emit: Emit) -> None:
        """Offer the task."""
        self._emit = emit
        self._loop = asyncio.get_running_loop()
        emit(Offer(TASKS))

    def start(self, job: Start) -> None:
        """Answer in the next turn of the event loop."""
        calls = len(job.bodies)
        value = bundles.write([ANSWER] * calls) if job.kind == "each" else ANSWER
        self._loop.call_soon(self._emit, JobDone(job.job, value, calls * RAN))

    def stop(self, job: int) -> None:
        """Nothing ever runs."""

    async def close(self) -> None:
        """There is nothing to close."""


async def _serve(settings: NodeSettings) -> None:
    identity = node_identity(settings, settings.workers, EXPRESS, AHEAD)
    await Daemon(settings, identity, Instant(settings.workers + EXPRESS)).serve()


if __name__ == "__main__":
    settings = load(NodeSettings, [*sys.argv[1:], "--tasks", "benchmarks.scaling.jobs"], os.environ, "instant")
    start_log(settings.log_level)
    sys.exit(run(_serve(settings), "instant"))
