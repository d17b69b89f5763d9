"""Dask distributed: a LocalCluster, as its documents have it for one computer, of two processes with one thread each,
which they advise for Python code that holds the GIL. ``pure=False``: each call is to be made, whatever its argument.

Its least round trip is 10 ms, the interval in which its client sends: that is not a setting.
"""

from __future__ import annotations

from typing import Any

from distributed import Client, Future, LocalCluster

from benchmarks.harness.contender import Contender
from benchmarks.harness.services import Services
from benchmarks.harness.works import FUNCTIONS


class DaskLocal(Contender):
    """The client."""

    def start(self, services: Services) -> None:
        self._cluster = LocalCluster(
            n_workers=2,
            threads_per_worker=1,
            processes=True,
            host="127.0.0.1",
            dashboard_address=None,
            local_directory=str(services.folder),
        )
        self._client = Client(self._cluster)

    def submit(self, work: str, argument: Any) -> Future:
        return self._client.submit(FUNCTIONS[work], argument, pure=False)

    def stop(self) -> None:
        self._client.close()
        self._cluster.close()
