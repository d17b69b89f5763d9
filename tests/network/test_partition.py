"""A site falls into two halves: each serves its own users, and once healed they are one site again."""

from __future__ import annotations

import contextlib
import itertools
import queue
from collections.abc import Callable

from fogsdk import Fog
from tests.e2e.journal import Journal
from tests.e2e.rawdevice import RawDevice
from tests.e2e.site import wait_for_nodes
from tests.network.site import Site
from tests.network.users import Users
from tests.support.waiting import eventually

NODES = {"n1", "n2"}


def test_both_halves_of_a_parted_site_serve_their_users_and_agree_once_healed(
    make_site: Callable[..., Site], journal: Journal
) -> None:
    site = make_site("n1", "n2", brokers=2, others=("device", "tablet"))
    site.start("n1", "n2")
    first, second = site.urls
    with (
        site.connect([first, second]) as fog,
        site.connect([second, first], on="tablet") as other,
        site.raw("raw-1", "b1", patience=1.0) as raw,
        site.raw("raw-2", "b2", on="tablet", patience=1.0) as other_raw,
    ):
        wait_for_nodes(fog, *NODES)
        wait_for_nodes(other, *NODES)
        with Users(fog) as users, Users(other) as others:
            site.network.part(("b1", "n1", "device"), ("b2", "n2", "tablet"))
            users.pause(2.0)
            for each in (users, others):
                each.wait_for(10)
            assert takers(raw, "during", journal) == ["n1"] * 5
            assert takers(other_raw, "during", journal) == ["n2"] * 5
            site.network.heal()
            users.pause(0.5)
        for each in (users, others):
            assert each.served.longest_gap < 1.5

        site.wait_until_heard(*NODES)
        numbers = itertools.count()

        def agree() -> bool:
            number = str(next(numbers))
            ran = takers(raw, number, journal) + takers(other_raw, number, journal)
            return len(ran) == 10 and len(set(ran)) == 1

        eventually(agree, what="one node that takes what is for any node, on both brokers")
        assert fog.nodes().keys() == other.nodes().keys() == NODES
        assert {node: birth.incarnation for node, birth in fog.nodes().items()} == {
            node: birth.incarnation for node, birth in other.nodes().items()
        }
        for device in (fog, other):
            eventually(lambda device=device: sharers(device, journal) == NODES, what="work shared again")  # type: ignore[misc]


def takers(device: RawDevice, name: str, journal: Journal) -> list[str]:
    """Publish some tasks for any node, again where no answer comes; returns who ran each of them, once all have one."""
    names = [f"{device.name}-{name}-{number}" for number in range(5)]
    unanswered = dict.fromkeys(names)
    while unanswered:
        tasks = [{"type": "task", "id": id, "name": "work", "args": [journal.path, id, 0.0]} for id in unanswered]
        device.send(tasks)
        with contextlib.suppress(queue.Empty):
            while unanswered:
                for id in device.outcomes(1):
                    unanswered.pop(id, None)
    return [entry.node for each in names for entry in journal.begun(each)]


def sharers(fog: Fog, journal: Journal) -> set[str]:
    """The nodes that had a part of one task."""
    future = fog.submit("add_up", journal.path, list(range(100)), 0.2)
    assert future.result(10) == 4950
    assert future.trace is not None
    return {hop.node for hop in future.trace.hops if hop.action == "ran"}
