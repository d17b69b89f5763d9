"""huey with Redis: a consumer with two worker processes that wait for tasks by a blocking read.

The client polls for results, here each millisecond; ``huey_notify`` is the same with huey's option not to. The
scheduler of periodic tasks is off.
"""

from __future__ import annotations

import os
from typing import Any

from huey import RedisHuey
from huey.api import Result

from benchmarks.harness.contender import Contender
from benchmarks.harness.services import BROKER, Services
from benchmarks.harness.works import FUNCTIONS

POLL = 0.001
NOTIFY = "FOGSDK_BENCH_HUEY_NOTIFY"

huey = RedisHuey("bench", url=os.environ[BROKER], blocking=True, notify_result=NOTIFY in os.environ)
TASKS = {name: huey.task(name=name)(function) for name, function in FUNCTIONS.items()}


class HueyRedis(Contender):
    """The client."""

    def start(self, services: Services) -> None:
        workers = ("--worker-type", "process", "--workers", "2", "--no-periodic", "--quiet")
        services.python("huey.bin.huey_consumer", f"{__name__}.huey", *workers)

    def submit(self, work: str, argument: Any) -> _Call:
        return _Call(TASKS[work](argument))


class _Call:
    def __init__(self, result: Result) -> None:
        self._result = result

    def result(self) -> Any:
        return self._result.get(blocking=True, backoff=1, max_delay=POLL)
