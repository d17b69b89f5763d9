"""Arguments and results: what CBOR and typed arrays carry comes back as it was, and the rest is refused."""

from __future__ import annotations

import contextlib
import datetime
import ipaddress
import math
import uuid
from decimal import Decimal
from fractions import Fraction
from typing import Any

import cbor2
import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from fogsdk.errors import WireError
from fogsdk.wire import cbor, large, limits, values
from tests.support.processes import Processes
from tests.wire import strategies

DTYPES = [
    "u1",
    "i1",
    *(order + kind for order in "<>" for kind in ("u2", "u4", "u8", "i2", "i4", "i8", "f2", "f4", "f8")),
]

arrays = npst.arrays(
    st.sampled_from(DTYPES).map(np.dtype), npst.array_shapes(min_dims=0, max_dims=5, min_side=0, max_side=4)
)


def again(value: Any) -> Any:
    return values.decode(values.encode(value))


def same(one: Any, other: Any) -> bool:
    """Equality that tells 1 from 1.0 and from True."""
    return bool(one == other) and type(one) is type(other)


# ---------------------------------------------------------------- plain values


@given(strategies.cbor_values)
def test_plain_values_come_back_as_they_were(value: Any) -> None:
    assert same(again(value), value)


@pytest.mark.parametrize(
    ("value", "comes_back_as"),
    [
        ((1, (2, 3)), [1, [2, 3]]),
        (bytearray(b"ab"), b"ab"),
        (frozenset({1}), {1}),
        (float("inf"), float("inf")),
        (-0.0, -0.0),
        (datetime.date(2020, 2, 29), datetime.date(2020, 2, 29)),
        (Decimal("1.10"), Decimal("1.10")),
        (Fraction(1, 3), Fraction(1, 3)),
        (uuid.UUID(int=7), uuid.UUID(int=7)),
        (ipaddress.ip_address("::1"), ipaddress.ip_address("::1")),
        (2j, 2j),
        ({1: "a", "b": {2: [3]}}, {1: "a", "b": {2: [3]}}),
    ],
)
def test_values_of_the_standard_library(value: Any, comes_back_as: Any) -> None:
    assert same(again(value), comes_back_as)


def test_what_is_not_a_number_stays_so() -> None:
    assert math.isnan(again(float("nan")))


class Custom:
    """Something of the user's own."""


@pytest.mark.parametrize(
    ("value", "kind"),
    [
        (Custom(), r"tests\.wire\.test_values\.Custom"),
        ([{"a": Custom()}], r"tests\.wire\.test_values\.Custom"),
        (object(), r"builtins\.object"),
        (datetime.timedelta(1), r"datetime\.timedelta"),
        (test_what_is_not_a_number_stays_so, r"builtins\.function"),
    ],
)
def test_what_cannot_be_sent_is_refused_by_its_name(value: Any, kind: str) -> None:
    with pytest.raises(WireError, match=rf"cannot send a {kind}: send numbers, text, bytes, lists, dicts or numpy"):
        values.encode(value)


def test_a_time_without_a_zone_is_refused() -> None:
    with pytest.raises(WireError, match="naive datetime"):
        values.encode(datetime.datetime(2020, 1, 1))  # noqa: DTZ001 - that is the point


def test_a_value_that_contains_itself_is_refused() -> None:
    value: list[Any] = []
    value.append(value)
    with pytest.raises(WireError, match="cyclic"):
        values.encode(value)


def test_half_of_a_surrogate_pair_is_refused() -> None:
    with pytest.raises(WireError, match="cannot be sent"):
        values.encode(["caf\udce9"])


# ---------------------------------------------------------------- arrays


@given(arrays)
@example(np.array(5, ">i4"))
@example(np.zeros((0,), "u1"))
@example(np.zeros((2, 0, 3), "<f8"))
@example(np.array([np.nan, np.inf, -np.inf, -0.0], ">f2"))
def test_arrays_come_back_with_shape_type_and_byte_order(array: np.ndarray[Any, Any]) -> None:
    back = again(array)
    assert back.dtype == array.dtype
    assert back.dtype.str == array.dtype.str
    assert back.shape == array.shape
    assert back.tobytes() == array.tobytes(), "bit for bit, so NaN too"
    assert back.flags.writeable


@given(arrays)
def test_the_order_in_memory_does_not_matter(array: np.ndarray[Any, Any]) -> None:
    np.testing.assert_array_equal(again(np.asfortranarray(array)), array)
    np.testing.assert_array_equal(again(array.T), array.T)
    if array.ndim:
        np.testing.assert_array_equal(again(array[::-1]), array[::-1])
        np.testing.assert_array_equal(again(array[::2]), array[::2])


@given(npst.arrays(np.bool_, npst.array_shapes(min_dims=0, max_dims=3, min_side=0)))
def test_arrays_of_booleans_become_bytes_for_the_standard_has_none(array: np.ndarray[Any, Any]) -> None:
    back = again(array)
    assert back.dtype == np.uint8
    np.testing.assert_array_equal(back, array)


def test_arrays_within_values() -> None:
    back = again({"frames": [np.arange(3), {"mask": np.eye(2, dtype="i1")}]})
    np.testing.assert_array_equal(back["frames"][0], [0, 1, 2])
    np.testing.assert_array_equal(back["frames"][1]["mask"], [[1, 0], [0, 1]])


@pytest.mark.parametrize(("dtype", "tag"), sorted((dtype, tag) for tag, dtype in values._TYPED.items()))
def test_each_type_has_the_tag_that_the_standard_gives_it(dtype: str, tag: int) -> None:
    """RFC 8746 section 2.1: 0b010 f s e ll, for float, signed, little-endian and the length."""
    kind = np.dtype(dtype)
    length = kind.itemsize.bit_length() - 1 - (kind.kind == "f")
    little = kind.byteorder == "<" or (kind.byteorder == "=" and np.little_endian)
    clamped = tag == 68
    assert tag == 0b010_00000 | (kind.kind == "f") << 4 | (kind.kind == "i") << 3 | (little or clamped) << 2 | length


@pytest.mark.parametrize(
    "number",
    [np.float64(1.5), np.float32(1.5), np.int8(-3), np.uint64(2**64 - 1), np.bool_(True), np.float16("inf")],
)
def test_scalars_become_plain_numbers(number: Any) -> None:
    assert again(number) == number.item()
    assert type(again([number])[0]) is type(number.item())


@pytest.mark.parametrize(
    "array",
    [
        np.array(["text"]),
        np.array([None]),
        np.array([1j]),
        np.zeros(2, [("a", "i4")]),
        np.zeros(2, "M8[s]"),
        np.zeros(2, np.longdouble),
    ],
)
def test_arrays_of_other_types_are_refused(array: np.ndarray[Any, Any]) -> None:
    with pytest.raises(WireError, match=r"cannot send a numpy array of .*: send integers of 8 to 64 or floats"):
        values.encode(array)


def test_a_scalar_of_another_type_is_refused() -> None:
    with pytest.raises(WireError, match=r"cannot send a numpy\.longdouble"):
        values.encode(np.longdouble(1.5))


@pytest.mark.parametrize(
    ("wrong", "why"),
    [
        (cbor2.CBORTag(64, 5), "must be a byte string"),
        (cbor2.CBORTag(65, b"odd"), "of the wrong length"),
        (cbor2.CBORTag(40, 5), r"must be \[shape, typed array\]"),
        (cbor2.CBORTag(40, [[1], [5]]), r"must be \[shape, typed array\]"),
        (cbor2.CBORTag(40, [[-1], cbor2.CBORTag(64, b"x")]), r"must be \[shape, typed array\]"),
        (cbor2.CBORTag(40, [[2, 2], cbor2.CBORTag(64, b"xyz")]), "of the wrong shape"),
        (cbor2.CBORTag(40, [[2**62, 2**62], cbor2.CBORTag(64, b"")]), "of the wrong shape"),
    ],
)
def test_a_wrong_array_is_refused_and_says_why(wrong: cbor2.CBORTag, why: str) -> None:
    with pytest.raises(WireError, match=why):
        values.decode(cbor2.dumps([wrong]))


WITHOUT_NUMPY = """
import sys
sys.modules["numpy"] = None
from fogsdk.errors import WireError
from fogsdk.wire import values
assert values.decode(values.encode([1, {"a": 2.5}])) == [1, {"a": 2.5}]
try:
    values.decode(bytes.fromhex("81d840420102"))
except WireError as error:
    print(error)
"""


def test_an_array_where_numpy_is_missing_says_what_to_do(processes: Processes) -> None:
    program = processes.start_python("-c", WITHOUT_NUMPY)
    assert program.wait() == 0, program.output
    assert program.output == "holds an array, and numpy is not installed here: install numpy, or send lists\n"


IMPORTS_NUMPY = """
import sys
from fogsdk.wire import values
values.decode(values.encode([1, "a"]))
print("numpy" in sys.modules)
"""


def test_who_sends_no_arrays_does_not_wait_for_numpy(processes: Processes) -> None:
    program = processes.start_python("-c", IMPORTS_NUMPY)
    assert program.wait() == 0, program.output
    assert program.output == "False\n"


# ---------------------------------------------------------------- garbage


def decode_or_refuse(data: bytes) -> None:
    with contextlib.suppress(WireError):
        values.decode(data)


@given(st.binary(max_size=200))
@example(b"\x9b\xff\xff\xff\xff\xff\xff\xff\xff")
@example(b"\x5b\x00\x00\x00\x7f\xff\xff\xff\xff")
@example(b"\x81" * 100_000)
@example(b"\xd8\x1c\x81\xd8\x1d\x00")  # an array that holds itself
@example(b"\xa1\xd8\x40\x41\x01\x02")  # an array as the key of a map
def test_any_bytes_are_a_value_or_a_wire_error(data: bytes) -> None:
    decode_or_refuse(data)


@given(strategies.odd_cbor)
def test_any_cbor_is_a_value_or_a_wire_error(value: Any) -> None:
    decode_or_refuse(cbor2.dumps(value))


@given(st.binary(max_size=40), st.sampled_from([40, *values._TYPED]), st.lists(st.integers(), max_size=4))
def test_any_array_is_a_value_or_a_wire_error(data: bytes, tag: int, shape: list[int]) -> None:
    array = cbor2.CBORTag(tag, data)
    decode_or_refuse(cbor2.dumps(array))
    decode_or_refuse(cbor2.dumps(cbor2.CBORTag(40, [shape, array])))
    decode_or_refuse(cbor2.dumps({"key": array}))


def test_nesting_has_a_limit() -> None:
    values.decode(b"\x81" * limits.DEPTH + b"\x01")
    with pytest.raises(WireError, match="nest"):
        values.decode(b"\x81" * (limits.DEPTH + 1) + b"\x01")


def nested(depth: int) -> list[Any]:
    value: Any = [1]
    for _ in range(depth - 1):
        value = [value]
    return list(value)


def check(value: Any) -> None:
    values.check_readable(value, values.encode_in_pieces(value))


@pytest.mark.parametrize("beside", [0, b"large" * large.LARGE, np.zeros((500, 500))])
def test_what_is_nested_deeper_than_it_may_be_is_told_to_who_writes_it(beside: Any) -> None:
    check([beside, nested(limits.DEPTH - 1)])
    check({"key": {"key": beside}, "other": nested(limits.DEPTH - 1)})
    with pytest.raises(WireError, match=r"nobody would read it: .*nest"):
        check([beside, nested(limits.DEPTH)])


@given(strategies.odd_cbor)
def test_what_is_said_to_be_readable_is(value: Any) -> None:
    try:
        pieces = values.encode_in_pieces(value)
        values.check_readable(value, pieces)
    except WireError:
        return
    values.decode(b"".join(pieces))


@pytest.mark.skipif(not cbor._GUARDED, reason="cbor2 5 has no guard")
@pytest.mark.parametrize("data", ["d81c81d81d00", "82d81c8101d81d00", "d90100826461626364d81900"])
def test_references_are_refused(data: str) -> None:
    with pytest.raises(WireError, match="refers to a part of itself"):
        values.decode(bytes.fromhex(data))
