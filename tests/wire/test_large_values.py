"""Large byte strings and arrays, which go around the CBOR library, come back as they were."""

from __future__ import annotations

from typing import Any

import cbor2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fogsdk.errors import WireError
from fogsdk.wire import cbor, codec, large, values
from fogsdk.wire.limits import DEPTH
from fogsdk.wire.messages import Task
from tests.wire import strategies

BIG = bytes(range(256)) * (large.LARGE // 256)
large_bytes = st.integers(0, 3).map(lambda more: BIG + bytes(more))
nested = st.recursive(
    large_bytes | strategies.cbor_values,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=3), inner, max_size=4),
    max_leaves=8,
)


@given(nested)
def test_large_values_among_others_come_back_as_they_were(value: Any) -> None:
    assert values.decode(values.encode(value)) == value


@given(nested)
def test_they_are_written_as_the_library_writes_them(value: Any) -> None:
    assert values.encode(value) == cbor2.dumps(value)


@given(nested)
def test_a_view_is_read_as_bytes_are(value: Any) -> None:
    assert values.decode(memoryview(bytearray(values.encode(value)))) == value


@pytest.mark.parametrize("dtype", ["u1", "<f4", ">f8", "i2", "?"])
@pytest.mark.parametrize("shape", [(70_000,), (7, 10_000), (2, 5, 7000)])
def test_large_arrays_come_back_as_they_were(dtype: str, shape: tuple[int, ...]) -> None:
    array = (np.arange(70_000) % 2).astype(dtype).reshape(shape)
    for data in (values.encode([array]), memoryview(bytearray(values.encode([array])))):
        [again] = values.decode(data)
        assert again.shape == shape
        assert again.tolist() == array.tolist()
        again[:] = 0  # it can be written to


def test_an_array_that_is_not_contiguous_comes_back_as_it_was() -> None:
    array = np.arange(200_000, dtype="u2").reshape(400, 500)[::2, ::5]
    assert (values.decode(values.encode({"a": array.T}))["a"] == array.T).all()


def test_large_arrays_of_bytes_are_views_of_what_they_were_read_from() -> None:
    data = bytearray(values.encode([np.zeros(large.LARGE, "u1")]))
    [array] = values.decode(memoryview(data))
    data[-1] = 7
    assert array[-1] == 7


def test_what_is_large_is_not_copied_into_the_pieces() -> None:
    pieces = values.encode_in_pieces([[BIG], {}])
    assert any(isinstance(piece, memoryview) and piece.obj is BIG for piece in pieces)


@pytest.mark.parametrize("depth", [DEPTH - 2, DEPTH - 1, DEPTH, DEPTH + 3])
def test_the_depth_is_bounded_beside_large_values_too(depth: int) -> None:
    deep = b"\x81" * depth + b"\x01"
    data = b"\x82" + cbor2.dumps(BIG) + deep
    if depth < DEPTH:
        values.decode(data)
    else:
        with pytest.raises(WireError):
            values.decode(data)


@pytest.mark.parametrize("index", [0, 1, 2**40, -1, "x", [1]])
def test_a_placeholder_that_somebody_sends_stands_for_nothing(index: Any) -> None:
    """Else a few bytes could stand for much, many times over."""
    tag = cbor2.CBORTag(large.PLACEHOLDER, index)
    for value in ([tag, tag], [BIG, tag]):
        assert cbor2.dumps(values.decode(cbor2.dumps(value))) == cbor2.dumps(value)


@pytest.mark.parametrize("cut", [1, 2, 5, 100, large.LARGE])
def test_what_is_cut_short_is_refused(cut: int) -> None:
    with pytest.raises(WireError):
        values.decode(values.encode([BIG, BIG])[:-cut])


def test_what_follows_the_end_is_treated_as_by_the_library() -> None:
    data = values.encode([BIG])
    try:
        expected = cbor2.loads(data + b"\x00")
    except cbor2.CBORDecodeError:
        with pytest.raises(WireError):
            values.decode(data + b"\x00")
    else:
        assert values.decode(data + b"\x00") == expected


@given(st.binary(max_size=40), st.binary(max_size=40))
def test_any_bytes_around_a_large_string_are_read_as_the_library_reads_them(before: bytes, after: bytes) -> None:
    data = before + cbor2.dumps(BIG) + after
    try:
        expected = cbor.read_data(data, DEPTH, values._decode_tag)
    except WireError:
        with pytest.raises(WireError):
            values.decode(data)
    else:
        found = values.decode(data)
        same = found == expected if isinstance(expected, int) else repr(found) == repr(expected)  # nan, and no bignum
        assert same


@given(st.sampled_from(["body", "data", "head", "state", "args", "value", "x"]), nested)
def test_a_message_with_something_large_is_read_as_the_library_reads_it(field: str, value: Any) -> None:
    """Wherever in it that is, and whoever wrote it."""
    for item in ({"type": "task", field: value}, [{field: value, "body": BIG}, value], {"body": [value]}, value):
        payload = cbor2.dumps(item)
        try:
            expected = cbor._read(payload, DEPTH)
        except WireError:
            with pytest.raises(WireError):
                cbor.read_message(payload, DEPTH)
        else:
            assert cbor.read_message(payload, DEPTH) == expected


def test_large_arguments_in_the_readable_form_reach_the_task() -> None:
    [task] = codec.decode(cbor2.dumps({"type": "task", "id": "a", "name": "x", "args": [BIG, [BIG]]}))
    assert isinstance(task, Task)
    assert values.decode(task.body) == [[BIG, [BIG]], {}]


def test_a_large_body_is_a_view_of_its_payload() -> None:
    payload = codec.encode([Task("a", "x", BIG), Task("b", "x", memoryview(BIG))])
    batch = codec.decode(payload)
    assert batch == [Task("a", "x", BIG), Task("b", "x", BIG)]
    assert all(isinstance(task.body, memoryview) and task.body.obj is payload for task in batch)  # type: ignore[union-attr]
