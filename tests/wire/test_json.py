"""JSON: messages mean what they mean in CBOR, and values of CBOR are shown as RFC 8949 advises."""

from __future__ import annotations

import datetime
import json
import math
from decimal import Decimal
from typing import Any

import cbor2
import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from fogsdk.errors import TooLarge, WireError
from fogsdk.wire import codec, limits, scalars, schema, values
from fogsdk.wire.jsonvalues import to_json, to_json_shown
from fogsdk.wire.messages import Ask, Cancelled, Malformed, Message, Refused, Result, Task
from tests.wire import strategies


def in_json(value: Any) -> Any:
    """A value as one who speaks JSON sees it."""
    return to_json(values.encode(value))


# ---------------------------------------------------------------- messages


@pytest.mark.parametrize("name", sorted(strategies.MESSAGES.keys() - {"replica", "transfer", "chunk"}))
@given(data=st.data())
def test_every_message_comes_back_as_it_was(name: str, data: st.DataObject) -> None:
    message = data.draw(strategies.MESSAGES[name])
    payload = codec.encode([message], as_json=True)
    assert json.loads(payload)["type"] == name
    assert codec.decode(payload) == [message]


def test_a_message_is_short_and_readable() -> None:
    assert codec.encode([Ask("t-1")], as_json=True) == b'{"type":"ask","id":"t-1"}'
    refused = Refused("t-1", "pi-1", "overloaded", "pi-1 holds 4 tasks: später", 50)
    assert codec.encode([refused, Cancelled("t-2")], as_json=True).decode() == (
        '[{"type":"refused","id":"t-1","node":"pi-1","reason":"overloaded",'
        '"message":"pi-1 holds 4 tasks: später","retry_after":50},{"type":"cancelled","id":"t-2"}]'
    )


def test_arguments_are_written_out() -> None:
    [task] = codec.decode(b'{"type":"task","id":"t-1","name":"add","args":[1,2],"kwargs":{"scale":0.5}}')
    assert task == Task("t-1", "add", values.encode([[1, 2], {"scale": 0.5}]))
    assert json.loads(codec.encode([task], as_json=True)) == {
        "type": "task",
        "id": "t-1",
        "name": "add",
        "args": [1, 2],
        "kwargs": {"scale": 0.5},
    }


def test_arguments_may_be_left_out() -> None:
    assert codec.decode(b'{"type":"task","id":"t-1","name":"now"}') == [Task("t-1", "now", values.encode([[], {}]))]


def test_a_result_is_written_out() -> None:
    result = Result("t-1", values.encode({"sum": 3, "raw": b"\xff\xfe"}))
    assert codec.encode([result], as_json=True) == b'{"type":"result","id":"t-1","value":{"sum":3,"raw":"__4"}}'


def test_a_result_of_nothing_is_still_a_result() -> None:
    nothing = Result("t-1", values.encode(None))
    assert codec.encode([nothing], as_json=True) == b'{"type":"result","id":"t-1","value":null}'
    assert codec.decode(b'{"type":"result","id":"t-1","value":null}') == [nothing]


@pytest.mark.parametrize(
    ("fields", "error"),
    [
        ('"args":{"a":1}', "args: must be an array"),
        ('"args":null', "args: must be an array"),
        ('"kwargs":[1]', "kwargs: must be a map"),
        ('"body":"gAA"', "body: must be a byte string"),
        ('"args":[1],"body":null', "body: is missing"),
    ],
)
def test_wrong_arguments_are_named(fields: str, error: str) -> None:
    [malformed] = codec.decode(f'{{"type":"task","id":"t-1","name":"add",{fields}}}'.encode())
    assert malformed == Malformed("t-1", "malformed", error)


def test_a_body_that_no_json_can_show_is_a_wire_error() -> None:
    for body in (b"", b"\x81", b"\x81" * 100, values.encode({10**5000: 1})):
        with pytest.raises(WireError):
            codec.encode([Result("a", body)], as_json=True)
    for body in (values.encode(5), values.encode([1, 2]), values.encode([[], {}, 3])):
        with pytest.raises(WireError, match="body: must be"):
            codec.encode([Task("a", "x", body)], as_json=True)


@given(st.lists(strategies.odd_cbor.map(cbor2.dumps) | st.binary(max_size=50), min_size=1, max_size=3))
def test_a_result_in_json_is_always_json_or_a_wire_error(bodies: list[bytes]) -> None:
    """Whatever a task returned, what leaves the node can be read by any JSON parser."""
    batch: list[Message] = [Result("a", body) for body in bodies]
    try:
        payload = codec.encode(batch, as_json=True)
    except WireError:
        return
    json.loads(payload, parse_constant=lambda name: pytest.fail(f"{name} is not JSON"))


CLAIM: dict[str, st.SearchStrategy[Any]] = {"type": st.sampled_from(sorted(schema.TYPES)), "id": st.just("a")}
SOME_FIELDS = st.sampled_from([*strategies.FIELDS, "x"])
JSON_GARBAGE = st.recursive(
    strategies.json_values,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(SOME_FIELDS, inner, max_size=6)
        | st.builds(
            lambda given, least: given | least,
            st.dictionaries(SOME_FIELDS, inner),
            st.fixed_dictionaries(CLAIM),
        )
    ),
    max_leaves=12,
)


@given(JSON_GARBAGE, st.booleans())
def test_structured_nonsense_is_messages_or_a_wire_error(value: Any, doubled: bool) -> None:
    text = json.dumps(value)
    if doubled:
        text = text.replace('"id"', '"id": "b", "id"')
    try:
        messages = codec.decode(text.encode())
    except WireError:
        return
    assert all(isinstance(each, Malformed) or codec.decode(codec.encode([each])) == [each] for each in messages)


@given(st.text(max_size=60))
@example("{}")
@example("[]")
@example('{"type":"task","id":"a","name":"x","args":["\\ud800"]}')
@example('{"type":"task","id":"a","name":"x","kwargs":{"\\ud800":1}}')
@example('{"type":"task","id":"a","name":"x","args":[' + "9" * 5000 + "]}")
@example('{"type":"task","id":"a","name":"x","args":[' + "9" * 4000 + "]}")
@example('{"type":"task","id":"a","name":"x","args":[1e999,-1e999]}')
@example('\ufeff{"type":"ask","id":"a"}')
def test_any_text_is_messages_or_a_wire_error(text: str) -> None:
    for payload in (text.encode(errors="replace"), b"{" + text.encode(errors="replace")):
        try:
            codec.decode(payload)
        except WireError:
            continue


# ---------------------------------------------------------------- values


@given(strategies.json_values)
def test_what_json_can_carry_stays_what_it_is(value: Any) -> None:
    assert in_json(value) == value
    assert json.loads(json.dumps(in_json(value))) == value


@pytest.mark.parametrize(
    ("value", "shown_as"),
    [
        (b"\x00\xff\xfe", "AP_-"),
        (b"a", "YQ"),
        (float("inf"), None),
        (float("nan"), None),
        (Decimal("1.5"), 1.5),
        (Decimal("1e400"), None),
        (Decimal("NaN"), None),
        (2**64 - 1, 2**64 - 1),
        (-(2**64), -(2**64)),
        (2**64, "AQAAAAAAAAAA"),
        (-(2**64) - 1, "~AQAAAAAAAAAA"),
        (cbor2.undefined, None),
        ({1: "a", 2.5: "b"}, {"1": "a", "2.5": "b"}),
        ((1, (2,)), [1, [2]]),
        ({3}, [3]),
        (datetime.date(2020, 2, 29), "2020-02-29"),
        (datetime.datetime(2020, 2, 29, 12, tzinfo=datetime.timezone.utc), "2020-02-29T12:00:00+00:00"),
        (cbor2.CBORTag(9999, {"a": [b"a"]}), {"a": ["YQ"]}),
    ],
)
def test_values_are_shown_as_the_standard_advises(value: Any, shown_as: Any) -> None:
    """RFC 8949 section 6.1."""
    assert in_json([value]) == [shown_as]


@given(npst.arrays(st.sampled_from([np.dtype(kind) for kind in ("u1", "i1", "<i2", ">u4", "<u8", ">i8")]),
                   npst.array_shapes(min_dims=1, max_dims=4)))  # fmt: skip
def test_arrays_of_integers_are_shown_as_nested_arrays(array: np.ndarray[Any, Any]) -> None:
    assert in_json(array) == array.tolist()
    assert in_json(np.asfortranarray(array)) == array.tolist()


@given(npst.arrays(st.sampled_from([np.dtype(kind) for kind in ("<f2", ">f4", "<f8", ">f8")]),
                   npst.array_shapes(min_dims=1, max_dims=3)))  # fmt: skip
def test_arrays_of_floats_are_shown_with_null_for_what_is_not_finite(array: np.ndarray[Any, Any]) -> None:
    assert in_json(array) == finite(array.tolist())


def finite(value: Any) -> Any:
    if isinstance(value, list):
        return [finite(each) for each in value]
    return value if math.isfinite(value) else None


def test_an_array_without_extent_is_an_empty_array_and_a_single_number_an_array_of_one() -> None:
    assert in_json(np.zeros((2, 0))) == []
    assert in_json(np.array(5)) == [5]


@pytest.mark.parametrize(
    "array",
    [np.zeros(limits.MESSAGE_SIZE // 2 + 1, "u1"), np.zeros((limits.MESSAGE_SIZE // 50, *[1] * 30), "u1")],
    ids=["numbers", "arrays"],
)
def test_an_array_that_no_message_in_json_can_hold_is_not_written_out(array: np.ndarray[Any, Any]) -> None:
    """A third of a megabyte can have the shape of ten million arrays of one."""
    with pytest.raises(TooLarge):
        in_json(array)


@pytest.mark.parametrize("tag", [83, 87])
def test_arrays_of_quadruple_precision_are_refused(tag: int) -> None:
    with pytest.raises(WireError, match="typed array"):
        to_json(cbor2.dumps(cbor2.CBORTag(tag, bytes(16))))


@given(st.binary(max_size=100) | strategies.odd_cbor.map(cbor2.dumps))
@example(b"\xd8\x1c\x81\xd8\x1d\x00")
@example(b"\x81" * 100_000)
def test_any_bytes_are_a_value_or_a_wire_error(data: bytes) -> None:
    try:
        value = to_json(data)
    except WireError:
        return
    json.dumps(value, allow_nan=False)


def test_nesting_has_a_limit() -> None:
    to_json(b"\x81" * limits.DEPTH + b"\x01")
    with pytest.raises(WireError, match="nest"):
        to_json(b"\x81" * (limits.DEPTH + 1) + b"\x01")


@pytest.mark.parametrize(
    "body",
    [
        scalars.head(scalars.ARRAY, limits.JSON_VALUES + 1) + bytes(limits.JSON_VALUES + 1),
        values.encode([np.zeros(limits.JSON_VALUES // 2 + 1, "u1"), np.zeros(limits.JSON_VALUES // 2 + 1)]),
    ],
    ids=["array", "typed arrays"],
)
def test_a_node_tells_no_more_values_in_json_than_it_has_time_for(body: bytes) -> None:
    with pytest.raises(TooLarge, match="ask for it in CBOR"):
        to_json_shown(body)
    assert to_json(body) is not None


def test_keys_that_collide_are_not_put_into_a_map() -> None:
    """A map of these would take hours: all have one hash. A few of any kind are told."""
    count = 20_000
    keys = b"".join(cbor2.dumps((2**61 - 1) * number) + b"\x00" for number in range(1, count + 1))
    with pytest.raises(WireError, match="map key must be a text string or byte string, not int; ask for it in CBOR"):
        to_json_shown(scalars.head(scalars.MAP, count) + keys)
    assert to_json_shown(values.encode({1: "one", 2.5: "m" * 100_000})) == {"1": "one", "2.5": "m" * 100_000}
