"""Reading CBOR (RFC 8949) that others wrote: in time and memory that its length bounds, or not at all."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

import cbor2

from fogsdk.errors import TooLarge, WireError
from fogsdk.wire import large, limits
from fogsdk.wire.messages import Body

MANY = (
    f"more than {limits.VALUES} values, which is the limit; send them as a typed array or a byte string, or as `body`, "
    "which is not looked into"
)
FEW = 2048
"""Data items among which keys of any kind take milliseconds."""
MANY_IN_JSON = f"more than {limits.JSON_VALUES} values, which is the limit in JSON; ask for it in CBOR"


def _refuse(_value: Any, _immutable: bool) -> Any:
    raise WireError("refers to a part of itself (CBOR tags 25, 28, 29, 256): send it out in full")


def _keep(number: int) -> Callable[[Any, bool], Any]:
    return lambda value, _immutable: cbor2.CBORTag(number, value)


# A few bytes that refer to themselves are without end once they are written out again.
_NO_REFERENCES = dict.fromkeys((25, 28, 29, 256), _refuse)
# Tags that cbor2 acts upon: it compiles regular expressions, parses mail, and computes powers of ten.
_TAGS_KEPT = {
    number: _keep(number) for number in (0, 1, 4, 5, 30, 35, 36, 37, 52, 54, 100, 258, 260, 261, 1004, 43000, 55799)
}
# cbor2 5 knows none of these options. It is for devices that have no cbor2 6, and they hear from nodes alone.
_GUARDED = hasattr(cbor2, "shareable_decoder")
_ONE_MORE = 0 if _GUARDED else 1  # cbor2 5 counts what the innermost array holds as well
_DATA: dict[str, Any] = {"semantic_decoders": _NO_REFERENCES} if _GUARDED else {}
_ARRAYS, _SIMPLE = 0x80, 0xE0  # the first of the first bytes of arrays, maps and tags, and of what comes after them
# Keys that are numbers can be chosen so that a map of them takes hours to build.
_STRICT: dict[str, Any] = {"strict_hashable_types": True} if _GUARDED else {}
_MESSAGE: dict[str, Any] = {"semantic_decoders": _NO_REFERENCES | _TAGS_KEPT, **_STRICT} if _GUARDED else {}


def read_message(payload: bytes, depth: int) -> Any:
    """Decode a message, of which nobody knows who wrote it. Tags stay what they are, but for large integers. A large
    byte string that is a ``body``, or the ``data`` of a chunk, is a view of the payload.

    Raises TooLarge for more than ``limits.VALUES`` data items, and WireError for bytes that are not CBOR, are nested
    deeper than ``depth``, refer to a part of themselves, or have map keys other than strings.
    """
    if len(payload) > limits.VALUES:
        _check_count(payload)
    found = large.cut(payload) if len(payload) >= large.LARGE else None
    if found is None:
        return _read(payload, depth)
    compact, shelf = found
    item = _read(compact, depth)
    messages = item if isinstance(item, list) else [item]
    placed = sum(_place(each, shelf) for each in messages if isinstance(each, dict))
    return item if placed == len(shelf) else _read(payload, depth)  # there are some further in


def read_foreign(data: Body, depth: int) -> Any:
    """Decode what is within a message, and neither arguments nor a result, as :func:`read_message` decodes the message.
    Raises as that does."""
    if len(data) > limits.VALUES:
        _check_count(data)
    return _read(data, depth)


def _check_count(payload: Body) -> None:
    if _has_more(payload, limits.VALUES):
        raise TooLarge(MANY)


def _has_more(payload: Body, most: int) -> bool:
    """Go from head to head, over strings and into all else, until there are too many (RFC 8949, section 3)."""
    at, end = 0, len(payload)
    for _ in range(most):
        if at >= end:
            return False
        major, info = payload[at] >> 5, payload[at] & 31
        at += 1
        if 24 <= info < 28:
            size = 1 << (info - 24)
            info = int.from_bytes(payload[at : at + size], "big")
            at += size
        elif info >= 28:  # of indefinite length: its pieces have heads too; what is reserved the library refuses
            info = 0
        if major in (2, 3):
            at += info
    return True


def _place(message: dict[Any, Any], shelf: list[tuple[memoryview, bool]]) -> int:
    """Put views in where they belong; returns how many."""
    placed = 0
    for field in ("body", "data"):
        value = message.get(field)
        if isinstance(value, cbor2.CBORTag) and value.tag == large.PLACEHOLDER:
            message[field] = shelf[value.value][0]
            placed += 1
    return placed


def read_shown(data: Body, depth: int) -> Any:
    """Decode a result as :func:`read_data` does, for a node that tells it in JSON: others wait meanwhile.

    Raises TooLarge for more than ``limits.JSON_VALUES`` data items, and WireError as :func:`read_data` does, and for
    keys of maps that are neither text nor bytes, where there may be many.
    """
    if not _has_more(data, FEW):
        return read_data(data, depth)
    if _has_more(data, limits.JSON_VALUES):
        raise TooLarge(MANY_IN_JSON)
    try:
        return read_data(data, depth, None, _STRICT)
    except WireError as error:
        raise WireError(f"{error}; ask for it in CBOR") from error


def read_data(data: Body, depth: int, tag_hook: Any = None, options: Mapping[str, Any] = MappingProxyType({})) -> Any:
    """Decode arguments or a result, as objects of Python; ``tag_hook`` and ``options`` as in :func:`cbor2.loads`.

    Raises WireError for bytes that are not CBOR, are nested deeper than ``depth``, or refer to a part of
    themselves.
    """
    try:
        if data and not _ARRAYS <= data[0] < _SIMPLE:  # nothing can be within it
            return cbor2.loads(data)
        return cbor2.loads(data, max_depth=depth + _ONE_MORE, tag_hook=tag_hook, **_DATA, **options)
    except Exception as error:
        raise _explained(error) from error


def _read(data: bytes | memoryview, depth: int) -> Any:
    try:
        return cbor2.loads(data, max_depth=depth + _ONE_MORE, **_MESSAGE)
    except Exception as error:  # cbor2 lets OverflowError, TypeError and others of its helpers through
        raise _explained(error) from error


def _explained(error: BaseException) -> WireError:
    cause: BaseException | None = error
    while cause is not None:  # cbor2 6 wraps what a hook raised
        if isinstance(cause, WireError):
            return cause
        cause = cause.__cause__
    return WireError(f"not CBOR: {error}")
