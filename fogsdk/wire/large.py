"""Large byte strings and arrays go around the CBOR library, which copies them several times.

Writing: what is large becomes a piece of its own, and only what is around it is encoded. Reading: what is large is cut
out, a placeholder is decoded in its place, and the library calls back for the real thing. Both look only where large
values usually are, near the top; everywhere else they are left to the library.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Collection
from typing import Any

from fogsdk.wire.messages import Body
from fogsdk.wire.scalars import ARRAY, BYTES, MAP, SMALL, TAG, TEXT, head

LARGE = 128 * 1024
"""Bytes from which on a value is handled here."""
MOST_ITEMS = 64
"""Entries of an array or map that are looked at."""
MOST_DEPTH = 4
"""Arrays and maps within each other that are looked into."""
MOST_HEADS = 2048
"""Data items of an encoding that are looked at."""
PLACEHOLDER = 1_870_144_871
"""The tag of a placeholder, from those that nobody has registered. An encoding that holds it is left to the library."""


def has_large(value: Any, depth: int = MOST_DEPTH) -> bool:
    """Whether there is something large in a value, where one looks for it."""
    kind = type(value)
    if kind in SMALL:
        return False
    if kind is list or kind is tuple or kind is dict:
        if not depth or len(value) > MOST_ITEMS:
            return False
        for each in value.values() if kind is dict else value:
            if type(each) not in SMALL and has_large(each, depth - 1):
                return True
        return False
    if kind is bytes or kind is bytearray:
        return len(value) >= LARGE
    return is_array(value) and int(value.nbytes) >= LARGE


def is_array(value: Any) -> bool:
    """Whether a value is an array of numpy's."""
    numpy = sys.modules.get("numpy")
    return numpy is not None and isinstance(value, numpy.ndarray)


def write(value: Any, dumps: Callable[[Any], bytes], typed: Callable[[Any], tuple[int, Any]], out: list[Body]) -> None:
    """Append the encoding of a value in pieces; ``dumps`` encodes what is not large, and ``typed`` tells the tag of an
    array and the array in that form."""
    kind = type(value)
    if not has_large(value):
        out.append(dumps(value))
    elif kind is bytes or kind is bytearray:
        out += (head(BYTES, len(value)), memoryview(value))
    elif kind is dict:
        out.append(head(MAP, len(value)))
        for key, each in value.items():
            out.append(dumps(key))
            write(each, dumps, typed, out)
    elif kind is list or kind is tuple:
        out.append(head(ARRAY, len(value)))
        for each in value:
            write(each, dumps, typed, out)
    else:
        _write_array(value, dumps, typed, out)


def _write_array(
    value: Any, dumps: Callable[[Any], bytes], typed: Callable[[Any], tuple[int, Any]], out: list[Body]
) -> None:
    numpy = sys.modules["numpy"]
    tag, array = typed(value)
    if array.ndim != 1:  # RFC 8746 section 3.1.1
        out += (head(TAG, 40), head(ARRAY, 2), dumps(list(array.shape)))
    flat = numpy.ascontiguousarray(array).reshape(-1).view(numpy.uint8)
    out += (head(TAG, tag), head(BYTES, flat.nbytes), flat.data)


def cut(data: Body, tags: Collection[int] = ()) -> tuple[bytes, list[tuple[memoryview, bool]]] | None:
    """The encoding with placeholders for what is large, and views of that, in order, each with whether it is in an
    array of one of ``tags``. None where nothing large was found, or nothing that can be relied on."""
    view = memoryview(data)
    spans = _find(view, tags)
    if not spans:
        return None
    pieces: list[Body] = []
    found: list[tuple[memoryview, bool]] = []
    done = 0
    for begin, start, end, in_array in spans:
        pieces += (view[done:begin], head(TAG, PLACEHOLDER), head(0, len(found)))
        found.append((view[start:end], in_array))
        done = end
    pieces.append(view[done:])
    return b"".join(pieces), found


def _find(view: memoryview, tags: Collection[int]) -> list[tuple[int, int, int, bool]] | None:
    """Where large byte strings are: their head, their first byte, their end, and whether an array's tag is before."""
    spans: list[tuple[int, int, int, bool]] = []
    at, left, tag = 0, 1, -1
    for _ in range(MOST_HEADS):
        if not left:
            return spans if at == len(view) else None
        if at >= len(view):
            return None
        begin, major, info = at, view[at] >> 5, view[at] & 31
        at += 1
        argument = info
        if info >= 28:
            return None
        if info >= 24:
            size = 1 << (info - 24)
            argument = int.from_bytes(view[at : at + size], "big")
            at += size
        left -= 1
        if major == TAG:
            if argument == PLACEHOLDER:
                return None
            left, tag = left + 1, argument
            continue
        if major == BYTES and argument >= LARGE and (tag < 0 or tag in tags):
            spans.append((begin, at, at + argument, tag >= 0))
        tag = -1
        if major in (BYTES, TEXT):
            at += argument
        elif major in (ARRAY, MAP):
            left += argument * (major - 3)
            if left > MOST_HEADS:
                return None
    return None
