"""Writing CBOR (RFC 8949) by hand where that is quicker: the library takes longer to begin than to write a number.

Everything here is, byte for byte, what ``cbor2.dumps`` makes of it.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Callable
from typing import Any

import cbor2

BYTES, TEXT, ARRAY, MAP, TAG = 2, 3, 4, 5, 6
"""Major types of data items (section 3.1)."""

OCTETS = tuple(bytes((value,)) for value in range(256))
TEXT_HEADS = (*OCTETS[TEXT << 5 : (TEXT << 5) + 24], *[OCTETS[TEXT << 5 | 24] + size for size in OCTETS[24:]])
"""The heads of text of 0 to 255 bytes."""
DOUBLE = struct.Struct(">Bd").pack
_LONG_HEADS = (
    (24, 2**8 - 1, struct.Struct(">BB").pack),
    (25, 2**16 - 1, struct.Struct(">BH").pack),
    (26, 2**32 - 1, struct.Struct(">BI").pack),
    (27, 2**64 - 1, struct.Struct(">BQ").pack),
)


def head(major: int, argument: int) -> bytes:
    """The first bytes of a data item (section 3)."""
    if argument < 24:
        return OCTETS[major << 5 | argument]
    for info, most, pack in _LONG_HEADS:
        if argument <= most:
            return pack(major << 5 | info, argument)
    raise OverflowError(argument)


def _text(value: str) -> bytes:
    data = value.encode()
    return head(TEXT, len(data)) + data


def _bytes(value: bytes) -> bytes:
    return head(BYTES, len(value)) + value


def _integer(value: int) -> bytes:
    return head(0, value) if 0 <= value < 2**64 else cbor2.dumps(value)


def _float(value: float) -> bytes:
    return DOUBLE(0xFB, value) if math.isfinite(value) else cbor2.dumps(value)


SMALL: dict[type, Callable[[Any], bytes]] = {
    str: _text,
    int: _integer,
    float: _float,
    bool: lambda value: b"\xf5" if value else b"\xf4",
    type(None): lambda _none: b"\xf6",
}
"""What writes values that can be nothing large, and have nothing in them."""
_WRITERS = SMALL | {bytes: _bytes}


def item(value: Any, others: Callable[[Any], bytes] = cbor2.dumps) -> bytes:
    """Encode a value; ``others`` encodes what is more than text, bytes, a number, a boolean or None."""
    write = _WRITERS.get(type(value))
    return others(value) if write is None else write(value)
