"""How responses leave: piece by piece, no faster than they are read, and so many large results at once.

A large body is not put together. It stays where it is, in memory that others of the same result share, and no more than
a piece of it lies in the buffer of its connection.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Iterator, Mapping, Sequence
from contextlib import contextmanager

from aiohttp import web

from fogsdk.node import http_pace
from fogsdk.node.door_room import SMALL, Room
from fogsdk.wire.limits import BODY_SIZE
from fogsdk.wire.messages import Body, Outcome, Refused, Result

PIECE = 128 * 1024
MOST_DOWNLOADING = 2 * BODY_SIZE
"""Bytes of results that are on their way to clients, all of them together."""


class Downloads:
    """The results on their way out of a node."""

    def __init__(self, node: str) -> None:
        self._node = node
        self._room = Room(MOST_DOWNLOADING)

    @contextmanager
    def of(self, client: str, outcome: Outcome, *, in_json: bool) -> Iterator[Outcome]:
        """Room for an outcome, from before it is encoded until it is sent. Where there is none, what is to be said is
        the refusal that this gives."""
        length = len(outcome.body) if isinstance(outcome, Result) else 0
        size = 0 if length <= SMALL else 2 * length if in_json else length
        if not self._room.take(client, size):
            why = f"{client} has its share of the large results on their way from here: ask again"
            yield Refused(outcome.id, self._node, "overloaded", why, 1000)
            return
        try:
            yield outcome
        finally:
            self._room.give_back(client, size)


class Whole(web.StreamResponse):
    """A response with all of its body, in parts."""

    def __init__(self, parts: Sequence[Body], headers: Mapping[str, str]) -> None:
        super().__init__(headers=headers)
        self.content_length = sum(map(len, parts))
        self.parts = parts


async def write(request: web.Request, response: web.StreamResponse) -> None:
    """Write a response. Raises ConnectionError where nobody reads it."""
    if not request.content.at_eof():  # what comes now is no request, but a body that was refused
        response.force_close()
    await response.prepare(request)
    left = response.content_length or 0
    if isinstance(response, Whole) and request.method != "HEAD":
        await write_parts(request, response, response.parts)
        response.parts, left = (), PIECE
    await in_time(request, response.write_eof(), left)


async def write_parts(request: web.Request, response: web.StreamResponse, parts: Sequence[Body]) -> None:
    """Write parts of a body. Raises ConnectionError where nobody reads them."""
    for piece in _pieces(parts):
        await in_time(request, response.write(piece), len(piece))


def _pieces(parts: Sequence[Body]) -> Iterator[bytes | memoryview]:
    if sum(map(len, parts)) <= PIECE:
        yield b"".join(parts)
        return
    for part in parts:
        view = memoryview(part)
        for start in range(0, len(view), PIECE):
            yield view[start : start + PIECE]


async def in_time(request: web.Request, writing: Awaitable[None], length: int) -> None:
    """Write so many bytes, and cut the connection where they are not read in time. Raises ConnectionError."""
    try:
        await asyncio.wait_for(writing, http_pace.allowed(length))
    except asyncio.TimeoutError:
        if request.transport is not None:
            request.transport.abort()
        raise ConnectionResetError("the reader is too slow") from None
