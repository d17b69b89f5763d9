"""Arguments and results as bytes: CBOR (RFC 8949), with numpy arrays as typed arrays (RFC 8746).

The nodes on the way never look inside these bytes; only the two ends do.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from typing import Any

import cbor2

from fogsdk.errors import WireError
from fogsdk.wire import large, scalars
from fogsdk.wire.cbor import read_data
from fogsdk.wire.limits import DEPTH
from fogsdk.wire.messages import Body

SCALARS = frozenset({*scalars.SMALL, bytes})
"""Types of what has nothing within it."""

_PAIR, _NO_ENTRIES = scalars.head(scalars.ARRAY, 2), scalars.head(scalars.MAP, 0)
_NO_BYTES = scalars.head(scalars.BYTES, 0)
_COPIED = 4096  # bytes that are put beside their head at once; of more there is one copy less
_MULTIDIMENSIONAL = 40  # RFC 8746 section 3.1.1, row-major

# RFC 8746 section 2.1: the tag is 0b010_f_s_e_ll: float, signed, little-endian, length.
_TYPED: dict[int, str] = {
    64: "u1", 65: ">u2", 66: ">u4", 67: ">u8", 68: "u1", 69: "<u2", 70: "<u4", 71: "<u8",
    72: "i1", 73: ">i2", 74: ">i4", 75: ">i8", 77: "<i2", 78: "<i4", 79: "<i8",
    80: ">f2", 81: ">f4", 82: ">f8", 84: "<f2", 85: "<f4", 86: "<f8",
}  # fmt: skip
_TAGS = {dtype: tag for tag, dtype in _TYPED.items() if tag != 68}


def encode(value: Any) -> bytes:
    """Encode an argument or a result.

    Takes what CBOR carries (None, bool, int, float, str, bytes, list, tuple, dict, datetime, Decimal, UUID,
    set ...) and numpy arrays and scalars of bool, integer and float types. Raises WireError for all else.
    """
    pieces = encode_in_pieces(value)
    return bytes(pieces[0]) if len(pieces) == 1 else b"".join(pieces)


def encode_call(args: Sequence[Any], kwargs: Mapping[str, Any]) -> bytes:
    """Encode the arguments of a call: ``[args, kwargs]``. Raises as :func:`encode` does."""
    pieces: list[Body] = [_PAIR, scalars.head(scalars.ARRAY, len(args))]
    for each in args:  # what is nested takes the library longer
        pieces += encode_in_pieces(each)
    pieces += encode_in_pieces(dict(kwargs)) if kwargs else (_NO_ENTRIES,)
    return b"".join(pieces)


def encode_in_pieces(value: Any) -> list[Body]:
    """Encode as :func:`encode` does, without copying what is large: the pieces, in order. They are views of the value,
    and change with it."""
    try:
        write = scalars.SMALL.get(type(value))
        if write is not None:
            return [write(value)]
        if type(value) is bytes and len(value) > _COPIED:
            return [scalars.head(scalars.BYTES, len(value)), value]
        if not large.has_large(value):
            return [scalars.item(value, _dumps)]
        pieces: list[Body] = []
        large.write(value, _dumps, _typed, pieces)
        return pieces
    except WireError:
        raise
    except (cbor2.CBOREncodeError, ValueError, TypeError, RecursionError, OverflowError) as error:
        raise WireError(f"cannot be sent: {error}") from error


def check_readable(value: Any, pieces: Sequence[Body]) -> None:
    """Raise WireError where :func:`decode` would not read these pieces of a value: it may be nested too deep. It looks
    into no large bytes or arrays, which are pieces of their own."""
    if _is_flat(value):
        return
    small: list[Body] = []
    for piece in pieces:
        if type(piece) is memoryview:
            small[-1] = _NO_BYTES
        else:
            small.append(piece)
    data = b"".join(small)
    try:
        if len(small) == len(pieces):
            decode(data)
        else:
            read_data(data, DEPTH)
    except WireError as error:
        raise WireError(f"cannot be sent, since nobody would read it: {error}") from error


def _is_flat(value: Any) -> bool:
    kind = type(value)
    if kind is dict:
        return SCALARS.issuperset(map(type, value)) and SCALARS.issuperset(map(type, value.values()))
    if kind is list or kind is tuple:
        return SCALARS.issuperset(map(type, value))
    return kind in SCALARS or large.is_array(value)


def decode(data: bytes | memoryview) -> Any:
    """Decode what :func:`encode` made. Raises WireError for bytes that are not that, or nested too deep.

    Large arrays are views of ``data`` where that can be written to and they are aligned in it, and copies else.
    """
    found = large.cut(data, _TYPED) if len(data) >= large.LARGE else None
    if found is None:
        return read_data(data, DEPTH, _decode_tag)
    compact, shelf = found
    return read_data(compact, DEPTH, lambda first, second: _decode_tag(first, second, shelf))


def _dumps(value: Any) -> bytes:
    return cbor2.dumps(value, default=_encode_foreign)


def _encode_foreign(encoder: Any, value: Any) -> None:
    numpy = sys.modules.get("numpy")
    if numpy is not None and isinstance(value, numpy.generic) and not isinstance(value.item(), numpy.generic):
        encoder.encode(value.item())
    elif numpy is not None and isinstance(value, numpy.ndarray):
        encoder.encode(_typed_array(value))
    else:
        kind = f"{type(value).__module__}.{type(value).__qualname__}"
        raise WireError(f"cannot send a {kind}: send numbers, text, bytes, lists, dicts or numpy arrays")


def _typed_array(array: Any) -> cbor2.CBORTag:
    tag, array = _typed(array)
    typed = cbor2.CBORTag(tag, array.tobytes())
    return typed if array.ndim == 1 else cbor2.CBORTag(_MULTIDIMENSIONAL, [list(array.shape), typed])


def _typed(array: Any) -> tuple[int, Any]:
    """The tag of an array, and the array in that form."""
    numpy = sys.modules["numpy"]
    if array.dtype == numpy.bool_:
        array = array.astype(numpy.uint8)  # RFC 8746 has no array of booleans
    dtype = array.dtype.str.lstrip("|")
    tag = _TAGS.get(dtype)
    if tag is None:
        raise WireError(
            f"cannot send a numpy array of {array.dtype}: send integers of 8 to 64 or floats of 16 to 64 bits"
        )
    return tag, array


def _decode_tag(first: Any, second: Any, shelf: list[tuple[memoryview, bool]] | None = None) -> Any:
    # cbor2 6 calls with (tag, immutable), cbor2 5 with (decoder, tag).
    tag = first if isinstance(first, cbor2.CBORTag) else second
    if shelf and tag.tag == large.PLACEHOLDER:
        view, in_array = shelf[tag.value]
        return view if in_array else bytes(view)
    if tag.tag in _TYPED:
        return _array(tag.tag, tag.value)
    if tag.tag == _MULTIDIMENSIONAL:
        return _reshaped(tag.value)
    return tag


def _array(tag: int, data: Any) -> Any:
    try:
        import numpy
    except ImportError:
        raise WireError("holds an array, and numpy is not installed here: install numpy, or send lists") from None
    if not isinstance(data, (bytes, memoryview)):
        raise WireError("a typed array (RFC 8746) must be a byte string")
    try:
        array = numpy.frombuffer(data, dtype=_TYPED[tag])
        return array if array.flags.writeable and array.flags.aligned else array.copy()
    except ValueError as error:
        raise WireError(f"a typed array (RFC 8746) of the wrong length: {error}") from error


def _reshaped(value: Any) -> Any:
    match value:
        case [[*shape], array] if hasattr(array, "reshape") and all(type(n) is int and n >= 0 for n in shape):
            try:
                return array.reshape(shape)
            except ValueError as error:
                raise WireError(f"a multi-dimensional array (RFC 8746) of the wrong shape: {error}") from error
    raise WireError("a multi-dimensional array (RFC 8746) must be [shape, typed array]")
