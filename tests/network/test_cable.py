"""A cable is pulled: nobody closes a connection, and still nobody waits for long."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable

from fogsdk import Fog, FogFuture
from tests.e2e.journal import Journal
from tests.e2e.site import wait_for_nodes
from tests.network.site import Site
from tests.network.users import Users
from tests.support.waiting import eventually

MakeSite = Callable[..., Site]
SECONDS = 0.3
"""What one task of middle weight takes."""


def hand_in(fog: Fog, journal: Journal, count: int) -> list[FogFuture]:
    """Hand in so many tasks of middle weight, named by their numbers."""
    return [fog.submit("work", journal.path, f"task-{number}", SECONDS) for number in range(count)]


def at_work(journal: Journal, node: str) -> bool:
    """Whether a node has begun something that it has not ended."""
    return len(journal.begun(node=node)) > len(journal.ended(node=node))


def test_a_node_whose_cable_is_pulled_costs_its_users_less_than_a_second(make_site: MakeSite, journal: Journal) -> None:
    site = make_site("n1", "n2")
    site.start("n1", "n2")
    with site.connect() as fog:
        wait_for_nodes(fog, "n1", "n2")
        undisturbed = finished(hand_in(fog, journal, 4))
        eventually(lambda: not at_work(journal, "n1"))

        futures = hand_in(fog, journal, 4)
        eventually(lambda: at_work(journal, "n1"), what="work on n1")
        site.network["n1"].pull_cable()
        disturbed = finished(futures)
        print(f"four tasks: undisturbed {undisturbed:.3f} s, with the cable pulled {disturbed:.3f} s")
        assert disturbed < undisturbed + 1.5

        site.network["n1"].plug_in()
        known = len(journal.begun(node="n1"))
        eventually(lambda: finished(hand_in(fog, journal, 4)) and len(journal.begun(node="n1")) > known, what="n1 back")


def finished(futures: list[FogFuture]) -> float:
    """Check four results; returns the seconds until the last of them was there."""
    begun = time.monotonic()
    assert [future.result(15) for future in futures] == [f"task-{number}" for number in range(len(futures))]
    return time.monotonic() - begun


def test_a_broker_whose_cable_is_pulled_stops_nobody_for_long_where_there_is_another(make_site: MakeSite) -> None:
    """And when the cable is back, so are the nodes."""
    site = make_site("n1", "n2", brokers=2)
    site.start("n1", "n2")
    broker = site.network["b1"]
    with site.connect() as fog:
        wait_for_nodes(fog, "n1", "n2")
        with Users(fog) as users:
            broker.pull_cable()
            users.pause(3.0)
            users.wait_for(10)
        assert users.served.longest_gap < 1.5
    broker.plug_in()
    with site.connect(site.urls[0], timeout=15) as fog:
        wait_for_nodes(fog, "n1", "n2")
        assert fog.run("increment", 1) == 2


def test_the_device_whose_cable_is_pulled_has_all_its_results_when_it_is_back(
    make_site: MakeSite, journal: Journal
) -> None:
    """What ran meanwhile is not run again."""
    site = make_site("n1", "n2")
    site.start("n1", "n2")
    with site.connect() as fog:
        wait_for_nodes(fog, "n1", "n2")
        futures = hand_in(fog, journal, 4)
        eventually(lambda: len(journal.begun()) == 4)
        site.network["device"].pull_cable()
        eventually(lambda: len(journal.ended()) == 4)
        site.network["device"].plug_in()
        finished(futures)
    assert set(Counter(entry.name for entry in journal.begun()).values()) == {1}
