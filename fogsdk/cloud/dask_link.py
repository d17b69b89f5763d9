"""The engine's connection to its Dask cluster: kept up, or made again, for as long as the engine lives."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from typing import Any

from fogsdk.cloud.dask_local import LocalCluster
from fogsdk.errors import ConnectionFailed, FogError, not_installed

_PATIENCE = 5.0  # seconds to reach a scheduler, and to take leave of it
_FIRST_DELAY, _LONGEST_DELAY = 0.1, 5.0  # seconds before another attempt; doubled each time
_CHECK = 0.1  # seconds between two looks at the connection

log = logging.getLogger(__name__)


class Link:
    """A client of the scheduler at ``address`` (``tcp://host:port``); None is a cluster of its own.

    A client that lost its scheduler is thrown away: left alone it would connect again to the same address
    only, and without its subscriptions. Clients are ``distributed.Client``, which is hardly typed. Dask is
    imported as late as possible, as it takes a second.
    """

    def __init__(self, address: str | None, workers: int) -> None:
        self._address = address
        self._workers = workers
        self._cluster: LocalCluster | None = None
        self._keeper: asyncio.Task[None] | None = None

    @property
    def is_local(self) -> bool:
        """Whether the cluster is this link's own, and ends with it."""
        return self._address is None

    async def open(self) -> None:
        """Start a cluster of its own; connect to one that is elsewhere in the background, whenever it comes.

        Raises ConfigError when Dask is not installed, or a cluster of its own does not start.
        """
        _import_quietly()
        self._next: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        try:
            client = await self._connect() if self.is_local else None
        except BaseException:  # cancelled, for one, while the cluster starts
            await self._disconnect(None)
            raise
        self._keeper = asyncio.create_task(self._keep(client))

    async def client(self) -> Any:
        """Return the connected client; wait for it while there is none."""
        while True:
            client = await asyncio.shield(self._next)
            if client.status == "running":
                return client
            await asyncio.sleep(_CHECK)  # just lost, and not noticed yet

    async def close(self) -> None:
        """Disconnect, and end a cluster of its own: no process is left."""
        if self._keeper is None:
            return
        self._keeper.cancel()
        await asyncio.wait([self._keeper])
        await self._disconnect(self._next.result() if self._next.done() else None)

    async def _keep(self, client: Any) -> None:
        while True:
            client = client or await self._connect_at_last()
            log.info("connected to the Dask scheduler at %s", client.scheduler.address)
            self._next.set_result(client)
            while client.status == "running":  # noqa: ASYNC110  Dask's client tells nobody when that changes
                await asyncio.sleep(_CHECK)
            log.warning("lost the Dask scheduler; jobs that it had start again when there is one")
            self._next = asyncio.get_running_loop().create_future()
            await self._disconnect(client)
            client = None

    async def _connect_at_last(self) -> Any:
        delay = _FIRST_DELAY
        while True:
            try:
                return await self._connect()
            except FogError as error:
                log.warning("%s; next attempt in %.1f s", error, delay)
            await asyncio.sleep(delay)
            delay = min(2 * delay, _LONGEST_DELAY)

    async def _connect(self) -> Any:
        from distributed import Client

        address = self._address
        if address is None:
            self._cluster = LocalCluster(self._workers)
            address = await self._cluster.start()
        client = Client(  # type: ignore[no-untyped-call]
            address, asynchronous=True, set_as_default=False, timeout=_PATIENCE
        )
        try:
            return await client
        except (OSError, asyncio.TimeoutError) as error:
            await self._disconnect(client)
            raise ConnectionFailed(f"no Dask scheduler answers at {address}: {error}") from error

    async def _disconnect(self, client: Any) -> None:
        if client is not None:
            with contextlib.suppress(OSError, asyncio.TimeoutError):
                await asyncio.wait_for(client.close(), _PATIENCE)
        if self._cluster is not None:
            await self._cluster.close()
            self._cluster = None


def _import_quietly() -> None:
    """Import Dask, which sets up its own logging then; silence that, as the engine says what matters."""
    try:
        import distributed  # noqa: F401
    except ImportError as error:
        raise not_installed("Dask", "cloud", error) from error
    for name in ("distributed", "distributed.client"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
