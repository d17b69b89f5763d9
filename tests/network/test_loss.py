"""Links that lose packets, in one direction or both, or are slow: every task has its one result all the same."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Callable

import pytest

from tests.e2e.journal import Journal
from tests.e2e.site import wait_for_nodes
from tests.network import delay
from tests.network.site import Site
from tests.network.users import Users
from tests.support.waiting import eventually

MakeSite = Callable[..., Site]


@pytest.mark.parametrize("direction", ["from_", "to"])
def test_a_node_that_is_heard_by_nobody_or_hears_nobody_is_done_without(make_site: MakeSite, direction: str) -> None:
    """One-way loss: its connection is up, and everything that it sends, or that is sent to it, is lost."""
    site = make_site("n1", "n2")
    site.start("n1", "n2")
    with site.connect() as fog:
        wait_for_nodes(fog, "n1", "n2")
        with Users(fog) as users:
            site.network.lose(100, **{direction: users.node})
            users.pause(2.0)
            users.wait_for(10)
            site.network.heal()
            users.wait_for(10)
        assert users.served.longest_wait < 3.0


def test_thirty_percent_packet_loss_on_every_link_lose_no_task(make_site: MakeSite, journal: Journal) -> None:
    """Light tasks go on, if slowly, and what takes longer is not lost sight of."""
    site = make_site("n1", "n2")
    site.start("n1", "n2")
    with site.connect() as fog:
        wait_for_nodes(fog, "n1", "n2")
        site.network.lose(30)
        with Users(fog, patience=30.0) as users:
            futures = [fog.submit("work", journal.path, f"task-{number}", 0.3) for number in range(4)]
            users.pause(5.0)
            site.network.heal()  # TCP doubles its pauses: what is worst then takes about as long again
            assert [future.result(15) for future in futures] == [f"task-{number}" for number in range(4)]
        assert users.served.longest_gap < 12.0
    print(f"runs of four tasks: {len(journal.begun())}")


def test_links_of_200_ms_each_way_make_nobody_look_dead(make_site: MakeSite, journal: Journal) -> None:
    """Node and device are each 200 ms from the broker, so that an answer takes 0.8 s; nothing runs twice, once each
    node has answered. (Who hands something to a node for the first time cannot know yet how far away it is: so each has
    workers enough to do all of it, and nothing to hand on to the other.)"""
    site = make_site("n1", "n2", others=("device", "far"))
    far = site.network["far"]
    proxy = site.run(far, sys.executable, delay.__file__, site.network["b1"].address, "1883", "0.2")
    proxy.wait_for("ready")
    urls = [f"mqtt://{far.address}"]
    site.start("n1", "n2", urls=urls, flags=("--workers", "4"))
    with site.connect(urls) as fog:
        wait_for_nodes(fog, "n1", "n2")
        with Users(fog) as users:
            for name in site.nodes:
                eventually(lambda name=name: users.node == name, what=f"an answer of {name}")  # type: ignore[misc]
            futures = [fog.submit("work", journal.path, f"task-{number}", 0.3) for number in range(4)]
            assert [future.result(10) for future in futures] == [f"task-{number}" for number in range(4)]
            users.pause(3.0)
        assert users.served.longest_wait < 3.0
        assert fog.nodes().keys() == {"n1", "n2"}
    assert set(Counter(entry.name for entry in journal.begun()).values()) == {1}
    assert not any("no heartbeat" in node.output for node in site.nodes.values())
