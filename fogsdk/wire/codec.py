"""Bytes to messages and back: the one place where what comes from outside is checked.

A payload is one message, or an array of them (a batch), in CBOR, or in JSON where it begins with ``{`` or
``[``. Fields that are unknown are ignored, so that a later version may add some.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from operator import attrgetter
from typing import Any

from fogsdk.errors import TooLarge, WireError
from fogsdk.wire import large, limits, messages, scalars, values
from fogsdk.wire.cbor import MANY, read_message
from fogsdk.wire.compiled import READERS, WRITERS, Reader
from fogsdk.wire.jsonvalues import to_json_shown
from fogsdk.wire.messages import Body, Malformed, Message
from fogsdk.wire.schema import DEFAULTS, NAMES, TYPES, build
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
    try:
        if as_json:
            payload = _dump_json(batch)
        else:
            pieces: list[Body] = [] if len(batch) == 1 else [scalars.head(scalars.ARRAY, len(batch))]
            for message in batch:
                WRITERS[type(message)](message, pieces)
            payload = b"".join(pieces)
    except (UnicodeEncodeError, TypeError) as error:  # JSON has no byte strings: states and replicas are for CBOR alone
        raise WireError(f"cannot be sent: {error}") from error
    if len(payload) > most:
        raise TooLarge(f"{len(payload)} bytes, the limit is {most}")
    return payload


def _dump_json(batch: Sequence[Message]) -> bytes:
    items = [fields(message, True) for message in batch]
    item = items[0] if len(items) == 1 else items
    return json.dumps(item, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode()


def _separators(payload: bytes) -> int:
    """At least as many as there are values in JSON, and, of what has no strings, not many more."""
    return payload.count(b",") + payload.count(b"[") + payload.count(b"{")


def _has_many_values(payload: bytes) -> bool:
    """Whether there are more than ``limits.VALUES`` in JSON; in steps of the library that each go over it once, since
    others wait meanwhile."""
    if _separators(payload) <= limits.VALUES:
        return False
    quotes = payload.replace(b"\\\\", b"").replace(b'\\"', b"")  # only those where a string begins or ends
    if quotes.count(b'"') > 4 * limits.VALUES:  # a key and a value each have two
        return True
    return sum(map(_separators, quotes.split(b'"')[::2])) > limits.VALUES


def load_json(payload: bytes) -> Any:
    """Decode JSON as RFC 8259 has it: UTF-8, and only numbers that are finite. Raises WireError, and TooLarge for more
    than ``limits.VALUES`` values."""
    if _has_many_values(payload):
        raise TooLarge(MANY)
    try:
        return json.loads(payload.decode(), parse_constant=_no_constant)  # json itself would take UTF-16 too
    except (ValueError, RecursionError) as error:
        raise WireError(f"not JSON: {error}") from error


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is not JSON")


_values_of: dict[type, Callable[[Any], tuple[Any, ...]]] = {
    # With one name more it is a tuple for a message of one field, too.
    kind: attrgetter(*defaults, "__class__")
    for kind, defaults in DEFAULTS.items()
}
_OPENED = (messages.Task, messages.Result)
"""Messages whose body may come in a form that people can read."""


# ---------------------------------------------------------------- reading


class _Named(dict[str, Reader]):
    """Readers by the name of what they read."""

    def __missing__(self, name: str) -> Reader:
        reader = self[name] = READERS[TYPES[name]]
        return reader


_readers = _Named()


def read(item: Any) -> Message | Malformed:
    """Check one message that is decoded already, a map of its fields."""
    try:
        return _readers[item["type"]](item)  # type: ignore[no-any-return]
    except (WireError, LookupError, TypeError, RuntimeError):  # the last for a tag of what has no hash
        return _read_closely(item)


def _read_closely(item: Any) -> Message | Malformed:
    """Read what is not as it is as a rule, and find out what is wrong with it, if anything is."""
    try:
        if not isinstance(item, dict):
            raise WireError("must be a map")
        name = item.get("type")
        kind = TYPES.get(name) if isinstance(name, str) else None
        if kind is None:
            raise WireError(f"must be one of {', '.join(TYPES)}", "type")
        if "body" not in item and kind in _OPENED:
            item = _with_body(kind, item)
        return build(kind, item)  # type: ignore[no-any-return]
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


# ---------------------------------------------------------------- writing


def fields(message: Any, as_json: bool) -> dict[str, Any]:
    """The map that is written for a message. Raises WireError for a value that JSON cannot carry."""
    kind = type(message)
    item: dict[str, Any] = {"type": NAMES[kind]} if kind in NAMES else {}
    for (field, default), value in zip(DEFAULTS[kind].items(), _values_of[kind](message), strict=False):
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
    opened = to_json_shown(item.pop("body"))
    if kind is messages.Result:
        item["value"] = opened
        return
    match opened:
        case [list(args), dict(kwargs)]:
            item["args"], item["kwargs"] = args, kwargs
        case _:
            raise WireError("must be [args, kwargs]", "body")
