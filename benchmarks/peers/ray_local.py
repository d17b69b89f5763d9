"""Ray on this computer with two CPUs, which makes two worker processes; dashboard, statistics and log copying are off.

Its documents warn of calling ``ray.get`` in a loop that submits; with many calls outstanding that warning is heeded.
"""

from __future__ import annotations

import os
import secrets
from typing import Any

# Its token authentication stays on, as it is by default, but with a token that is left in no file of the user's.
os.environ |= {"RAY_USAGE_STATS_ENABLED": "0", "RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": secrets.token_hex(32)}

import ray

from benchmarks.harness.contender import Contender
from benchmarks.harness.services import Services
from benchmarks.harness.works import FUNCTIONS


class RayLocal(Contender):
    """The driver."""

    def start(self, services: Services) -> None:
        ray.init(
            num_cpus=2,
            include_dashboard=False,
            log_to_driver=False,
            object_store_memory=256 * 1024 * 1024,
            _node_ip_address="127.0.0.1",
            _temp_dir=str(services.folder),
        )
        self._remote = {name: ray.remote(function) for name, function in FUNCTIONS.items()}

    def submit(self, work: str, argument: Any) -> _Call:
        return _Call(self._remote[work].remote(argument))

    def stop(self) -> None:
        ray.shutdown()


class _Call:
    def __init__(self, reference: ray.ObjectRef) -> None:
        self._reference = reference

    def result(self) -> Any:
        return ray.get(self._reference)
