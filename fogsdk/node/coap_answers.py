"""What the core says about a task as a CoAP response: one message of the protocol, under the code that it means."""

from __future__ import annotations

import asyncio
import json
import math
from typing import Any

import aiocoap
import cbor2
from aiocoap import error
from aiocoap.numbers.codes import Code

from fogsdk.errors import WireError
from fogsdk.node.door_requests import IN_A_THREAD
from fogsdk.wire import codec
from fogsdk.wire.messages import Cancelled, Expired, Failed, Refused, Reply, Result

JSON, CBOR, LINKS = 50, 60, 40
"""Content-Formats."""
CODES: dict[str, Any] = {
    "malformed": Code.BAD_REQUEST,
    "bad-arguments": Code.BAD_REQUEST,
    "quarantined": Code.FORBIDDEN,
    "unknown-task": Code.NOT_FOUND,
    "unknown-id": Code.NOT_FOUND,
    "unknown-receipt": Code.NOT_FOUND,
    "conflict": Code.CONFLICT,
    "too-large": Code.REQUEST_ENTITY_TOO_LARGE,
    "no-room": Code.REQUEST_ENTITY_TOO_LARGE,
}
"""The response code for each reason of a refusal that is not "not now" (5.03)."""


class Problem(error.RenderableError):  # type: ignore[misc]
    """What is wrong with a request, in words for people (RFC 7252, section 5.5.2)."""

    def __init__(self, code: Any, text: str, **options: Any) -> None:
        super().__init__(text)
        self._answer = aiocoap.Message(code=code, payload=text.encode(), **options)

    def to_message(self) -> Any:
        """The response that says so."""
        return self._answer


def written(value: Any, form: int) -> bytes:
    """A value that JSON can say, in JSON or CBOR."""
    if form == CBOR:
        return cbor2.dumps(value)
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode()


def content(value: Any, form: int) -> Any:
    """A response that holds a value."""
    return aiocoap.Message(code=aiocoap.CONTENT, payload=written(value, form), content_format=form)


async def answer(reply: Reply, form: int, done: Any = Code.CONTENT) -> Any:
    """The response that says what became of a task, with the code ``done`` where it did well."""
    if isinstance(reply, Result) and len(reply.body) > IN_A_THREAD:
        reply, payload = await asyncio.to_thread(sayable, reply, form == JSON)
    else:
        reply, payload = sayable(reply, form == JSON)
    message = aiocoap.Message(code=_code(reply, done), payload=payload, content_format=form)
    if isinstance(reply, Refused) and message.code is Code.SERVICE_UNAVAILABLE:
        message.opt.max_age = max(1, math.ceil((reply.retry_after or 1000) / 1000))
    return message


def sayable(reply: Reply, as_json: bool = False) -> tuple[Reply, bytes]:
    """A reply and its bytes; in place of a result that cannot be sent, the failure that says so."""
    try:
        return reply, codec.encode([reply], as_json)
    except WireError as problem:
        failed = Failed(reply.id, "WireError", f"the result cannot be sent: {problem}")
        return failed, codec.encode([failed], as_json)


def _code(reply: Reply, done: Any) -> Any:
    match reply:
        case Refused():
            return CODES.get(reply.reason, Code.SERVICE_UNAVAILABLE)
        case Failed():
            return Code.INTERNAL_SERVER_ERROR
        case Expired():
            return Code.GATEWAY_TIMEOUT
        case Cancelled() if done is not Code.DELETED:
            return Code.NOT_FOUND
    return done
