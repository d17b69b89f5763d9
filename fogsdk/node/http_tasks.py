"""The tasks of clients over HTTP: run, followed, polled and cancelled."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote, urlencode

from aiohttp import web

from fogsdk.core.node import Node
from fogsdk.errors import WireError
from fogsdk.node.door_exchange import Exchange, Exchanges
from fogsdk.node.door_requests import milliseconds
from fogsdk.node.http_answers import answer, outcome_problem, problem, respond
from fogsdk.node.http_events import Stream, follow, tell
from fogsdk.node.http_guard import Guard
from fogsdk.node.http_requests import CBOR, EVENTS, LONGEST_WAIT, Uploads, Wanted, query, task_of, wanted
from fogsdk.node.http_writing import Downloads, write
from fogsdk.wire.limits import NAME_LENGTH
from fogsdk.wire.messages import Ask, Cancel, Cancelled, Outcome, Refused
from fogsdk.wire.topics import check_id

TASKS = "/fog/v1/tasks"
FIRST_WORD = 0.2
"""Seconds within which a node says something about a task, unless it waits for others."""
CANCEL_WITHIN = 5.0
"""Seconds that a client waits who cancels what is nearly done."""


class TaskRoutes:
    """``POST /fog/v1/tasks/<name>``, and what a client does with ``/fog/v1/tasks/<name>/<id>`` after that."""

    def __init__(self, node: Node, exchanges: Exchanges, guard: Guard) -> None:
        self._directory = node.directory
        self._exchanges = exchanges
        self._guard = guard
        self._uploads = Uploads()
        self._downloads = Downloads(node.me.node)

    async def run(self, request: web.Request) -> web.StreamResponse:
        """Run a task, and answer with its outcome, with events, or with where to ask for it."""
        sender, client = self._guard.sender(request), self._guard.client(request)
        task = await task_of(request, self._uploads, client)
        how = wanted(request)
        detached = how.come_back or task.keep is not None
        with self._exchanges.watch(sender, task, detached=detached, client=client) as exchange:
            return await self._answer(request, exchange, how)

    async def _answer(self, request: web.Request, exchange: Exchange, how: Wanted) -> web.StreamResponse:
        headers = {"Location": self._location(request, exchange)}
        if how.type == EVENTS:
            return await self._stream(request, exchange, headers)
        if not how.come_back:
            outcome = await self._exchanges.outcome(exchange)
        elif how.wait is not None:
            outcome = await self._exchanges.outcome(exchange, how.wait)
        else:
            outcome = await self._first_word(exchange)
        if outcome is None:
            return respond(_status(exchange), 202, how.type, headers | {"Preference-Applied": "respond-async"})
        return self._elsewhere(request, outcome) or await self._tell(request, outcome, how.type)

    async def _tell(self, request: web.Request, outcome: Outcome, kind: str) -> web.StreamResponse:
        with self._downloads.of(self._guard.client(request), outcome, in_json=kind != CBOR) as said:
            response = await answer(said, kind)
            await write(request, response)
        return response

    def _elsewhere(self, request: web.Request, outcome: Outcome) -> web.Response | None:
        """Where to go on, if another node has what the call is about, and has HTTP."""
        if not isinstance(outcome, Refused):
            return None
        member = self._directory.members.get(outcome.instead)
        for url in member.birth.addresses if member is not None else ():
            if url.startswith(("http://", "https://")):
                said = {**outcome_problem(outcome), "title": "Temporary Redirect", "status": 307}
                return problem(said, headers={"Location": f"{url.rstrip('/')}{request.path_qs}"})
        return None

    async def _first_word(self, exchange: Exchange) -> Outcome | None:
        """Wait until the task is accepted: by then a quick one has its outcome."""
        while exchange.outcome is None and exchange.accepted is None:
            if not await exchange.news(exchange.words, FIRST_WORD):
                break
        return exchange.outcome

    async def _stream(
        self, request: web.Request, exchange: Exchange, headers: dict[str, str] | None = None
    ) -> web.StreamResponse:
        async with Stream(request, headers) as stream:
            outcome = await follow(stream, exchange, self._exchanges)
            with self._downloads.of(self._guard.client(request), outcome, in_json=True) as said:
                await tell(stream, said)
        return stream.response

    async def look(self, request: web.Request) -> web.StreamResponse:
        """What became of a task: its outcome, now or within ``wait``, or its events from here on."""
        sender, id = self._guard.sender(request), _id(request)
        how, wait = wanted(request), _wait(request)
        if how.type == EVENTS and request.headers.get("Last-Event-ID") == f"{id}/done":
            return web.Response(status=204)  # what keeps a browser from asking once more
        with self._exchanges.watch(sender, Ask(id), client=self._guard.client(request)) as exchange:
            if how.type == EVENTS and exchange.outcome is None:
                return await self._stream(request, exchange)
            outcome = await self._exchanges.outcome(exchange, wait)
            if how.type == EVENTS and not isinstance(outcome, Refused):
                return await self._stream(request, exchange)
            return await self._state(request, exchange, outcome, how)

    async def cancel(self, request: web.Request) -> web.StreamResponse:
        """Stop a task; where its outcome came first, that is the answer."""
        sender, id, how = self._guard.sender(request), _id(request), wanted(request)
        query(request, ("sender",))
        with self._exchanges.watch(sender, Cancel(id), client=self._guard.client(request)) as exchange:
            outcome = await self._exchanges.outcome(exchange, CANCEL_WITHIN)
            if isinstance(outcome, Cancelled):
                return web.Response(status=204)
            return await self._state(request, exchange, outcome, how)

    async def _state(
        self, request: web.Request, exchange: Exchange, outcome: Outcome | None, how: Wanted
    ) -> web.StreamResponse:
        if outcome is None:
            return respond(_status(exchange), 202, how.type)
        return await self._tell(request, outcome, how.type)

    def _location(self, request: web.Request, exchange: Exchange) -> str:
        query = "?" + urlencode({"sender": exchange.sender}) if self._guard.open else ""
        return f"{TASKS}/{quote(request.match_info['name'], safe='')}/{exchange.id}{query}"


def _status(exchange: Exchange) -> dict[str, Any]:
    """How far a task is that has no outcome yet."""
    accepted = exchange.accepted
    said = {
        "id": exchange.id,
        "node": accepted and accepted.node,
        "wait": accepted and accepted.wait,
        "progress": exchange.progress,
    }
    return {name: value for name, value in said.items() if value is not None}


def _id(request: web.Request) -> str:
    """The id of the task that a path leads to. Its name is for people; what counts is the id."""
    if len(request.match_info["name"]) > NAME_LENGTH:
        raise WireError(f"more than {NAME_LENGTH} characters", "name")
    return check_id(request.match_info["id"], "id")


def _wait(request: web.Request) -> float:
    """How many seconds a poll may wait."""
    text = query(request, ("wait", "sender")).get("wait")
    return 0.0 if text is None else min(LONGEST_WAIT, milliseconds(text, "wait") / 1000)
