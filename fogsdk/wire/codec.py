"""Bytes to messages and back: the one place where what comes from outside is checked.

A payload is one message, or an array of them (a batch), in CBOR, or in JSON where it begins with ``{`` or
``[``. Fields that are unknown are ignored, so that a later version may add some.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Sequence
from typing import Any

import cbor2

from fogsdk.errors import TooLarge, WireError
from fogsdk.wire import limits, messages, values
from fogsdk.wire.cbor import read_message
from fogsdk.wire.jsonvalues import to_json
from fogsdk.wire.messages import Malformed, Message
from fogsdk.wire.topics import check_id

Check = Callable[[Any, str], Any]

_OUTER_DEPTH = limits.DEPTH + 4  # a batch, a message, its args
_LONE_SURROGATE = re.compile("[\ud800-\udfff]")  # JSON can write these, UTF-8 cannot


def is_json(payload: bytes) -> bool:
    """Whether a payload claims to be JSON. Neither ``{`` nor ``[`` can begin a message in CBOR."""
    return payload[:1] in (b"{", b"[")


def decode(payload: bytes) -> list[Message | Malformed]:
    """Read a payload. A bad message within a batch becomes a :class:`Malformed` and leaves the others alone.

    Raises WireError when the payload as a whole cannot be read.
    """
    if len(payload) > limits.MESSAGE_SIZE:
        raise TooLarge(f"{len(payload)} bytes, the limit is {limits.MESSAGE_SIZE}")
    item = _load_json(payload) if is_json(payload) else read_message(payload, _OUTER_DEPTH)
    if isinstance(item, dict):
        return [_message(item)]
    if not isinstance(item, list):
        raise WireError("must be a map, or an array of maps")
    if len(item) > limits.BATCH_LENGTH:
        raise TooLarge(f"a batch of {len(item)} messages, the limit is {limits.BATCH_LENGTH}")
    return [_message(each) for each in item]


def encode(batch: Sequence[Message], as_json: bool = False) -> bytes:
    """Write messages as one payload.

    Raises WireError for a value that JSON cannot carry and for text that is not Unicode, and TooLarge for a
    payload that is over the limit.
    """
    items = [_fields(message, as_json) for message in batch]
    item = items[0] if len(items) == 1 else items
    try:
        payload = _dump_json(item) if as_json else cbor2.dumps(item)
    except (UnicodeEncodeError, TypeError) as error:  # JSON has no byte strings: states and replicas are for CBOR alone
        raise WireError(f"cannot be sent: {error}") from error
    if len(payload) > limits.MESSAGE_SIZE:
        raise TooLarge(f"{len(payload)} bytes, the limit is {limits.MESSAGE_SIZE}")
    return payload


def _dump_json(item: Any) -> bytes:
    return json.dumps(item, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode()


def _load_json(payload: bytes) -> Any:
    try:
        return json.loads(payload.decode(), parse_constant=_no_constant)  # json itself would take UTF-16 too
    except (ValueError, RecursionError) as error:
        raise WireError(f"not JSON: {error}") from error


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is not JSON")


# ---------------------------------------------------------------- checks


def _number(value: Any, field: str, low: float, high: float) -> float:
    if type(value) not in (int, float) or not low <= value <= high or math.isnan(value):
        raise WireError(f"must be a number from {low} to {high}", field)
    return float(value)


def _integer(low: int, high: int) -> Check:
    def check(value: Any, field: str) -> int:
        if type(value) is not int or not low <= value <= high:
            raise WireError(f"must be an integer from {low} to {high}", field)
        return value

    return check


def _text(length: int, cut: bool = False) -> Check:
    def check(value: Any, field: str) -> str:
        if not isinstance(value, str):
            raise WireError("must be text", field)
        if len(value) > length and not cut:
            raise WireError(f"{len(value)} characters, the limit is {length}", field)
        if _LONE_SURROGATE.search(value):
            raise WireError("must be Unicode text", field)
        return value[:length]

    return check


def _choice(*known: str) -> Check:
    def check(value: Any, field: str) -> str:
        if not isinstance(value, str) or value not in known:
            raise WireError(f"must be one of {', '.join(known)}", field)
        return value

    return check


def _sequence(check_one: Check, length: int) -> Check:
    def check(value: Any, field: str) -> tuple[Any, ...]:
        if not isinstance(value, (list, tuple)):
            raise WireError("must be an array", field)
        if len(value) > length:
            raise WireError(f"{len(value)} entries, the limit is {length}", field)
        return tuple(check_one(each, f"{field}[{index}]") for index, each in enumerate(value))

    return check


def _boolean(value: Any, field: str) -> bool:
    if not isinstance(value, bool):
        raise WireError("must be true or false", field)
    return value


def _record(kind: type) -> Check:
    def check(value: Any, field: str) -> Any:
        if not isinstance(value, dict):
            raise WireError("must be a map", field)
        return _build(kind, value, f"{field}.")

    return check


def _fraction(value: Any, field: str) -> float:
    return _number(value, field, 0.0, 1.0)


def _float_duration(value: Any, field: str) -> float:
    return _number(value, field, 0.0, limits.DURATION)


_duration = _integer(0, limits.DURATION)
_count = _integer(0, 2**53)
_short = _text(limits.NAME_LENGTH)
_prose = _text(limits.TEXT_LENGTH, cut=True)
_ids = _sequence(check_id, limits.HOPS)
_weight = _choice("light", "middle", "heavy", "auto")


def _name(value: Any, field: str) -> str:
    if not _short(value, field):
        raise WireError("must not be empty", field)
    return str(value)


def _key(value: Any, field: str) -> str:
    if not _text(limits.KEY_LENGTH)(value, field):
        raise WireError("must not be empty", field)
    return str(value)


def _id_or_empty(value: Any, field: str) -> str:
    return "" if value == "" else check_id(value, field)


def _body(value: Any, field: str) -> bytes:
    if not isinstance(value, bytes):
        raise WireError("must be a byte string", field)
    if len(value) > limits.BODY_SIZE:
        raise TooLarge(f"{len(value)} bytes, the limit is {limits.BODY_SIZE}", field)
    return value


_HOP: dict[str, Check] = {
    "node": check_id, "action": _choice("ran", "sent", "split", "merged", "lost", "hedged"), "why": _prose,
    "part": _count, "queued": _float_duration, "ran": _float_duration, "took": _float_duration,
}  # fmt: skip
_INFO: dict[str, Check] = {
    "name": _name, "version": _short, "weight": _weight, "timeout": _duration, "memory": _count,
    "split": _boolean, "fallback": _choice("fog"), "signature": _prose, "summary": _prose,
}  # fmt: skip
_hops = _sequence(_record(messages.Hop), limits.HOPS)

_FIELDS: dict[type, dict[str, Check]] = {
    messages.Hop: _HOP,
    messages.TaskInfo: _INFO,
    messages.Task: {
        "id": check_id, "name": _name, "body": _body, "deadline": _duration, "priority": _integer(-100, 100),
        "weight": _weight, "part": _count, "via": _ids, "keep": _duration, "copies": _integer(1, 2),
        "session": _name, "step": _integer(1, 2**53), "after": _text(limits.ID_LENGTH), "state": _body,
    },
    messages.Cancel: {"id": check_id},
    messages.Ask: {"id": check_id},
    messages.Accepted: {"id": check_id, "node": check_id, "wait": _duration},
    messages.Progress: {"id": check_id, "fraction": _fraction},
    messages.Result: {"id": check_id, "body": _body, "hops": _hops, "wait": _duration, "tag": _text(limits.ID_LENGTH)},
    messages.Failed: {
        "id": check_id, "error": _short, "message": _prose,
        "traceback": _text(limits.TRACEBACK_LENGTH, cut=True), "hops": _hops,
    },
    messages.Refused: {
        "id": _id_or_empty, "node": check_id, "reason": check_id, "message": _prose, "retry_after": _duration,
        "instead": _id_or_empty,
    },
    messages.Expired: {"id": check_id, "message": _prose, "hops": _hops},
    messages.Cancelled: {"id": check_id},
    messages.Birth: {
        "incarnation": _count, "role": check_id, "capacity": _count,
        "tasks": _sequence(_record(messages.TaskInfo), limits.TASKS),
        "addresses": _sequence(_text(256), limits.ADDRESSES), "keeps": _boolean,
    },
    messages.Gone: {"incarnation": _count},
    messages.Beat: {
        "incarnation": _count, "seq": _count, "ttl": _duration, "running": _count, "queued": _count,
        "wait": _duration, "cpu": _fraction, "memory": _fraction, "uplink": _boolean, "draining": _boolean,
        "quarantined": _sequence(_short, limits.HOPS),
    },
    messages.Replica: {
        "key": _key, "progress": _count, "epoch": _count, "home": check_id, "guardian": _id_or_empty, "data": _body,
        "left": _duration, "safe": _boolean,
    },
    messages.Seek: {"key": _key, "progress": _count, "epoch": _count},
    messages.Kept: {
        "key": _key, "node": check_id, "home": _id_or_empty, "guardian": _id_or_empty, "progress": _count,
        "epoch": _count, "safe": _boolean, "refuses": _boolean,
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
}
_NAMES = {kind: name for name, kind in TYPES.items()}
_DEFAULTS: dict[type, dict[str, Any]] = {
    kind: {f.name: f.default for f in kind.__dataclass_fields__.values()}  # type: ignore[attr-defined]
    for kind in _FIELDS
}


# ---------------------------------------------------------------- reading


def _message(item: Any) -> Message | Malformed:
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
    checked = {}
    for field, check in _FIELDS[kind].items():
        value = item.get(field)
        if value is not None:
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


def _fields(message: Any, as_json: bool) -> dict[str, Any]:
    kind = type(message)
    item: dict[str, Any] = {"type": _NAMES[kind]} if kind in _NAMES else {}
    for field, default in _DEFAULTS[kind].items():
        value = getattr(message, field)
        if value == default and type(value) is type(default):
            continue
        if isinstance(value, tuple):
            value = [each if isinstance(each, str) else _fields(each, as_json) for each in value]
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
