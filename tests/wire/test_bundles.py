"""Bundles: what is written is read again, and whatever else is in their place is told apart from them."""

from __future__ import annotations

from typing import Any

import cbor2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fogsdk.errors import TooLarge, WireError
from fogsdk.wire import bundles, codec
from fogsdk.wire.messages import Failed, Hop, Malformed, Refused, Result, Task
from fogsdk.wire.topics import is_id

HOPS = (Hop("n1", "ran", "why", None, 1.0, 6.0, 8.0),)


def result(items: object) -> Result:
    return Result("b", cbor2.dumps(items), HOPS, 7)


@given(st.lists(st.binary(max_size=300), min_size=2, max_size=64))
def test_calls_are_read_as_they_were_written(calls: list[bytes]) -> None:
    assert bundles.read_calls(bundles.write(calls), len(calls)) == tuple(calls)


@given(st.one_of(st.binary(max_size=200), st.builds(cbor2.dumps, st.lists(st.one_of(st.binary(), st.integers())))))
def test_nonsense_for_calls_is_refused(body: bytes) -> None:
    try:
        calls = bundles.read_calls(body, 2)
    except WireError:
        return
    assert [type(call) for call in calls] == [bytes, bytes]


def test_every_outcome_comes_under_its_own_id_with_the_trace_of_all() -> None:
    items: list[bundles.Item] = [b"\x01", ["failed", "ValueError", "no", "there"], ["refused", "full", "no", 5], None]
    first, failed, refused, alone = bundles.read_outcomes(
        Result("b", bundles.write(items), HOPS, 7), "n1", ["d-1", "d-2", "d-3", "d-4"]
    )
    assert first == Result("d-1", b"\x01", HOPS, 7)
    assert failed == Failed("d-2", "ValueError", "no", "there", HOPS)
    assert refused == Refused("d-3", "n1", "full", "no", 5)
    assert alone is None


@pytest.mark.parametrize(
    "items",
    [
        {},
        [],
        [b""],
        [b"", b"", b""],
        [b"", 1],
        [b"", ["failed"]],
        [b"", ["failed", 1, "", ""]],
        [b"", ["refused", "A B", "", None]],
        [b"", ["refused", "full", "", -1]],
        [b"", ["done", "", "", ""]],
        [b"", [[[]]]],
    ],
)
def test_what_says_nothing_of_two_calls_is_no_result_of_them(items: Any) -> None:
    with pytest.raises(WireError):
        bundles.read_outcomes(result(items), "n1", ["d-1", "d-2"])


@pytest.mark.parametrize("tag", [2, 35, 36, 28, 260])
def test_nothing_is_made_of_tags_that_take_long(tag: int) -> None:
    body = cbor2.dumps([cbor2.CBORTag(tag, "(" * 100), b""])
    with pytest.raises(WireError):
        bundles.calls_of(Task("a", "b", body, count=2))


def test_calls_that_are_not_small_are_no_bundle() -> None:
    with pytest.raises(TooLarge):
        bundles.calls_of(Task("a", "b", bundles.write([bytes(4 * bundles.SMALL), b""]), count=2))
    calls = [bytes(bundles.SMALL)] * 64
    assert bundles.calls_of(Task("a", "b", bundles.write(calls), count=64)) == tuple(calls)


def test_a_call_that_goes_on_alone_has_an_id_of_its_own() -> None:
    ids = {bundles.id_of("5-x1f", index) for index in range(64)}
    assert len(ids) == 64
    assert all(map(is_id, ids))


@pytest.mark.parametrize("count", [0, 65, -1, 2.0, "2", True])
def test_a_bundle_has_1_to_64_calls(count: Any) -> None:
    [message] = codec.decode(cbor2.dumps({"type": "task", "id": "a", "name": "b", "body": b"", "count": count}))
    assert isinstance(message, Malformed)


def test_the_count_travels() -> None:
    task = Task("a", "b", bundles.write([b"", b""]), count=2)
    assert codec.decode(codec.encode([task])) == [task]
