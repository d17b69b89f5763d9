"""What a request through a door says of a task: options as text, and arguments in JSON or CBOR.

CoAP and HTTP have the same options under the same names, and mean the same by them.
"""

from __future__ import annotations

import asyncio
import math
import secrets
from collections.abc import Mapping
from typing import Any

from fogsdk.errors import TooLarge, WireError
from fogsdk.node.config_kinds import Seconds, kind_of
from fogsdk.wire import codec, limits
from fogsdk.wire.cbor import read_message
from fogsdk.wire.messages import Malformed, Task

TEXTS = ("id", "weight", "session", "after")
INTEGERS = ("priority", "copies", "step")
DURATIONS = ("deadline", "keep")
OPTIONS = (*TEXTS, *INTEGERS, *DURATIONS)
"""What a request may say of its task."""
MOST_BODY = limits.MESSAGE_SIZE
"""Bytes of a request's body."""
IN_A_THREAD = 256 * 1024
"""Bytes from which a body is read or written in a thread, so that heartbeats go on meanwhile."""

_DEPTH = limits.DEPTH + 2  # the map around it, and args or kwargs
_seconds = kind_of(Seconds)


def fields(said: Mapping[str, str]) -> dict[str, Any]:
    """Options as fields of a task; one that has no id gets one. Raises WireError for what they cannot say."""
    found: dict[str, Any] = {name: said[name] for name in TEXTS if name in said}
    found |= {name: _integer(said[name], name) for name in INTEGERS if name in said}
    found |= {name: milliseconds(said[name], name) for name in DURATIONS if name in said}
    return {"id": secrets.token_hex(16), **found}


def _integer(text: str, field: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise WireError(f"must be a whole number, not {text[:80]!r}", field) from None


def milliseconds(text: str, field: str) -> int:
    """Read a duration, in seconds or with a unit, like the settings do. Raises WireError."""
    try:
        return math.ceil(float(_seconds.parse(text)) * 1000)
    except (ValueError, OverflowError):
        raise WireError(f"must be {_seconds.expected}, not {text[:80]!r}", field) from None


async def task_of(body: bytes, in_cbor: bool, name: str, fields: dict[str, Any]) -> Task:
    """The task with these arguments. Raises WireError for what is none, and TooLarge."""
    if len(body) > IN_A_THREAD:
        return await asyncio.to_thread(_task, body, in_cbor, name, fields)
    return _task(body, in_cbor, name, fields)


def _task(body: bytes, in_cbor: bool, name: str, fields: dict[str, Any]) -> Task:
    message = codec.read({**_arguments(body, in_cbor), **fields, "type": "task", "name": name})
    if isinstance(message, Malformed):
        raise (TooLarge if message.reason == "too-large" else WireError)(message.message)
    assert isinstance(message, Task), "its type says so"
    return message


def _arguments(body: bytes, in_cbor: bool) -> Mapping[str, Any]:
    if not body:
        return {}
    item = read_message(body, _DEPTH) if in_cbor else codec.load_json(body)
    if not isinstance(item, dict):
        raise WireError("must be a map with args and kwargs", "body")
    known = ("args", "kwargs", "body") if in_cbor else ("args", "kwargs")
    for name in item:
        if name not in known:
            raise WireError(f"there is no {str(name)[:80]!r}; there are {', '.join(known)}", "body")
    return item
