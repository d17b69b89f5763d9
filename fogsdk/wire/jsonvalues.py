"""CBOR values as JSON, for those who speak JSON, after the advice of RFC 8949 section 6.1.

Byte strings become base64url text without padding, and so do integers of more than 64 bits, a negative
n as "~" and the bytes of -1 - n. Typed arrays (RFC 8746) become nested arrays, numbers that are not finite
become null, other tags lose their number, and map keys become text. No numpy is needed.
"""

from __future__ import annotations

import base64
import datetime
import decimal
import math
import struct
from collections.abc import Sequence
from typing import Any

import cbor2

from fogsdk.errors import TooLarge, WireError
from fogsdk.wire.cbor import read_data, read_shown
from fogsdk.wire.limits import DEPTH, JSON_VALUES, MESSAGE_SIZE
from fogsdk.wire.messages import Body

# RFC 8746 section 2.1: struct's letter for (float, signed, exponent of the length).
_LETTERS = {
    (0, 0, 0): "B", (0, 0, 1): "H", (0, 0, 2): "I", (0, 0, 3): "Q",
    (0, 1, 0): "b", (0, 1, 1): "h", (0, 1, 2): "i", (0, 1, 3): "q",
    (1, 0, 0): "e", (1, 0, 1): "f", (1, 0, 2): "d",
}  # fmt: skip


def to_json(body: Body) -> Any:
    """Decode CBOR into what ``json.dumps`` takes. Raises WireError for what cannot be decoded, and TooLarge for typed
    arrays that are too large to be sent."""
    return _told(read_data(body, DEPTH), MESSAGE_SIZE // 2)  # a number and its comma


def to_json_shown(body: Body) -> Any:
    """Decode CBOR that others chose, for a node that has other things to do. Raises as :func:`to_json` does, and
    TooLarge for more than ``JSON_VALUES`` values."""
    return _told(read_shown(body, DEPTH), JSON_VALUES)


def _told(value: Any, room: int) -> Any:
    try:
        return _Teller(room).plain(value, 0)
    except (ValueError, ArithmeticError) as error:  # a number too long to be written
        raise WireError(f"not for JSON: {error}") from error


class _Teller:
    """Puts one value into JSON, with room for so many numbers of typed arrays."""

    def __init__(self, room: int) -> None:
        self._room = room

    def plain(self, value: Any, depth: int) -> Any:
        if depth > DEPTH:  # with cbor2 5 a value may contain itself
            raise WireError(f"nested deeper than {DEPTH}")
        if value is None or isinstance(value, (bool, str)):
            return value
        if isinstance(value, int):
            return value if -(2**64) <= value < 2**64 else _large(value)
        if isinstance(value, (float, decimal.Decimal)):
            return float(value) if math.isfinite(float(value)) else None
        if isinstance(value, bytes):
            return _base64url(value)
        if isinstance(value, cbor2.CBORTag):
            return self._tagged(value, depth)
        if hasattr(value, "items"):
            return {_key(key): self.plain(each, depth + 1) for key, each in value.items()}
        if isinstance(value, (list, tuple, set, frozenset)):
            return [self.plain(each, depth + 1) for each in value]
        if isinstance(value, (datetime.date, datetime.datetime)):
            return value.isoformat()
        return None if value is cbor2.undefined else str(value)

    def _tagged(self, tag: cbor2.CBORTag, depth: int) -> Any:
        if 64 <= tag.tag <= 87 and isinstance(tag.value, bytes):
            return [self.plain(number, depth) for number in self._numbers(tag.tag, tag.value)]
        if tag.tag == 40 and isinstance(tag.value, (list, tuple)) and len(tag.value) == 2:
            shape, flat = tag.value[0], self.plain(tag.value[1], depth + 1)
            if not _fits(flat, shape):
                return flat
            self._take(sum(math.prod(shape[:level]) for level in range(len(shape))))
            return _nested(flat, shape)
        return self.plain(tag.value, depth + 1)

    def _numbers(self, tag: int, data: bytes) -> tuple[Any, ...]:
        is_float, signed, little, length = tag >> 4 & 1, tag >> 3 & 1, tag >> 2 & 1, tag & 3
        letter = _LETTERS.get((is_float, 0 if is_float else signed, length))
        size = struct.calcsize(letter) if letter else 1
        if letter is None or len(data) % size:
            raise WireError(f"a typed array (RFC 8746, tag {tag}) of {len(data)} bytes cannot be read")
        self._take(len(data) // size)
        return struct.unpack(f"{'<' if little else '>'}{len(data) // size}{letter}", data)

    def _take(self, count: int) -> None:
        """What there is no room for is not written out."""
        self._room -= count
        if self._room < 0:
            raise TooLarge("these are too many numbers or arrays for one message in JSON; ask for it in CBOR")


def _large(value: int) -> str:
    bits = value if value >= 0 else -1 - value
    text = _base64url(bits.to_bytes((bits.bit_length() + 7) // 8, "big"))
    return text if value >= 0 else f"~{text}"


def _base64url(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _key(key: Any) -> str:
    return key if isinstance(key, str) else str(key)


def _fits(flat: Any, shape: Any) -> bool:
    if not isinstance(flat, list) or not isinstance(shape, (list, tuple)) or not 1 <= len(shape) <= DEPTH:
        return False
    return all(type(n) is int and n > 0 for n in shape) and math.prod(shape) == len(flat)


def _nested(flat: list[Any], shape: Sequence[int]) -> list[Any]:
    if len(shape) == 1:
        return flat
    step = len(flat) // shape[0]
    return [_nested(flat[at : at + step], shape[1:]) for at in range(0, len(flat), step)]
