"""From an outcome to an HTTP response: a result in JSON or CBOR, all else as problem details (RFC 9457)."""

from __future__ import annotations

import asyncio
import json
import math
from http import HTTPStatus
from typing import Any

import cbor2
from aiohttp import web

from fogsdk.errors import TaskRefused, TooLarge, WireError
from fogsdk.node.door_requests import IN_A_THREAD
from fogsdk.node.http_requests import CBOR, JSON
from fogsdk.node.http_writing import Whole
from fogsdk.wire import codec, limits
from fogsdk.wire.jsonvalues import to_json_shown
from fogsdk.wire.messages import Body, Cancelled, Expired, Failed, Outcome, Refused, Result

PROBLEM = "application/problem+json"

STATUS: dict[str, int] = {
    "malformed": 400,
    "bad-arguments": 400,
    "unauthorized": 401,
    "forbidden": 403,
    "unknown-task": 404,
    "unknown-id": 404,
    "unknown-receipt": 404,
    "cancelled": 409,
    "conflict": 409,
    "too-large": 413,
    "no-room": 413,
    "elsewhere": 421,
    "failed": 500,
    "overloaded": 503,
    "quarantined": 503,
    "leaving": 503,
    "no-cloud": 503,
    "no-journal": 503,
    "too-few-nodes": 503,
    "behind": 503,
    "deadline-exceeded": 504,
}
"""The status for each reason of the protocol."""
OWN: dict[str, int] = {"method-not-allowed": 405, "too-slow": 408, "unsupported-type": 415}
"""The status for each reason that HTTP alone has."""
_LONGEST_BODY = limits.MESSAGE_SIZE + 9 * limits.JSON_VALUES
"""Bytes of a result that may fit into JSON: of each value the head alone, or a number, may be shorter there."""
_MORE = ("id", "node", "retry_after", "instead", "error", "traceback")


def write_json(value: Any) -> bytes:
    """JSON (RFC 8259) in UTF-8."""
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode()


def respond(value: Any, status: int = 200, kind: str = JSON, headers: dict[str, str] | None = None) -> web.Response:
    """A response that holds a map."""
    body = cbor2.dumps(value) if kind == CBOR else write_json(value)
    return web.Response(body=body, status=status, content_type=CBOR if kind == CBOR else JSON, headers=headers)


async def answer(outcome: Outcome, kind: str) -> web.StreamResponse:
    """The response that says what became of a task."""
    said = await _written(outcome, kind) if isinstance(outcome, Result) else outcome
    if not isinstance(said, list):
        return problem(outcome_problem(said), kind)
    return Whole(said, {"Content-Type": CBOR if kind == CBOR else JSON})


async def outcome_event(outcome: Outcome) -> tuple[str, Body]:
    """An outcome as the name and the data of an event."""
    said = await _written(outcome, JSON) if isinstance(outcome, Result) else outcome
    if isinstance(said, list):
        return "result", said[0]
    return codec.fields(said, True)["type"], write_json(outcome_problem(said))


async def _written(result: Result, kind: str) -> list[Body] | Failed:
    """A result as it is sent, or what is said in its place."""
    try:
        if len(result.body) > IN_A_THREAD:
            return await asyncio.to_thread(_write, result, kind)
        return _write(result, kind)
    except WireError as error:
        return Failed(result.id, "WireError", f"the result cannot be sent: {error}", hops=result.hops)


def _write(result: Result, kind: str) -> list[Body]:
    """The parts of a result as a map of id, value, trace, and of a session's step its tag. Raises WireError where JSON
    cannot say it."""
    if kind != CBOR:
        return [_in_json(result)]
    trace, value = cbor2.dumps([codec.fields(hop, False) for hop in result.hops]), result.body
    parts: list[tuple[str, Body]] = [("id", cbor2.dumps(result.id)), ("value", value), ("trace", trace)]
    if result.tag:
        parts.append(("tag", cbor2.dumps(result.tag)))
    return [bytes([0xA0 | len(parts)]), *(each for name, item in parts for each in (cbor2.dumps(name), item))]


def _in_json(result: Result) -> bytes:
    if len(result.body) > _LONGEST_BODY:
        raise TooLarge(f"{len(result.body)} bytes, in JSON the limit is {limits.MESSAGE_SIZE}")
    body = write_json(_readable(result))
    if len(body) > limits.MESSAGE_SIZE:
        raise TooLarge(f"{len(body)} bytes of JSON, the limit is {limits.MESSAGE_SIZE}")
    return body


def _readable(result: Result) -> dict[str, Any]:
    trace = [codec.fields(hop, True) for hop in result.hops]
    said = {"id": result.id, "value": to_json_shown(bytes(result.body)), "trace": trace}
    return {**said, "tag": result.tag} if result.tag else said


def outcome_problem(outcome: Failed | Refused | Expired | Cancelled) -> dict[str, Any]:
    """The problem details of an outcome other than a result."""
    fields = codec.fields(outcome, True)
    match outcome:
        case Refused():
            reason, detail = outcome.reason, outcome.message
        case Failed():
            reason, detail = "failed", f"{outcome.error}: {outcome.message}"
        case Expired():
            reason, detail = "deadline-exceeded", outcome.message
        case Cancelled():
            reason, detail = "cancelled", "the task was cancelled"
    more = {name: fields[name] for name in _MORE if name in fields}
    if isinstance(outcome, Failed):
        more["message"] = outcome.message
    if "hops" in fields:
        more["trace"] = fields["hops"]
    return details(reason, detail, **more)


def details(reason: str, detail: str, status: int | None = None, **more: Any) -> dict[str, Any]:
    """Problem details: ``reason`` is the protocol's word, for programs, ``detail`` is for people."""
    status = STATUS.get(reason, 503) if status is None else status
    return {"title": HTTPStatus(status).phrase, "status": status, "detail": detail, "reason": reason, **more}


def problem(said: dict[str, Any], kind: str = JSON, headers: dict[str, str] | None = None) -> web.Response:
    """A response that says what is wrong."""
    headers = dict(headers or {})
    if "retry_after" in said:
        headers["Retry-After"] = str(max(1, math.ceil(said["retry_after"] / 1000)))
    if said["status"] == 401:
        headers["WWW-Authenticate"] = 'Bearer realm="fog"'
    body = cbor2.dumps(said) if kind == CBOR else write_json(said)
    kind = CBOR if kind == CBOR else PROBLEM
    return web.Response(body=body, status=said["status"], content_type=kind, headers=headers)


def error_problem(error: WireError | TaskRefused) -> dict[str, Any]:
    """The problem details of a request that cannot be a task, or is not taken."""
    if isinstance(error, WireError):
        return details("too-large" if isinstance(error, TooLarge) else "malformed", str(error))
    more = {} if error.retry_after is None else {"retry_after": int(error.retry_after * 1000)}
    return details(error.reason, error.message, **more)


def http_problem(error: web.HTTPException) -> dict[str, Any]:
    """The problem details of what the server itself refuses."""
    default = f"{error.status}: {error.reason}"
    detail = error.text if error.text and error.text != default else error.reason
    reasons = {status: reason for reason, status in {**OWN, "not-found": 404}.items()}
    return details(reasons.get(error.status, "malformed"), detail, error.status)
