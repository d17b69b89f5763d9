"""What a storm of failures brought up: nodes that forgot, and work that nobody waits for."""

from __future__ import annotations

import pytest

from fogsdk.core.client import Client
from fogsdk.core.commands import Command, Send, Settled, Start, Stop
from fogsdk.core.events import Asked, LinkUp, NodeHeard, Replied, Submit, Tick
from fogsdk.core.identity import Identity
from fogsdk.core.node import Node
from fogsdk.wire.messages import Birth, Gone, Refused, Task, TaskInfo

BIG = TaskInfo("big", weight="heavy")
QUICK = TaskInfo("quick", weight="light")


def to(commands: list[Command]) -> list[str]:
    """The nodes that a task goes to."""
    return [each.topic.split("/")[4] for each in commands if isinstance(each, Send) and isinstance(each.message, Task)]


def refused_for_want_of_a_cloud(client: Client) -> list[Command]:
    """Hand in a heavy task, which the only node refuses."""
    client.handle(LinkUp("a"), 0)
    client.handle(NodeHeard("a", "n0", Birth(1, "fog", 2, (BIG,))), 0)
    assert to(client.handle(Submit(Task("t1", "big", b"")), 0)) == ["n0"]
    return client.handle(Replied("a", Refused("t1", "n0", "no-cloud", "there never was a bridge")), 1)


def test_a_node_that_was_started_while_the_bridge_was_away_is_asked_again() -> None:
    """The device has seen the bridge, and so knows better than the node."""
    client = Client("home", "dev")
    client.handle(LinkUp("a"), 0)
    client.handle(NodeHeard("a", "bridge", Birth(1, "cloud", 2, (BIG,))), 0)
    client.handle(NodeHeard("a", "bridge", Gone(1)), 0)
    assert refused_for_want_of_a_cloud(client) == []
    deadline = client.deadline()
    assert deadline is not None
    assert to(client.handle(Tick(), deadline)) == ["n0"]


def test_where_no_bridge_was_ever_seen_the_refusal_is_final() -> None:
    [settled] = refused_for_want_of_a_cloud(Client("home", "dev"))
    assert isinstance(settled, Settled)


@pytest.mark.parametrize("node", ["n0", "n1"])
def test_a_node_that_was_started_anew_is_known_for_what_it_is_now(node: str) -> None:
    """Whichever of two it is, it gets the tasks that only it offers since then."""
    client = Client("home", "dev")
    client.handle(LinkUp("a"), 0)
    for each in ("n0", "n1"):
        client.handle(NodeHeard("a", each, Birth(1, "fog", 2)), 0)
    client.handle(NodeHeard("a", node, Birth(2, "fog", 2, (BIG,))), 0)
    assert to(client.handle(Submit(Task("t1", "big", b"")), 0)) == [node]


def test_what_a_node_asked_for_in_an_earlier_life_is_dropped_and_the_rest_is_not() -> None:
    """It would run for nobody: whoever gave it to that node has it run elsewhere. When half of a queue is of that kind,
    everything waits twice as long, and more nodes die meanwhile."""
    node = Node(Identity("n0", "home", tasks={"quick": QUICK}))
    node.handle(LinkUp("a"), 0)
    node.handle(NodeHeard("a", "n1", Birth(1, "fog", 2, (QUICK,))), 0)
    started = node.handle(Asked("a", "n1", Task("t1", "quick", b"", via=("n1",))), 0)
    [job] = [each.job for each in started if isinstance(each, Start)]
    node.handle(Asked("a", "dev", Task("t1", "quick", b"")), 0)
    assert len(node.held) == 2
    node.handle(NodeHeard("a", "n1", Gone(1)), 10)
    assert len(node.held) == 2, "it may only be out of reach"
    again = node.handle(NodeHeard("a", "n1", Birth(2, "fog", 2, (QUICK,))), 20)
    assert Stop(job) in again
    assert list(node.held) == [("dev", "t1")]
