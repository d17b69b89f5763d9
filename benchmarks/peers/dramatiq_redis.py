"""dramatiq with Redis as broker and result store: two processes of eight threads, its defaults on two cores.

Results are waited for with its Redis backend, which its documents recommend since that blocks and does not poll. Its
workers do poll for messages, after pauses that grow while nothing comes. Shorter ones (dramatiq_worker_timeout) make a
single call faster and many calls slower; the documents leave them as they are.
"""

from __future__ import annotations

import os
from typing import Any

import dramatiq
from dramatiq.brokers.redis import RedisBroker
from dramatiq.results import Results
from dramatiq.results.backends import RedisBackend

from benchmarks.harness.contender import Contender
from benchmarks.harness.services import BROKER, Services
from benchmarks.harness.works import FUNCTIONS

dramatiq.set_encoder(dramatiq.PickleEncoder())  # its JSON cannot carry bytes
broker = RedisBroker(url=os.environ[BROKER])
broker.add_middleware(Results(backend=RedisBackend(url=os.environ[BROKER], encoder=dramatiq.PickleEncoder())))
dramatiq.set_broker(broker)
ACTORS = {name: dramatiq.actor(function, store_results=True, max_retries=0) for name, function in FUNCTIONS.items()}


class DramatiqRedis(Contender):
    """The client."""

    def start(self, services: Services) -> None:
        services.python("dramatiq", __name__, "--processes", "2")

    def submit(self, work: str, argument: Any) -> _Call:
        return _Call(ACTORS[work].send(argument))


class _Call:
    def __init__(self, message: dramatiq.Message[Any]) -> None:
        self._message = message

    def result(self) -> Any:
        return self._message.get_result(block=True, timeout=60_000)
