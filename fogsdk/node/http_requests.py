"""From an HTTP request to a task: its body, its options, and how it wants its answer."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

from aiohttp import web

from fogsdk.errors import TooLarge, WireError
from fogsdk.node import door_requests, http_pace
from fogsdk.node.door_requests import MOST_BODY, OPTIONS
from fogsdk.node.door_room import SMALL, Room
from fogsdk.wire.messages import Task

JSON, CBOR, EVENTS = "application/json", "application/cbor", "text/event-stream"

LONGEST_WAIT = 300.0
"""Seconds that a poll may wait at once."""

_MOST_UPLOADING = 8 * MOST_BODY  # all of them together


@dataclass(frozen=True)
class Wanted:
    """How a request wants its answer: in which type, and whether the client comes back for it: at once where that takes
    long, or after ``wait`` seconds."""

    type: str
    come_back: bool = False
    wait: float | None = None


class Uploads:
    """Reads bodies, so many bytes of them at once."""

    def __init__(self) -> None:
        self._room = Room(_MOST_UPLOADING)

    async def read(self, request: web.Request, client: str) -> bytes:
        """The body of a client's request. Raises TooLarge, HTTPException where it comes too slowly, and TaskRefused
        where too much comes at once."""
        _check_head(request)
        expected = MOST_BODY if request.content_length is None else request.content_length
        size = expected if expected > SMALL and request.body_exists else 0
        with self._room.taken(client, size, "the large bodies on their way here"):
            if request.headers.get("Expect", "").lower() == "100-continue":  # it is wanted; refusals came before it
                await request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
                request.writer.output_size = 0  # that was no part of the response
            return await _body(request)


def _check_head(request: web.BaseRequest) -> None:
    """Refuse a body by its headers. Raises TooLarge, and HTTPUnsupportedMediaType for one that is compressed."""
    if (request.content_length or 0) > MOST_BODY:
        raise TooLarge(f"{request.content_length} bytes, the limit is {MOST_BODY}", "body")
    if request.headers.get("Content-Encoding", "identity").lower() != "identity":
        raise web.HTTPUnsupportedMediaType(text="a body is taken as it is, not compressed")
    if request.body_exists and request.headers.get("Content-Type") and request.content_type not in (JSON, CBOR):
        raise web.HTTPUnsupportedMediaType(
            text=f"the body is {request.content_type}; send Content-Type: {JSON} or {CBOR}"
        )


async def _body(request: web.Request) -> bytes:
    loop, body = asyncio.get_running_loop(), bytearray()
    began = loop.time()
    while True:
        left = began + http_pace.allowed(len(body)) - loop.time()
        try:
            chunk = await asyncio.wait_for(request.content.readany(), min(http_pace.PATIENCE, max(0.0, left)))
        except asyncio.TimeoutError:
            raise web.HTTPRequestTimeout(text="the body came too slowly", headers={"Connection": "close"}) from None
        if not chunk:
            return bytes(body)
        body += chunk
        if len(body) > MOST_BODY:
            raise TooLarge(f"more than {MOST_BODY} bytes, which is the limit", "body")


async def task_of(request: web.Request, uploads: Uploads, client: str) -> Task:
    """The task that a POST of a client asks for. Raises WireError, TaskRefused and HTTPException for what is not one.

    The id of a client that resumes a stream of events is in ``Last-Event-ID``.
    """
    said = query(request, (*OPTIONS, "sender"))
    resumed = request.headers.get("Last-Event-ID", "").partition("/")[0]
    if resumed:
        said.setdefault("id", resumed)
    fields = door_requests.fields(said)
    body = await uploads.read(request, client)
    in_cbor = request.headers.get("Content-Type") is not None and request.content_type == CBOR
    return await door_requests.task_of(body, in_cbor, request.match_info["name"], fields)


def query(request: web.BaseRequest, known: Sequence[str]) -> dict[str, str]:
    """What a request says in its query. Raises WireError for what is not known, and for what is said twice."""
    for name in request.query:
        if name not in known:
            raise WireError(f"there is no option {name[:80]!r}; there are {', '.join(known)}", "query")
        if len(request.query.getall(name)) > 1:
            raise WireError("is there more than once", name)
    return dict(request.query)


def wanted(request: web.Request) -> Wanted:
    """How a request wants its answer, from Accept (RFC 9110) and Prefer (RFC 7240)."""
    prefer = ",".join(request.headers.getall("Prefer", [])).lower()
    preferences = dict(_pair(each) for each in prefer.split(","))
    wait = preferences.get("wait", "")
    seconds = min(float(wait), LONGEST_WAIT) if wait.isdecimal() and len(wait) < 10 else None
    return Wanted(answer_type(request), "respond-async" in preferences, seconds)


def _pair(text: str) -> tuple[str, str]:
    name, _, value = text.partition(";")[0].partition("=")
    return name.strip(), value.strip().strip('"')


def answer_type(request: web.BaseRequest) -> str:
    """The type to answer in: of those that Accept names the one that it likes best, JSON where it names none."""
    best, kind = 0.0, JSON
    for item in ",".join(request.headers.getall("Accept", [])).lower().split(","):
        name, *parameters = (part.strip() for part in item.split(";"))
        quality = next((_quality(each[2:]) for each in parameters if each.startswith("q=")), 1.0)
        if name in (JSON, CBOR, EVENTS) and quality > best:
            best, kind = quality, name
    return kind


def _quality(text: str) -> float:
    try:
        quality = float(text)
    except ValueError:
        return 0.0
    return quality if 0.0 <= quality <= 1.0 else 0.0
