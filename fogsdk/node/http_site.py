"""The site over HTTP: its tasks, and its nodes, once or as they change."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from aiohttp import web

from fogsdk.core.node import Node
from fogsdk.errors import TaskRefused
from fogsdk.node.door_site import nodes, tasks
from fogsdk.node.http_answers import respond, write_json
from fogsdk.node.http_events import Stream
from fogsdk.node.http_guard import Guard
from fogsdk.node.http_openapi import describe
from fogsdk.node.http_requests import EVENTS, answer_type

EVERY = 1.0
"""Seconds between two looks at the nodes."""
EXAMPLES = 16
"""Tasks that the OpenAPI description names as examples."""
MOST_VIEWERS = 100
"""Streams of the nodes at once."""


class SiteRoutes:
    """``GET /fog/v1/tasks`` and ``GET /fog/v1/nodes``; ``now`` is the clock of the core."""

    def __init__(self, node: Node, now: Callable[[], int], guard: Guard) -> None:
        self._node = node
        self._guard = guard
        self._now = now
        self._viewers = 0
        self._closing = asyncio.Event()
        self._seen: tuple[int, bytes] | None = None

    def close(self) -> None:
        """End the streams."""
        self._closing.set()

    async def tasks(self, request: web.Request) -> web.Response:
        """Every task that a node of the site offers, and which do."""
        return respond({"site": self._node.me.site, "tasks": tasks(self._node)}, kind=answer_type(request))

    async def nodes(self, request: web.Request) -> web.StreamResponse:
        """The nodes: once, or as events, one a second."""
        kind = answer_type(request)
        if kind != EVENTS:
            return respond(nodes(self._node, self._now()), kind=kind)
        if self._viewers >= MOST_VIEWERS:
            raise TaskRefused("overloaded", f"{MOST_VIEWERS} look on already", 5.0)
        self._viewers += 1
        try:
            return await self._show(request)
        finally:
            self._viewers -= 1

    async def describe(self, _request: web.Request) -> web.Response:
        """What this node speaks over HTTP, as OpenAPI."""
        names = list(self._node.me.tasks)[:EXAMPLES]
        return respond(describe(names, tokens=not self._guard.open))

    async def _show(self, request: web.Request) -> web.StreamResponse:
        async with Stream(request) as stream:
            while not self._closing.is_set():
                await stream.send("nodes", self._look())
                try:
                    await asyncio.wait_for(self._closing.wait(), EVERY)
                except asyncio.TimeoutError:
                    continue
        return stream.response

    def _look(self) -> bytes:
        """The nodes in JSON, the same for all who look within a moment."""
        now = self._now()
        if self._seen is None or now - self._seen[0] > 500:
            self._seen = now, write_json(nodes(self._node, now))
        return self._seen[1]
