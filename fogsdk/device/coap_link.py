"""A device's link to one node over CoAP: batches of messages out, in order, and in what the node has in its mailbox."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable
from typing import Any

from aiocoap import error

from fogsdk.device.coap_exchange import Exchange
from fogsdk.errors import ConnectionFailed, WireError
from fogsdk.wire.cbor import read_message
from fogsdk.wire.limits import DEPTH

log = logging.getLogger(__name__)

Items = list[dict[Any, Any]]
"""Messages as maps: those about nodes have the node's name in them."""


class CoapLink:
    """A mailbox at a node, and the way to it. Used on one event loop.

    ``on_items`` gets what comes in; ``on_down`` is called once, with why, when the link is lost. ``said`` is set while
    there is nothing to be sent.
    """

    def __init__(
        self,
        exchange: Exchange,
        me: str,
        on_items: Callable[[Items], None],
        on_down: Callable[[str], None],
    ) -> None:
        self._exchange = exchange
        self._path = ("fog", "v1", "messages", me)
        self._on_items = on_items
        self._on_down = on_down
        self._queue: deque[bytes] = deque()
        self._fetching: dict[tuple[str, ...], asyncio.Task[None]] = {}
        self._tasks: list[asyncio.Task[None]] = []
        self._work = asyncio.Event()
        self.said = asyncio.Event()
        self.said.set()
        self._down = False

    async def open(self, site: str) -> Items:
        """Open the mailbox; returns what is in it first: who the node is. Raises ConnectionFailed."""
        request = self._exchange.observe(self._path, (f"site={site}",))
        try:
            items = await self._items(await self._exchange.first(request))
        except BaseException:
            request.response.cancel()
            raise
        self._tasks = [asyncio.ensure_future(self._listen(request)), asyncio.ensure_future(self._speak())]
        return items

    def send(self, payload: bytes) -> None:
        """Send an encoded batch, after those before it."""
        self._queue.append(payload)
        self.said.clear()
        self._work.set()

    async def close(self) -> None:
        """End it."""
        if not self._down:
            self._down = True
            self._exchange.leave(self._path)
        tasks = [*self._tasks, *self._fetching.values()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _lost(self, why: str) -> None:
        if not self._down:
            self._down = True
            self._on_down(why)

    async def _speak(self) -> None:
        while True:
            while self._queue:
                try:
                    await self._exchange.post(self._path, self._queue[0])
                except ConnectionFailed as problem:
                    self._lost(str(problem))
                    return
                self._queue.popleft()
                if self._down:  # up to Python 3.11 wait_for loses a cancel that comes with the answer
                    return
            self.said.set()
            self._work.clear()
            await self._work.wait()

    async def _listen(self, request: Any) -> None:
        try:
            async for response in request.observation:
                if not response.code.is_successful():
                    self._lost(bytes(response.payload).decode(errors="replace"))
                    return
                where = tuple(response.opt.location_path)
                if where and where not in self._fetching:
                    self._fetching[where] = asyncio.ensure_future(self._fetch(where))
                elif not where:
                    self._on_items(_read(response.payload))
        except (error.Error, OSError) as problem:
            self._lost(str(problem) or type(problem).__name__)
        else:
            self._lost("the node ended it")

    async def _items(self, response: Any) -> Items:
        """What a response holds, or what lies where it says."""
        where = tuple(response.opt.location_path)
        return _read(await self._exchange.get(where) if where else response.payload)

    async def _fetch(self, where: tuple[str, ...]) -> None:
        try:
            self._on_items(_read(await self._exchange.get(where)))
        except ConnectionFailed as problem:  # whoever waits for it asks again
            log.debug("a large message was not fetched: %s", problem)
        finally:
            del self._fetching[where]


def _read(payload: bytes) -> Items:
    try:
        item = read_message(payload, DEPTH + 4)
    except WireError as problem:
        log.warning("a message cannot be read: %s", problem)
        return []
    return [each for each in (item if isinstance(item, list) else [item]) if isinstance(each, dict)]
