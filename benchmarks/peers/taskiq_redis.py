"""taskiq with Redis: two worker processes, and its list broker, faster than its streams since it does not acknowledge.

Its tasks are coroutines: that saves them its thread pool. Results can only be polled for, here each millisecond. Bytes
that are not UTF-8 can be neither arguments nor results, whatever the serializer: they go as base64. The broker has no
socket timeout: at redis-py's default its blocking read is given up after some seconds, and what Redis hands out to it
then is lost.
"""

from __future__ import annotations

import asyncio
import base64
import os
from collections.abc import Awaitable, Callable
from typing import Any

from taskiq.serializers import PickleSerializer
from taskiq_redis import ListQueueBroker, RedisAsyncResultBackend

from benchmarks.harness.contender import AsyncContender
from benchmarks.harness.services import BROKER, Services
from benchmarks.harness.works import FUNCTIONS

POLL = 0.001

_results: RedisAsyncResultBackend[Any] = RedisAsyncResultBackend(os.environ[BROKER], keep_results=False)
broker = ListQueueBroker(os.environ[BROKER], result_backend=_results, socket_timeout=None)
broker = broker.with_serializer(PickleSerializer())


def armoured(value: Any) -> Any:
    """Bytes as base64."""
    return base64.b64encode(value).decode() if isinstance(value, bytes) else value


def _coroutine(function: Callable[[Any], Any]) -> Callable[[Any], Awaitable[Any]]:
    async def call(argument: Any) -> Any:
        return armoured(function(base64.b64decode(argument) if isinstance(argument, str) else argument))

    return call


TASKS = {name: broker.task(task_name=name)(_coroutine(function)) for name, function in FUNCTIONS.items()}


class TaskiqRedis(AsyncContender):
    """The client."""

    def start(self, services: Services) -> None:
        workers = ("--workers", "2", "--log-level", "WARNING", "--max-async-tasks", "32")
        services.python("taskiq", "worker", f"{__name__}:broker", *workers)
        self.loop.run_until_complete(broker.startup())

    def submit(self, work: str, argument: Any) -> Awaitable[Any]:
        return self._result(self.loop.create_task(TASKS[work].kiq(armoured(argument))))

    async def _result(self, sending: asyncio.Task[Any]) -> Any:
        """Polls only once it is awaited: hundreds of calls that poll side by side starve each other."""
        task = await sending
        value = (await task.wait_result(check_interval=POLL)).return_value
        return base64.b64decode(value) if isinstance(value, str) else value

    def stop(self) -> None:
        self.loop.run_until_complete(asyncio.wait_for(broker.shutdown(), 5))
        super().stop()
