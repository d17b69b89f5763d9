"""The codec: what it writes it reads again, limits hold, and what it refuses it names."""

from __future__ import annotations

import json
from typing import Any

import cbor2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fogsdk.errors import TooLarge, WireError
from fogsdk.wire import codec, limits, schema, values
from fogsdk.wire.messages import Ask, Cancel, Failed, Malformed, Message, Progress, Result, Task
from tests.wire import strategies

NAMES = sorted(strategies.MESSAGES)
BODY = values.encode([[], {}])

# The least that each type of message consists of.
LEAST: dict[str, dict[str, Any]] = {
    "task": {"id": "a", "name": "x", "body": BODY},
    "cancel": {"id": "a"},
    "ask": {"id": "a"},
    "accepted": {"id": "a", "node": "n"},
    "progress": {"id": "a", "fraction": 0.5},
    "result": {"id": "a", "body": BODY},
    "failed": {"id": "a", "error": "E", "message": ""},
    "refused": {"id": "a", "node": "n", "reason": "overloaded"},
    "deadline-exceeded": {"id": "a"},
    "cancelled": {"id": "a"},
    "birth": {"incarnation": 1, "role": "fog", "capacity": 1},
    "gone": {"incarnation": 1},
    "beat": {"incarnation": 1, "seq": 1, "ttl": 1},
    "replica": {"key": "k", "progress": 1, "epoch": 1, "home": "n", "guardian": "m", "data": b"x", "left": 1},
    "seek": {"key": "k"},
    "kept": {"key": "k", "node": "n"},
    "transfer": {"id": "a", "size": 1, "head": b"x"},
    "chunk": {"id": "a", "at": 0, "data": b"x"},
    "got": {"id": "a", "upto": 0},
}


def item(type_: str, /, **fields: Any) -> dict[str, Any]:
    """The smallest message of a type, with some fields set."""
    return {"type": type_, **LEAST[type_], **fields}


def read(*items: Any) -> list[Message | Malformed]:
    """Read items as one payload of CBOR."""
    return codec.decode(cbor2.dumps(items[0] if len(items) == 1 else list(items)))


def read_one(one: Any) -> Message | Malformed:
    """Read a payload that holds one message."""
    [message] = read(one)
    return message


# ---------------------------------------------------------------- round trips


@pytest.mark.parametrize("name", NAMES)
@given(data=st.data())
def test_every_message_comes_back_as_it_was(name: str, data: st.DataObject) -> None:
    message = data.draw(strategies.MESSAGES[name])
    assert codec.decode(codec.encode([message])) == [message]


@given(st.lists(strategies.messages, max_size=8), st.booleans())
def test_a_batch_comes_back_in_order(batch: list[Message], as_json: bool) -> None:
    assert codec.decode(codec.encode(batch, as_json)) == batch


def test_every_type_of_message_is_generated_here() -> None:
    assert schema.TYPES.keys() == strategies.MESSAGES.keys() == LEAST.keys()


@pytest.mark.parametrize("name", NAMES)
def test_what_is_left_out_has_its_default(name: str) -> None:
    message = read_one(item(name))
    assert not isinstance(message, Malformed)
    assert cbor2.loads(codec.encode([message])) == item(name), "a default was written out"


@pytest.mark.parametrize("name", NAMES)
def test_null_stands_for_left_out(name: str) -> None:
    kind = schema.TYPES[name]
    left_out = dict.fromkeys(field for field in schema.FIELDS[kind] if field not in LEAST[name])
    assert read_one(item(name, **left_out)) == read_one(item(name))


@given(strategies.messages, st.dictionaries(st.text(min_size=1), strategies.json_values, max_size=3))
def test_unknown_fields_are_ignored(message: Message, extra: dict[str, Any]) -> None:
    fields = cbor2.loads(codec.encode([message]))
    unknown = {f"x-{key}": value for key, value in extra.items()}
    assert read_one(fields | unknown) == message


@given(st.lists(strategies.json_values), st.dictionaries(st.text(), strategies.json_values))
def test_arguments_may_be_written_out_in_cbor_too(args: list[Any], kwargs: dict[str, Any]) -> None:
    task = read_one({"type": "task", "id": "a", "name": "x", "args": args, "kwargs": kwargs})
    assert task == Task("a", "x", values.encode([args, kwargs]))
    assert read_one({"type": "result", "id": "a", "value": args}) == Result("a", values.encode(args))


def test_tags_in_arguments_that_are_written_out_reach_the_task() -> None:
    array = cbor2.CBORTag(64, b"\1\2")
    decimal = cbor2.CBORTag(4, [-2, 110])
    task = read_one({"type": "task", "id": "a", "name": "x", "args": [array, decimal, 2**70]})
    assert isinstance(task, Task)
    assert task.body == cbor2.dumps([[array, decimal, 2**70], {}])


# ---------------------------------------------------------------- limits


def texts(length: int) -> tuple[str, str]:
    """Text of just the right length, and one character more; characters are not bytes."""
    return "ä" * length, "ä" * (length + 1)


HOP = {"node": "n", "action": "ran"}
LIMITS: list[tuple[str, str, Any, Any]] = [
    *[
        (name, field, "a" * limits.ID_LENGTH, "a" * (limits.ID_LENGTH + 1))
        for name in NAMES
        for field in ("id", "node", "role", "reason")
        if field in LEAST[name]
    ],
    ("task", "name", *texts(limits.NAME_LENGTH)),
    ("failed", "error", *texts(limits.NAME_LENGTH)),
    ("task", "deadline", limits.DURATION, limits.DURATION + 1),
    ("task", "deadline", 0, -1),
    ("task", "priority", 100, 101),
    ("task", "priority", -100, -101),
    ("task", "part", 2**53, 2**53 + 1),
    ("task", "via", ["n"] * limits.HOPS, ["n"] * (limits.HOPS + 1)),
    ("accepted", "wait", limits.DURATION, limits.DURATION + 1),
    ("progress", "fraction", 1.0, 1.0000000000000002),
    ("progress", "fraction", 0, -5e-324),
    ("progress", "fraction", 1, 2),
    ("result", "hops", [HOP] * limits.HOPS, [HOP] * (limits.HOPS + 1)),
    ("result", "wait", limits.DURATION, limits.DURATION + 1),
    ("refused", "retry_after", limits.DURATION, limits.DURATION + 1),
    ("birth", "tasks", [{"name": "x"}] * limits.TASKS, [{"name": "x"}] * (limits.TASKS + 1)),
    ("birth", "addresses", ["x"] * limits.ADDRESSES, ["x"] * (limits.ADDRESSES + 1)),
    ("birth", "capacity", 2**53, 2**53 + 1),
    ("gone", "incarnation", 2**53, 2**53 + 1),
    ("beat", "ttl", limits.DURATION, limits.DURATION + 1),
    ("beat", "cpu", 1.0, 1.5),
    ("beat", "memory", 0.0, -0.1),
    ("beat", "quarantined", ["x"] * limits.HOPS, ["x"] * (limits.HOPS + 1)),
    ("task", "keep", limits.DURATION, limits.DURATION + 1),
    ("task", "copies", 2, 3),
    ("task", "copies", 1, 0),
    ("task", "session", *texts(limits.NAME_LENGTH)),
    ("task", "session", "x", ""),
    ("task", "step", 1, 0),
    ("task", "step", 2**53, 2**53 + 1),
    ("task", "after", *texts(limits.ID_LENGTH)),
    ("result", "tag", *texts(limits.ID_LENGTH)),
    ("refused", "instead", "", "?"),
    ("replica", "key", *texts(limits.KEY_LENGTH)),
    ("replica", "key", "x", ""),
    ("replica", "guardian", "", "?"),
    ("replica", "left", limits.DURATION, limits.DURATION + 1),
    ("seek", "progress", 2**53, 2**53 + 1),
    ("kept", "home", "", "?"),
    ("transfer", "size", limits.BODY_SIZE, limits.BODY_SIZE + 1),
    ("transfer", "size", 1, 0),
    ("transfer", "tag", *texts(limits.ID_LENGTH)),
    ("transfer", "node", "", "?"),
    ("chunk", "at", limits.BODY_SIZE, limits.BODY_SIZE + 1),
    ("got", "upto", limits.BODY_SIZE, limits.BODY_SIZE + 1),
]


@pytest.mark.parametrize(("name", "field", "last", "beyond"), LIMITS)
def test_each_limit_holds_at_the_limit_and_one_past_it(name: str, field: str, last: Any, beyond: Any) -> None:
    assert not isinstance(read_one(item(name, **{field: last})), Malformed)
    refused = read_one(item(name, **{field: beyond}))
    assert isinstance(refused, Malformed)
    assert refused.message.startswith(f"{field}: ")
    assert len(refused.message) < 500, "the offending value is not repeated at length"


INNER: list[tuple[str, Any, Any, str]] = [
    (
        "tasks",
        {"name": texts(limits.NAME_LENGTH)[0]},
        {"name": texts(limits.NAME_LENGTH)[1]},
        "tasks[1].name",
    ),
    ("tasks", {"name": "x", "version": "v" * 128}, {"name": "x", "version": "v" * 129}, "tasks[1].version"),
    ("tasks", {"name": "x", "memory": 2**53}, {"name": "x", "memory": 2**53 + 1}, "tasks[1].memory"),
    ("tasks", {"name": "x", "weight": "heavy"}, {"name": "x", "weight": "fat"}, "tasks[1].weight"),
    ("tasks", {"name": "x", "fallback": "fog"}, {"name": "x", "fallback": "cloud"}, "tasks[1].fallback"),
    ("tasks", {"name": "x", "split": False}, {"name": "x", "split": 0}, "tasks[1].split"),
    ("tasks", {"name": "x"}, {}, "tasks[1].name"),
    ("tasks", {"name": "x"}, "x", "tasks[1]"),
    ("addresses", texts(256)[0], texts(256)[1], "addresses[1]"),
]


@pytest.mark.parametrize(("field", "right", "wrong", "path"), INNER)
def test_an_error_within_names_the_way_to_the_field(field: str, right: Any, wrong: Any, path: str) -> None:
    assert not isinstance(read_one(item("birth", **{field: [right, right]})), Malformed)
    refused = read_one(item("birth", **{field: [right, wrong]}))
    assert isinstance(refused, Malformed)
    assert refused.message.startswith(f"{path}: ")


@pytest.mark.parametrize(("name", "field"), [(name, field) for name in NAMES for field in LEAST[name]])
def test_a_missing_field_is_named(name: str, field: str) -> None:
    fields = {key: value for key, value in item(name).items() if key != field}
    message = read_one(fields)
    if (name, field) == ("task", "body"):  # a task without arguments
        assert message == Task("a", "x", BODY)
    else:
        assert isinstance(message, Malformed)
        assert message.message == f"{field}: is missing"


@pytest.mark.parametrize("field", ["message", "traceback"])
def test_prose_that_is_too_long_is_cut_not_refused(field: str) -> None:
    limit = {"message": limits.TEXT_LENGTH, "traceback": limits.TRACEBACK_LENGTH}[field]
    failed = read_one(item("failed", **{field: "x" * (limit + 1)}))
    assert getattr(failed, field) == "x" * limit


@pytest.mark.parametrize("name", ["task", "result"])
def test_a_body_over_the_limit_is_too_large(name: str) -> None:
    check = schema.FIELDS[schema.TYPES[name]]["body"]
    check(bytes(limits.BODY_SIZE), "body")
    with pytest.raises(TooLarge, match=f"body: {limits.BODY_SIZE + 1} bytes, the limit is {limits.BODY_SIZE}"):
        check(bytes(limits.BODY_SIZE + 1), "body")


@pytest.mark.parametrize(
    ("name", "field", "most"),
    [
        ("task", "state", limits.STATE_SIZE),
        ("replica", "data", limits.RECORD_SIZE),
        ("transfer", "head", limits.HEAD_SIZE),
        ("chunk", "data", limits.CHUNK_SIZE),
    ],
)
def test_other_bytes_have_limits_of_their_own_and_no_form_in_json(name: str, field: str, most: int) -> None:
    assert not isinstance(read_one(item(name, **{field: bytes(most)})), Malformed)
    refused = read_one(item(name, **{field: bytes(most + 1)}))
    assert isinstance(refused, Malformed)
    assert refused.reason == "too-large"
    [message] = codec.decode(cbor2.dumps(item(name, **{field: b"x"})))
    assert not isinstance(message, Malformed)
    assert codec.decode(codec.encode([message])) == [message]
    with pytest.raises(WireError, match="cannot be sent"):
        codec.encode([message], as_json=True)


def test_a_payload_over_the_limit_is_too_large_before_anything_is_read() -> None:
    ask = b'{"type":"ask","id":"a"}'
    padded = ask[:1] + b" " * (limits.MESSAGE_SIZE - len(ask)) + ask[1:]
    assert codec.decode(padded) == [Ask("a")]
    with pytest.raises(TooLarge, match=f"the limit is {limits.MESSAGE_SIZE}"):
        codec.decode(padded + b" ")


def test_a_batch_has_a_limit() -> None:
    one = item("cancel")
    assert len(read(*[one] * limits.BATCH_LENGTH)) == limits.BATCH_LENGTH
    with pytest.raises(TooLarge, match=f"a batch of {limits.BATCH_LENGTH + 1} messages"):
        read(*[one] * (limits.BATCH_LENGTH + 1))


def test_what_would_be_too_large_is_not_written_either() -> None:
    body = values.encode(bytes(limits.RECORD_SIZE - 8))
    assert len(codec.encode([Result("a", body)])) <= limits.MESSAGE_SIZE
    with pytest.raises(TooLarge):
        codec.encode([Result("a", body), Result("b", body)])
    with pytest.raises(TooLarge):
        codec.encode([Result("a", body)], as_json=True)  # base64 is a third longer


# ---------------------------------------------------------------- batches


@given(st.lists(strategies.messages, max_size=4), st.data())
def test_a_bad_message_in_a_batch_leaves_the_others_alone(batch: list[Message], data: st.DataObject) -> None:
    items = [cbor2.loads(codec.encode([message])) for message in batch]
    bad: Any = data.draw(
        st.sampled_from([5, None, [], {}, {"type": "task"}, {"type": "nonsense", "id": "a"}, {"type": ["task"]}])
    )
    at = data.draw(st.integers(0, len(batch)))
    items.insert(at, bad)
    out = codec.decode(cbor2.dumps(items))
    assert isinstance(out.pop(at), Malformed)
    assert out == batch


def test_the_sender_of_an_unreadable_task_is_told_which_one_it_was() -> None:
    assert read_one({"type": "task", "id": "t-1"}) == Malformed("t-1", "malformed", "name: is missing")
    assert read_one({"type": "task", "id": "T 1", "name": "x"}).id == ""  # type: ignore[union-attr]
    assert read_one({"type": "tusk", "id": "t-1"}).id == "t-1"  # type: ignore[union-attr]


# ---------------------------------------------------------------- writing


@pytest.mark.parametrize("as_json", [False, True])
def test_text_that_cannot_be_sent_is_a_wire_error(as_json: bool) -> None:
    with pytest.raises(WireError, match="cannot be sent"):
        codec.encode([Failed("a", "OSError", "no file caf\udce9")], as_json)


def test_a_payload_of_json_begins_with_a_brace_or_a_bracket() -> None:
    assert codec.is_json(codec.encode([Cancel("a")], as_json=True))
    assert codec.is_json(codec.encode([Cancel("a"), Cancel("b")], as_json=True))
    assert not codec.is_json(codec.encode([Cancel("a")]))
    assert not codec.is_json(codec.encode([Cancel("a"), Progress("b", 0.5)]))
    assert not codec.is_json(b"")


# ---------------------------------------------------------------- too much at once


@pytest.mark.parametrize(
    "payload",
    [
        cbor2.dumps(item("task", args=[{}] * (limits.VALUES + 1)) | {"body": 0}),
        b"\x9f" + b"\x80" * (limits.VALUES + 1) + b"\xff",
        b'{"type":"task","id":"a","name":"x","args":[' + b"[]," * limits.VALUES + b"0]}",
        b"[" + b"1," * limits.VALUES + b"1]",
    ],
    ids=["maps", "of indefinite length", "JSON arrays", "JSON numbers"],
)
def test_more_values_than_a_node_has_time_for_are_refused_before_they_are_made(payload: bytes) -> None:
    with pytest.raises(TooLarge, match="send them as a typed array or a byte string, or as `body`"):
        codec.decode(payload)


@pytest.mark.parametrize("begin", [b'["', b"["], ids=["text", "quotes"])
def test_what_only_looks_like_many_values_is_looked_at_once(begin: bytes) -> None:
    """Else a node would do nothing else for hours, as this test would."""
    payload = b"[" + b"," * (limits.VALUES + 1) + begin + b'\\"' * 4_000_000
    with pytest.raises(WireError):
        codec.decode(payload)


def test_what_is_long_and_has_few_values_is_read() -> None:
    text = ',[{"\\' * limits.VALUES
    as_json = json.dumps({"type": "task", "id": "a", "name": "x", "args": [text]}).encode()
    as_cbor = cbor2.dumps({"type": "task", "id": "a", "name": "x", "args": [text]})
    for payload in (as_json, as_cbor):
        [task] = codec.decode(payload)
        assert isinstance(task, Task)
        assert values.decode(task.body) == [[text], {}]


def test_a_type_that_has_no_hash_is_malformed_and_leaves_the_others_alone() -> None:
    """cbor2 raises RuntimeError for the hash of such a tag."""
    bad = {"type": cbor2.CBORTag(0, [1]), "id": "a"}
    good = Cancel("b")
    malformed, other = codec.decode(cbor2.dumps([bad, cbor2.loads(codec.encode([good]))]))
    assert other == good
    assert isinstance(malformed, Malformed)
    assert "type: must be one of" in malformed.message
