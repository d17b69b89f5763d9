"""Whatever bytes come: messages or a WireError, in time and memory that their length bounds."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import partial
from typing import Any

import cbor2
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from fogsdk.errors import WireError
from fogsdk.wire import cbor, codec, compiled, limits, schema
from fogsdk.wire.messages import Malformed, Message, Task
from tests.wire import strategies

TASK: dict[str, Any] = {"type": "task", "id": "a", "name": "x"}


def check_decode(payload: bytes) -> None:
    """Reading gives messages, or a WireError, and nothing else ever; what it gives can be written again."""
    try:
        out = codec.decode(payload)
    except WireError:
        return
    for message in out:
        if isinstance(message, Malformed):
            assert message.reason in ("malformed", "too-large")
            assert re.fullmatch("[a-z0-9-]{0,64}", message.id)
        else:
            assert codec.decode(codec.encode([message])) == [message]


@given(st.binary(max_size=200))
@example(b"")
@example(b"\xff")
@example(b"{")
@example(b"[")
@example(b"\x9b\xff\xff\xff\xff\xff\xff\xff\xff")  # an array of 2**64 - 1 entries
@example(b"\xbb\x7f\xff\xff\xff\xff\xff\xff\xff")  # a map of 2**63 - 1 entries
@example(b"\x81\x5b\x00\x00\x00\x7f\xff\xff\xff\xff")  # half a terabyte of bytes
@example(b"\x81\xdb\xff\xff\xff\xff\xff\xff\xff\xff\x00")  # the largest tag
@example(b"\x81" * 100_000)
@example(b"\xc4" * 100_000)
@example(b"\x9f" * 100_000)
@example(b"[" * 100_000)
@example(b'{"a":' * 100_000)
@example(b'{"type":"task","id":"a","name":"x","args":' + b"[" * 900 + b"]" * 900 + b"}")
@example(b"[" + b"9" * 10_000 + b"]")
@example(b'{"type":"progress","id":"a","fraction":1e999}')
@example(b'{"type":"progress","id":"a","fraction":NaN}')
@example(b'{"type":"ask","id":"a","id":"b"}')
@example(b"\xa3\x64type\x63ask\x62id\x61a\x62id\x61b")  # the same key twice
def test_any_bytes_are_messages_or_a_wire_error(payload: bytes) -> None:
    check_decode(payload)


@given(strategies.damaged())
def test_a_damaged_message_is_a_message_or_a_wire_error(payload: bytes) -> None:
    check_decode(payload)


@given(st.lists(strategies.misfits() | strategies.odd_cbor, max_size=4), st.booleans())
def test_structured_nonsense_is_messages_or_a_wire_error(items: list[Any], alone: bool) -> None:
    check_decode(cbor2.dumps(items[0] if alone and items else items))


@given(strategies.odd_cbor)
def test_nonsense_for_arguments_is_a_message_or_a_wire_error(value: Any) -> None:
    check_decode(cbor2.dumps(TASK | {"args": value, "kwargs": value}))
    check_decode(cbor2.dumps(TASK | {"args": [value], "kwargs": {"k": value}}))
    check_decode(cbor2.dumps({"type": "result", "id": "a", "value": value}))


def nested(levels: int) -> Any:
    value: Any = 1
    for _ in range(levels):
        value = [value]
    return value


def test_nesting_has_a_limit() -> None:
    assert isinstance(codec.decode(cbor2.dumps(TASK | {"args": nested(limits.DEPTH)}))[0], Task)
    with pytest.raises(WireError, match="nest"):
        codec.decode(cbor2.dumps(TASK | {"args": nested(limits.DEPTH + 4)}))


def shared_arrays(levels: int) -> bytes:
    """Arrays that hold the one before them twice: written out, 2**levels entries."""
    first, others = (
        b"\xd8\x1c\x82\x01\x01",
        [b"\xd8\x1d" + cbor2.dumps(before) for before in range(levels - 1)],
    )
    return b"\x98" + bytes([levels]) + first + b"".join(b"\xd8\x1c\x82" + other * 2 for other in others)


def shared_text(times: int) -> bytes:
    """A text, and references to it."""
    return cbor2.dumps(cbor2.CBORTag(256, ["x" * 100, *[cbor2.CBORTag(25, 0)] * times]))


@pytest.mark.skipif(not cbor._GUARDED, reason="cbor2 5 has no guard")
@pytest.mark.parametrize("argument", [shared_arrays(40), shared_text(100)], ids=["arrays", "text"])
def test_a_few_bytes_that_refer_to_themselves_do_not_fill_the_memory(argument: bytes) -> None:
    payload = b"\xa4\x64type\x64task\x62id\x61a\x64name\x61x\x64args\x81" + argument
    assert len(payload) < 500
    with pytest.raises(WireError, match="refers to a part of itself"):
        codec.decode(payload)


@pytest.mark.skipif(not cbor._GUARDED, reason="cbor2 5 has no guard")
def test_map_keys_whose_hashes_collide_do_not_take_all_the_time() -> None:
    colliding = {(2**61 - 1) * number: None for number in range(1, 100)}
    with pytest.raises(WireError, match="map"):
        codec.decode(cbor2.dumps(TASK | {"args": [colliding]}))


@pytest.mark.parametrize(
    ("field", "message"),
    [
        ("name", r'{"type":"task","id":"a","name":"\ud800"}'),
        ("error", r'{"type":"failed","id":"a","error":"\udfff","message":""}'),
        ("message", r'{"type":"failed","id":"a","error":"E","message":"half \ud800"}'),
        ("args", r'{"type":"task","id":"a","name":"x","args":["\ud800"]}'),
    ],
)
def test_text_that_is_not_unicode_is_refused_and_the_field_named(field: str, message: str) -> None:
    """JSON can write half of a surrogate pair; nobody could pass it on."""
    [malformed] = codec.decode(message.encode())
    assert isinstance(malformed, Malformed)
    assert malformed.message.startswith(f"{field}: ")


def test_json_in_another_encoding_than_utf_8_is_refused() -> None:
    with pytest.raises(WireError, match="not JSON"):
        codec.decode('{"type":"ask","id":"a"}'.encode("utf-16-le"))


# ---------------------------------------------------------------- what is compiled does as the fields say


@given(strategies.misfits() | strategies.misfits(strategies.odd_cbor))
@example({"id": "a", "name": "x", "body": b"", "deadline": 5})  # as many as a task has to have, but for its type
def test_a_compiled_reader_reads_what_one_check_after_the_other_does_and_nothing_else(item: dict[str, Any]) -> None:
    for kind in schema.TYPES.values():
        assert _tried(compiled.READERS[kind], item) == _tried(partial(schema.build, kind), item)


def _tried(read: Callable[[dict[str, Any]], Any], item: dict[str, Any]) -> Any:
    try:
        message = read(item)
    except (WireError, KeyError, TypeError):
        return None
    return [(type(value), value) for value in (getattr(message, field) for field in schema.DEFAULTS[type(message)])]


@given(st.lists(strategies.messages, max_size=4))
def test_what_is_written_is_what_the_library_makes_of_the_fields(batch: list[Message]) -> None:
    items = [codec.fields(message, False) for message in batch]
    assert codec.encode(batch) == cbor2.dumps(items[0] if len(items) == 1 else items)


def test_of_two_fields_that_are_wrong_the_first_in_the_map_is_named() -> None:
    for field, other in (("name", "priority"), ("priority", "name")):
        [refused] = codec.decode(cbor2.dumps({"type": "task", "id": "a", field: -101, other: None} | {other: -101}))
        assert isinstance(refused, Malformed)
        assert refused.message.startswith(f"{field}: ")
