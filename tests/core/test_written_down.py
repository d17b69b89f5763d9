"""A node writes down what it took and finished when nobody waits for it: when that is makes no difference."""

from __future__ import annotations

from typing import Any
from unittest import mock

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fogsdk.core.commands import Send, Start
from fogsdk.core.events import Asked, JobDone
from fogsdk.core.identity import Identity
from fogsdk.core.node import Node
from fogsdk.wire.messages import Refused, Task, TaskInfo
from tests.core.test_random_orders import ACTIONS, Story

INFO = TaskInfo("t", weight="light")
Heard = list[tuple[Any, int, str]]
"""What came to a node, when, and what it did about it."""


def lives(seed: int, actions: list[tuple[str, Any, Any]]) -> list[tuple[Identity, Heard]]:
    """What every node of a story lived through."""
    heard: dict[Node, Heard] = {}
    handle = Node.handle

    def listen(node: Node, event: Any, now: int) -> Any:
        commands = handle(node, event, now)
        heard.setdefault(node, []).append((event, now, repr(commands)))
        return commands

    with mock.patch.object(Node, "handle", listen):
        story = Story(seed, 0.05)
        for action in actions:
            story.act(*action)
        story.heal()
    return [(node.me, life) for node, life in heard.items()]


@pytest.mark.timeout(180)
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(seed=st.integers(0, 2**32), actions=st.lists(ACTIONS, min_size=5, max_size=40))
def test_a_node_that_never_has_time_in_between_does_the_same(seed: int, actions: list[tuple[str, Any, Any]]) -> None:
    """In a story it has time after every event."""
    for identity, life in lives(seed, actions):
        node = Node(identity)
        node.start()
        for event, now, commands in life:
            assert repr(node.handle(event, now)) == commands
            node.ledger.lessons.catch_up()


def test_a_large_task_that_is_announced_finds_the_queue_as_full_as_it_is() -> None:
    """It is asked about beside the events, and before the node had time to write down what it took."""
    node = Node(Identity("n", "home", workers=1, queue_limit=2, incarnation=1, tasks={"t": INFO}))
    node.start()
    node.handle(Asked("link", "a", Task("1", "t", b"")), 0)
    node.handle(Asked("link", "a", Task("2", "t", b"")), 0)
    [send] = node.turn_away(Asked("link", "b", Task("3", "t", b"")), 0, 0)
    assert isinstance(send, Send)
    assert isinstance(send.message, Refused)
    assert send.message.reason == "overloaded"


def test_a_large_task_that_is_announced_again_is_answered_as_before() -> None:
    node = Node(Identity("n", "home", workers=1, incarnation=1, tasks={"t": INFO}))
    node.start()
    asked = Asked("link", "a", Task("1", "t", b""))
    [start] = node.handle(asked, 0)
    assert isinstance(start, Start)
    [said] = node.handle(JobDone(start.job, b"\x01", 0.1), 1)
    assert node.turn_away(asked, 0, 2) == [said]
