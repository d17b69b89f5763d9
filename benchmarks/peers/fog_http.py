"""fogsdk over HTTP: a ``fognode`` with an HTTP door, no broker at all, and aiohttp's client with CBOR bodies.

Connections are kept alive, as many as there are calls at once. It goes by several names: a node lets no one of them
have all of the requests that may wait there.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Awaitable
from typing import Any

import aiohttp
import cbor2

from benchmarks.harness.contender import AsyncContender
from benchmarks.harness.services import Services, free_port
from benchmarks.peers.fog_mqtt import start_node

NAMES = 4
_CBOR = {"Content-Type": "application/cbor", "Accept": "application/cbor"}
_PATIENCE = 10.0
_PAUSE = 0.01


class FogHttp(AsyncContender):
    """The client."""

    def start(self, services: Services) -> None:
        port = free_port()
        self._names = itertools.cycle([f"client-{number}" for number in range(NAMES)])
        start_node(services, "--workers", "2", "--http-port", str(port))
        self.loop.run_until_complete(self._open(f"http://127.0.0.1:{port}"))

    async def _open(self, url: str) -> None:
        self._http = aiohttp.ClientSession(url, headers=_CBOR, connector=aiohttp.TCPConnector(limit=0))
        until = self.loop.time() + _PATIENCE
        while True:
            try:
                async with self._http.get("/fog/v1/tasks"):
                    return
            except aiohttp.ClientConnectionError:
                if self.loop.time() > until:
                    raise
                await asyncio.sleep(_PAUSE)

    def submit(self, work: str, argument: Any) -> Awaitable[Any]:
        return self.loop.create_task(self._call(work, argument))

    async def _call(self, work: str, argument: Any) -> Any:
        where, name = f"/fog/v1/tasks/{work}", {"Fog-Sender": next(self._names)}
        async with self._http.post(where, data=cbor2.dumps({"args": [argument]}), headers=name) as response:
            said = cbor2.loads(await response.read())
            if response.status != 200:
                raise RuntimeError(said["detail"])
            return said["value"]

    def stop(self) -> None:
        self.loop.run_until_complete(self._http.close())
        super().stop()
