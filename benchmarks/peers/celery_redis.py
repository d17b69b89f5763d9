"""Celery with Redis as broker and result store, and a prefork pool of two.

As its guide to optimizing says for many short tasks: a large prefetch multiplier (64 or 128 is named there). Gossip,
mingle and heartbeat between workers are of use to several workers only. Pickle, since JSON would blow up the bytes.
Late acknowledging, events and rate limits stay off, as they are by default.
"""

from __future__ import annotations

import os
from typing import Any

from celery import Celery
from celery.result import AsyncResult

from benchmarks.harness.contender import Contender
from benchmarks.harness.services import BROKER, Services
from benchmarks.harness.works import FUNCTIONS

app = Celery("bench", broker=os.environ[BROKER], backend=os.environ[BROKER])
app.conf.update(
    task_serializer="pickle",
    result_serializer="pickle",
    accept_content=["pickle"],
    worker_prefetch_multiplier=64,
    worker_disable_rate_limits=True,
    broker_connection_retry_on_startup=True,
)
TASKS = {name: app.task(name=name)(function) for name, function in FUNCTIONS.items()}


class CeleryRedis(Contender):
    """The client."""

    def start(self, services: Services) -> None:
        alone = ("--without-gossip", "--without-mingle", "--without-heartbeat")
        pool = ("--pool", "prefork", "--concurrency", "2")
        services.python("celery", "--app", __name__, "worker", *pool, *alone, "--loglevel", "warning", C_FORCE_ROOT="1")

    def submit(self, work: str, argument: Any) -> _Call:
        return _Call(TASKS[work].delay(argument))


class _Call:
    def __init__(self, result: AsyncResult[Any]) -> None:
        self._result = result

    def result(self) -> Any:
        value = self._result.get()
        self._result.forget()  # else the results of a whole run stay in Redis for a day
        return value
