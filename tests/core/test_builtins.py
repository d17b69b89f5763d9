"""Calls that a node answers itself: whatever their arguments are, it answers soon, and not at length."""

from __future__ import annotations

from typing import Any

import cbor2
import pytest

from fogsdk.core.commands import Send
from fogsdk.core.events import Asked, LinkUp
from fogsdk.core.identity import Identity
from fogsdk.core.node import Node
from fogsdk.core.outcomes import MOST_BYTES
from fogsdk.wire import scalars, values
from fogsdk.wire.limits import TEXT_LENGTH, VALUES
from fogsdk.wire.messages import Refused, Task


def node() -> Node:
    node = Node(Identity("n1", "home"))
    node.start()
    node.handle(LinkUp("a"), 0)
    return node


def refused(node: Node, body: bytes, id: str = "t", name: str = "fog.unquarantine") -> Refused:
    [send] = [each for each in node.handle(Asked("a", "dev", Task(id, name, body)), 0) if isinstance(each, Send)]
    assert isinstance(send.message, Refused)
    assert send.message.reason == "bad-arguments"
    return send.message


@pytest.mark.parametrize(
    ("args", "kwargs"), [([bytes(4_000_000)], {}), ([], {"a" * 4_000_000: 1})], ids=["argument", "name of one"]
)
def test_a_refusal_quotes_no_more_of_the_arguments_than_a_message_holds(args: Any, kwargs: Any) -> None:
    site = node()
    body = values.encode_call(args, kwargs)
    for number in range(3):
        assert len(refused(site, body, f"t{number}").message) <= TEXT_LENGTH
    assert 0 < site.outcomes._small.bytes < MOST_BYTES


def test_keys_that_collide_are_not_put_into_a_map() -> None:
    """A map of these would take hours: all have one hash."""
    count = 100_000
    keys = b"".join(cbor2.dumps((2**61 - 1) * number) + b"\x00" for number in range(1, count + 1))
    body = b"\x82\x81" + scalars.head(scalars.MAP, count) + keys + b"\xa0"
    assert "the arguments" in refused(node(), body).message


def test_no_more_values_are_made_than_in_a_message() -> None:
    body = b"\x82\x81" + scalars.head(scalars.ARRAY, VALUES) + bytes(VALUES) + b"\xa0"
    assert f"more than {VALUES} values" in refused(node(), body).message
