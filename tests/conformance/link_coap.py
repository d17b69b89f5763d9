"""A stranger's CoAP client, in JSON or CBOR: it posts a task, and observes where the answer says that it is."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Coroutine
from concurrent.futures import Future
from typing import Any
from urllib.parse import quote

import aiocoap
import cbor2

from fogsdk.wire import limits, values
from tests.conformance.link import PATIENCE, Order, Outcome
from tests.conformance.reply import outcome_of

_FORMATS = {True: 50, False: 60}


class CoapCall:
    """A task that was posted."""

    def __init__(self, link: CoapLink, order: Order) -> None:
        self.fractions: list[float] = []
        self._link = link
        self._order = order
        self._future: Future[dict[str, Any]] = link.run(link.follow(order, self.fractions))

    def outcome(self, timeout: float = PATIENCE) -> Outcome:
        return outcome_of(self._future.result(timeout))

    def progress(self) -> list[float]:
        return list(self.fractions)

    def cancel(self) -> None:
        self._link.run(self._link.delete(self._order)).result(PATIENCE)


class CoapLink:
    """A client of its own name, with an event loop in a thread."""

    arrays = True
    persists = False
    most_body = limits.MESSAGE_SIZE - 1024

    def __init__(self, port: int, name: str, *, as_json: bool) -> None:
        self.json = as_json
        self._name = name
        self._form = _FORMATS[as_json]
        self._at = f"coap://127.0.0.1:{port}/fog/v1"
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever)
        self._thread.start()
        self._context = self.run(aiocoap.Context.create_client_context()).result(PATIENCE)

    def run(self, what: Coroutine[Any, Any, Any]) -> Future[Any]:
        """Have something done on the loop."""
        return asyncio.run_coroutine_threadsafe(what, self._loop)

    def hand_in(self, order: Order) -> CoapCall:
        return CoapCall(self, order)

    def repeat(self, order: Order) -> CoapCall:
        return self.hand_in(order)

    async def follow(self, order: Order, fractions: list[float]) -> dict[str, Any]:
        """Post a task, and follow it to its outcome."""
        said = self._read(await self._ask(aiocoap.POST, self._task_url(order), self._body(order)))
        if said["type"] != "accepted":
            return said
        observation = self._context.request(
            aiocoap.Message(code=aiocoap.GET, uri=self._outcome_url(order), observe=0, accept=self._form)
        )
        said = self._read(await observation.response)
        async for notification in observation.observation:
            said = self._read(notification)
            fractions += [said["fraction"]] if said["type"] == "progress" else []
            if said["type"] not in ("accepted", "progress"):
                break
        return said

    async def delete(self, order: Order) -> None:
        """Cancel a task."""
        await self._ask(aiocoap.DELETE, self._outcome_url(order))

    async def _ask(self, code: Any, uri: str, body: bytes = b"") -> Any:
        message = aiocoap.Message(code=code, uri=uri, payload=body, content_format=self._form, accept=self._form)
        return await self._context.request(message).response

    def _read(self, message: Any) -> dict[str, Any]:
        if message.opt.content_format != self._form:  # a diagnostic payload (RFC 7252, section 5.5.2)
            reason = {aiocoap.REQUEST_ENTITY_TOO_LARGE: "too-large"}.get(message.code, "malformed")
            return {"type": "refused", "reason": reason, "message": message.payload.decode()}
        said: dict[str, Any] = json.loads(message.payload) if self.json else cbor2.loads(message.payload)
        return said

    def _task_url(self, order: Order) -> str:
        options = f"id={order.id}&sender={self._name}&priority={order.priority}&wait=100ms"
        if order.deadline is not None:
            options += f"&deadline={order.deadline}s"
        if order.keep is not None:
            options += f"&keep={order.keep}s&copies={order.copies}"
        return f"{self._at}/tasks/{quote(order.name)}?{options}"

    def _outcome_url(self, order: Order) -> str:
        return f"{self._at}/outcomes/{self._name}/{order.id}"

    def _body(self, order: Order) -> bytes:
        if self.json:
            return json.dumps({"args": list(order.args), "kwargs": order.kwargs}).encode()
        return cbor2.dumps({"body": values.encode([list(order.args), order.kwargs])})

    def close(self) -> None:
        self.run(self._context.shutdown()).result(PATIENCE)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()
