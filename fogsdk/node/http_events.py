"""Server-sent events: a task's words, or the nodes, as they come. A reader that falls behind is let go."""

from __future__ import annotations

from types import TracebackType

from aiohttp import web

from fogsdk.node.door_exchange import Exchange, Exchanges
from fogsdk.node.http_answers import outcome_event, write_json
from fogsdk.node.http_writing import in_time, write_parts
from fogsdk.wire import codec
from fogsdk.wire.messages import Body, Outcome

KEEP_ALIVE = 15.0
"""Seconds without an event until a comment is sent, so that proxies and dead connections are noticed."""
RETRY = 1000
"""Milliseconds until a browser connects again."""


class Stream:
    """A response of events. At its end every event was sent, or the connection was cut."""

    def __init__(self, request: web.Request, headers: dict[str, str] | None = None) -> None:
        self._request = request
        self._response = web.StreamResponse(headers={"Cache-Control": "no-store", **(headers or {})})
        self._response.content_type = "text/event-stream"
        self._response.charset = "utf-8"

    @property
    def response(self) -> web.StreamResponse:
        """What the handler is to return."""
        return self._response

    async def __aenter__(self) -> Stream:
        await self._response.prepare(self._request)
        await self._write(f"retry: {RETRY}\n\n".encode())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if kind is None:
            await in_time(self._request, self._response.write_eof(), 0)

    async def send(self, name: str, data: Body, id: str = "") -> None:
        """Send one event; ``data`` has no line ends in it. Raises ConnectionError where nobody reads."""
        head = f"id: {id}\n" if id else ""
        await self._write(f"{head}event: {name}\ndata: ".encode(), data, b"\n\n")

    async def keep_alive(self) -> None:
        """Send a comment."""
        await self._write(b":\n\n")

    async def _write(self, *parts: Body) -> None:
        await write_parts(self._request, self._response, parts)


async def follow(stream: Stream, exchange: Exchange, exchanges: Exchanges) -> Outcome:
    """Send what is heard of a task until its outcome is there, which is returned. Of progress that comes faster than it
    is read only the last counts, so that a slow reader takes up no memory."""
    accepted, progress, words = False, None, 0
    while exchange.outcome is None:
        if exchange.accepted is not None and not accepted:
            accepted = True
            await stream.send("accepted", _data(exchange.accepted), exchange.id)
        elif accepted and exchange.progress != progress:
            progress = exchange.progress
            said = write_json({"id": exchange.id, "fraction": progress})
            await stream.send("progress", said, exchange.id)
        elif not await exchange.news(words, KEEP_ALIVE):
            await stream.keep_alive()
            exchanges.ask(exchange)
        else:
            words = exchange.words
    return exchange.outcome


async def tell(stream: Stream, outcome: Outcome) -> None:
    """Send the outcome of a task."""
    name, data = await outcome_event(outcome)
    await stream.send(name, data, f"{outcome.id}/done")


def _data(message: object) -> bytes:
    fields = codec.fields(message, True)
    return write_json({name: value for name, value in fields.items() if name != "type"})
