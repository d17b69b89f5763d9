"""Posted tasks and sessions whose home loses its cable: the other node goes on, and both agree when it is back."""

from __future__ import annotations

import time
from collections.abc import Callable

from fogsdk import Fog
from tests.e2e.journal import Journal
from tests.e2e.site import wait_for_nodes
from tests.network.site import Site
from tests.support.waiting import eventually

MakeSite = Callable[..., Site]
PATIENCE = 10.0


def connect(site: Site) -> Fog:
    """A device that sees both nodes, which hear each other's heartbeats."""
    fog = site.connect()
    wait_for_nodes(fog, "n1", "n2")
    site.wait_until_heard("n1", "n2")
    return fog


def test_a_posted_task_whose_home_is_unplugged_is_done_by_its_guardian(make_site: MakeSite, journal: Journal) -> None:
    """When the home is back it has the result, and does not run it again, though the guardian is unplugged then."""
    site = make_site("n1", "n2")
    site.start("n1", "n2")
    with connect(site) as fog:
        receipt = fog.post("work", journal.path, "posted", 0.3)
        home, guardian = receipt.nodes
        eventually(lambda: journal.begun("posted"))
        site.network[home].pull_cable()
        begun = time.monotonic()
        assert fog.fetch(receipt, PATIENCE, forget=False) == "posted"
        waited = time.monotonic() - begun
        print(f"posted task of 0.3 s: fetched {waited:.3f} s after the cable of its home was pulled")
        assert waited < 2.5

        site.network[home].plug_in()
        site.wait_until_heard(home)
        assert fog.fetch(receipt, PATIENCE, forget=False) == "posted"
        runs = len(journal.begun("posted"))
        eventually(lambda: len(journal.ended("posted")) == runs)
        site.network[guardian].pull_cable()
        assert fog.fetch(receipt, PATIENCE) == "posted"
        assert len(journal.begun("posted")) == runs <= 2


def test_a_session_takes_each_step_once_whichever_node_is_unplugged(make_site: MakeSite) -> None:
    site = make_site("n1", "n2")
    site.start("n1", "n2")
    with connect(site) as fog:
        session = fog.session("cart")
        expected, longest = 0, 0.0
        for node in ("n1", "n2", "n1"):
            expected += 1
            assert session.run("count", deadline=PATIENCE) == expected
            site.network[node].pull_cable()
            for _ in range(3):
                expected += 1
                begun = time.monotonic()
                assert session.run("count", deadline=PATIENCE) == expected
                longest = max(longest, time.monotonic() - begun)
            site.network[node].plug_in()
            site.wait_until_heard("n1", "n2")
        print(f"the longest of {expected} steps: {longest:.3f} s")
        assert session.refresh() == expected
        assert longest < 2.5
