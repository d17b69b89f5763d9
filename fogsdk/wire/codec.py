"""Bytes to messages and back: the one place where what comes from outside is checked.

A payload is one message, or an array of them (a batch), in CBOR, or in JSON where it begins with ``{`` or
``[``. Fields that are unknown are ignored, so that a later version may add some.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from operator import attrgetter
from typing import Any

import cbor2

from fogsdk.errors import TooLarge, WireError
from fogsdk.wire import large, limits, messages, values
from fogsdk.wire.cbor import MANY, read_message
from fogsdk.wire.checks import (
    Check,
    body,
    boolean,
    choice,
    count,
    duration,
    float_duration,
    fraction,
    id_or_empty,
    ids,
    integer,
    kept,
    key,
    name,
    octets,
    prose,
    sequence,
    short,
    tag,
    text,
    weight,
)
from fogsdk.wire.jsonvalues import to_json
from fogsdk.wire.messages import Body, Malformed, Message
from fogsdk.wire.topics import check_id

_OUTER_DEPTH = limits.DEPTH + 4  # a batch, a message, its args


def is_json(payload: bytes) -> bool:
    """Whether a payload claims to be JSON. Neither ``{`` nor ``[`` can begin a message in CBOR."""
    return payload[:1] in (b"{", b"[")


def decode(payload: bytes, most: int = limits.MESSAGE_SIZE) -> list[Message | Malformed]:
    """Read a payload. A bad message within a batch becomes a :class:`Malformed` and leaves the others alone.

    Raises WireError when the payload as a whole cannot be read, or has more than ``most`` bytes.
    """
    if len(payload) > most:
        raise TooLarge(f"{len(payload)} bytes, the limit is {most}")
    item = load_json(payload) if is_json(payload) else read_message(payload, _OUTER_DEPTH)
    if isinstance(item, dict):
        return [read(item)]
    if not isinstance(item, list):
        raise WireError("must be a map, or an array of maps")
    if len(item) > limits.BATCH_LENGTH:
        raise TooLarge(f"a batch of {len(item)} messages, the limit is {limits.BATCH_LENGTH}")
    return [read(each) for each in item]


def encode(batch: Sequence[Message], as_json: bool = False, most: int = limits.MESSAGE_SIZE) -> bytes:
    """Write messages as one payload.

    Raises WireError for a value that JSON cannot carry and for text that is not Unicode, and TooLarge for a
    payload of more than ``most`` bytes.
    """
    items = [fields(message, as_json) for message in batch]
    item = items[0] if len(items) == 1 else items
    try:
        payload = _dump_json(item) if as_json else _dump_cbor(items)
    except (UnicodeEncodeError, TypeError) as error:  # JSON has no byte strings: states and replicas are for CBOR alone
        raise WireError(f"cannot be sent: {error}") from error
    if len(payload) > most:
        raise TooLarge(f"{len(payload)} bytes, the limit is {most}")
    return payload


def _dump_cbor(items: list[dict[str, Any]]) -> bytes:
    item = items[0] if len(items) == 1 else items
    if all(len(each.get("body", b"")) + len(each.get("data", b"")) < large.LARGE for each in items):
        return cbor2.dumps(item)
    pieces: list[Body] = [] if len(items) == 1 else [large.head(large.ARRAY, len(items))]
    for each in items:
        pieces.append(large.head(large.MAP, len(each)))
        for field, value in each.items():
            pieces.append(cbor2.dumps(field))
            if isinstance(value, (bytes, memoryview)):
                pieces += (large.head(large.BYTES, len(value)), value)
            else:
                pieces.append(cbor2.dumps(value))
    return b"".join(pieces)


def _dump_json(item: Any) -> bytes:
    return json.dumps(item, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode()


_STRING = re.compile(rb'"(?:[^"\\]|\\.)*"', re.DOTALL)


def _separators(payload: bytes) -> int:
    """At least as many as there are values in JSON, and, of what has no strings, not many more."""
    return payload.count(b",") + payload.count(b"[") + payload.count(b"{")


def load_json(payload: bytes) -> Any:
    """Decode JSON as RFC 8259 has it: UTF-8, and only numbers that are finite. Raises WireError, and TooLarge for more
    than ``limits.VALUES`` values."""
    if _separators(payload) > limits.VALUES and _separators(_STRING.sub(b"", payload)) > limits.VALUES:
        raise TooLarge(MANY)
    try:
        return json.loads(payload.decode(), parse_constant=_no_constant)  # json itself would take UTF-16 too
    except (ValueError, RecursionError) as error:
        raise WireError(f"not JSON: {error}") from error


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is not JSON")


# ---------------------------------------------------------------- the fields of each message


def _record(kind: type) -> Check:
    def check(value: Any, field: str) -> Any:
        if not isinstance(value, dict):
            raise WireError("must be a map", field)
        return _build(kind, value, f"{field}.")

    return check


_HOP: dict[str, Check] = {
    "node": check_id, "action": choice("ran", "sent", "split", "merged", "lost", "hedged"), "why": prose,
    "part": count, "queued": float_duration, "ran": float_duration, "took": float_duration,
}  # fmt: skip
_INFO: dict[str, Check] = {
    "name": name, "version": short, "weight": weight, "timeout": duration, "memory": count,
    "split": boolean, "fallback": choice("fog"), "signature": prose, "summary": prose,
}  # fmt: skip
_hops = sequence(_record(messages.Hop), limits.HOPS)

_FIELDS: dict[type, dict[str, Check]] = {
    messages.Hop: _HOP,
    messages.TaskInfo: _INFO,
    messages.Task: {
        "id": check_id, "name": name, "body": body, "deadline": duration, "priority": integer(-100, 100),
        "weight": weight, "part": count, "via": ids, "keep": duration, "copies": integer(1, 2),
        "session": name, "step": integer(1, 2**53), "after": text(limits.ID_LENGTH), "state": kept,
    },
    messages.Cancel: {"id": check_id},
    messages.Ask: {"id": check_id},
    messages.Accepted: {"id": check_id, "node": check_id, "wait": duration},
    messages.Progress: {"id": check_id, "fraction": fraction},
    messages.Result: {"id": check_id, "body": body, "hops": _hops, "wait": duration, "tag": text(limits.ID_LENGTH)},
    messages.Failed: {
        "id": check_id, "error": short, "message": prose,
        "traceback": text(limits.TRACEBACK_LENGTH, cut=True), "hops": _hops,
    },
    messages.Refused: {
        "id": id_or_empty, "node": check_id, "reason": check_id, "message": prose, "retry_after": duration,
        "instead": id_or_empty,
    },
    messages.Expired: {"id": check_id, "message": prose, "hops": _hops},
    messages.Cancelled: {"id": check_id},
    messages.Birth: {
        "incarnation": count, "role": check_id, "capacity": count,
        "tasks": sequence(_record(messages.TaskInfo), limits.TASKS),
        "addresses": sequence(text(256), limits.ADDRESSES), "keeps": boolean,
    },
    messages.Gone: {"incarnation": count},
    messages.Beat: {
        "incarnation": count, "seq": count, "ttl": duration, "running": count, "queued": count,
        "wait": duration, "cpu": fraction, "memory": fraction, "uplink": boolean, "draining": boolean,
        "quarantined": sequence(short, limits.HOPS),
    },
    messages.Replica: {
        "key": key, "progress": count, "epoch": count, "home": check_id, "guardian": id_or_empty, "data": kept,
        "left": duration, "safe": boolean,
    },
    messages.Seek: {"key": key, "progress": count, "epoch": count},
    messages.Kept: {
        "key": key, "node": check_id, "home": id_or_empty, "guardian": id_or_empty, "progress": count,
        "epoch": count, "safe": boolean, "refuses": boolean,
    },
    messages.Transfer: {
        "id": check_id, "size": integer(1, limits.BODY_SIZE), "head": kept, "tag": tag, "node": id_or_empty,
    },
    messages.Chunk: {
        "id": check_id, "at": integer(0, limits.BODY_SIZE), "data": octets(limits.CHUNK_SIZE, view=True), "tag": tag,
        "node": id_or_empty,
    },
    messages.Got: {
        "id": check_id, "upto": integer(0, limits.BODY_SIZE), "again": boolean, "tag": tag, "node": id_or_empty,
    },
}  # fmt: skip

TYPES: dict[str, type] = {
    "task": messages.Task,
    "cancel": messages.Cancel,
    "ask": messages.Ask,
    "accepted": messages.Accepted,
    "progress": messages.Progress,
    "result": messages.Result,
    "failed": messages.Failed,
    "refused": messages.Refused,
    "deadline-exceeded": messages.Expired,
    "cancelled": messages.Cancelled,
    "birth": messages.Birth,
    "gone": messages.Gone,
    "beat": messages.Beat,
    "replica": messages.Replica,
    "seek": messages.Seek,
    "kept": messages.Kept,
    "transfer": messages.Transfer,
    "chunk": messages.Chunk,
    "got": messages.Got,
}
_NAMES = {kind: name for name, kind in TYPES.items()}
_DEFAULTS: dict[type, dict[str, Any]] = {
    kind: {f.name: f.default for f in kind.__dataclass_fields__.values()}  # type: ignore[attr-defined]
    for kind in _FIELDS
}
_values_of: dict[type, Callable[[Any], tuple[Any, ...]]] = {
    # With one name more it is a tuple for a message of one field, too.
    kind: attrgetter(*defaults, "__class__")
    for kind, defaults in _DEFAULTS.items()
}


# ---------------------------------------------------------------- reading


def read(item: Any) -> Message | Malformed:
    """Check one message that is decoded already, a map of its fields."""
    try:
        if not isinstance(item, dict):
            raise WireError("must be a map")
        name = item.get("type")
        kind = TYPES.get(name) if isinstance(name, str) else None
        if kind is None:
            raise WireError(f"must be one of {', '.join(TYPES)}", "type")
        if "body" not in item:
            item = _with_body(kind, item)
        return _build(kind, item, "")  # type: ignore[no-any-return]
    except WireError as error:
        claimed = item.get("id") if isinstance(item, dict) else None
        return malformed(error, _legible(claimed))


def malformed(error: WireError, id: str = "") -> Malformed:
    """What to hand on in place of a message that could not be read."""
    reason = "too-large" if isinstance(error, TooLarge) else "malformed"
    return Malformed(id, reason, str(error)[: limits.TEXT_LENGTH])


def _legible(claimed: Any) -> str:
    try:
        return check_id(claimed, "id")
    except WireError:
        return ""


def _with_body(kind: type, item: dict[Any, Any]) -> dict[Any, Any]:
    """Turn the readable form (args and kwargs, or value) into the body that the nodes pass on."""
    if kind is messages.Task:
        args, kwargs = item.get("args", []), item.get("kwargs", {})
        if not isinstance(args, list):
            raise WireError("must be an array", "args")
        if not isinstance(kwargs, dict):
            raise WireError("must be a map", "kwargs")
        return {**item, "body": _encoded([args, kwargs], "args")}
    if kind is messages.Result and "value" in item:
        return {**item, "body": _encoded(item["value"], "value")}
    return item


def _encoded(value: Any, field: str) -> bytes:
    try:
        return values.encode(value)
    except WireError as error:
        raise WireError(str(error), field) from error


def _build(kind: type, item: dict[Any, Any], prefix: str) -> Any:
    checked, checks = {}, _FIELDS[kind]
    for field, value in item.items():
        check = checks.get(field)
        if check is not None and value is not None:
            checked[field] = check(value, prefix + field)
    try:
        return kind(**checked)
    except TypeError:
        required = [field for field, default in _DEFAULTS[kind].items() if _is_required(default)]
        missing = next(field for field in required if field not in checked)
        raise WireError("is missing", prefix + missing) from None


def _is_required(default: Any) -> bool:
    return type(default).__name__ == "_MISSING_TYPE"


# ---------------------------------------------------------------- writing


def fields(message: Any, as_json: bool) -> dict[str, Any]:
    """The map that is written for a message. Raises WireError for a value that JSON cannot carry."""
    kind = type(message)
    item: dict[str, Any] = {"type": _NAMES[kind]} if kind in _NAMES else {}
    for (field, default), value in zip(_DEFAULTS[kind].items(), _values_of[kind](message), strict=False):
        if value is default or (value == default and type(value) is type(default)):
            continue
        if isinstance(value, tuple):
            item[field] = [each if isinstance(each, str) else fields(each, as_json) for each in value]
        elif isinstance(value, memoryview) and len(value) < large.LARGE:
            item[field] = bytes(value)  # cbor2 would write an array of numbers
        else:
            item[field] = value
    if as_json and "body" in item:
        _open_body(kind, item)
    return item


def _open_body(kind: type, item: dict[str, Any]) -> None:
    opened = to_json(item.pop("body"))
    if kind is messages.Result:
        item["value"] = opened
        return
    match opened:
        case [list(args), dict(kwargs)]:
            item["args"], item["kwargs"] = args, kwargs
        case _:
            raise WireError("must be [args, kwargs]", "body")
