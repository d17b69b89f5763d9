"""CoAP when datagrams are lost and nodes die: every task has its result, and ran once."""

from __future__ import annotations

import random
import time
from collections import Counter

import pytest

from fogsdk import Fog, FogFuture
from tests.e2e import coap
from tests.e2e.journal import Journal
from tests.e2e.site import Site, StartSite, wait_for_nodes
from tests.support.ports import free_port
from tests.support.udp import LossyWay
from tests.support.waiting import eventually


@pytest.fixture(scope="module")
def url(site: Site) -> str:
    """A node of the module's site that serves CoAP, the only one."""
    return coap.serve(site, "c1")["c1"]


@pytest.mark.parametrize(("loss", "doubles"), [(0.0, 0.5), (0.1, 0.1)])
def test_over_a_bad_network_each_task_runs_once_and_has_its_result(
    site: Site, url: str, journal: Journal, loss: float, doubles: float
) -> None:
    seed = random.randrange(2**32)
    print("seed", seed)
    names = [f"task-{number}" for number in range(30)]
    with (
        LossyWay(int(url.rpartition(":")[2]), loss, doubles, seed) as way,
        site.connect(f"coap://127.0.0.1:{way.port}", timeout=30) as fog,
    ):
        assert list(fog.map("work", [journal.path] * 30, names, [0.01] * 30)) == names
        data = bytes(range(256)) * 64
        assert fog.run("give_back", data) == [[data], {}]
    assert Counter(entry.name for entry in journal.begun()) == Counter(names)


def busy(fog: Fog, journal: Journal, count: int = 6) -> list[FogFuture]:
    """Tasks that take a while, at work on every node that there is."""
    futures = [fog.submit("work", journal.path, f"w{number}", 0.5) for number in range(count)]
    eventually(lambda: {entry.node for entry in journal.begun()} >= fog.nodes().keys(), what="work on every node")
    return futures


def test_when_a_node_is_killed_the_next_one_takes_over_within_seconds(start_site: StartSite, journal: Journal) -> None:
    site = start_site()
    urls = coap.serve(site, "c1", "c2")
    with site.connect(urls["c1"]) as fog:  # of the other one it learns from the first
        wait_for_nodes(fog, "c1", "c2")
        futures = busy(fog, journal)
        site.nodes["c1"].kill()
        killed = time.monotonic()
        assert fog.run("increment", 1) == 2
        assert time.monotonic() - killed < 5
        assert [future.result(20) for future in futures] == [f"w{number}" for number in range(6)]
        eventually(lambda: fog.nodes().keys() == {"c2"})


def test_of_several_urls_the_next_is_taken_when_a_node_is_killed_that_knows_no_other(
    start_site: StartSite, journal: Journal
) -> None:
    first, second = start_site(), start_site()  # without a common broker they do not know each other
    urls = [coap.serve(first, "c1")["c1"], coap.serve(second, "c2")["c2"]]
    with first.connect(urls) as fog:
        wait_for_nodes(fog, "c1")
        future = fog.submit("work", journal.path, "long", 1.0)
        eventually(lambda: journal.begun("long", "c1"))
        first.nodes["c1"].kill()
        assert future.result(20) == "long"
        assert journal.ended("long", "c2")


def test_a_frozen_node_is_noticed_within_seconds(start_site: StartSite, journal: Journal) -> None:
    site = start_site()
    urls = coap.serve(site, "c1", "c2")
    with site.connect(urls["c1"]) as fog:
        wait_for_nodes(fog, "c1", "c2")
        futures = busy(fog, journal)
        site.nodes["c1"].freeze()
        frozen = time.monotonic()
        assert [future.result(20) for future in futures] == [f"w{number}" for number in range(6)]
        assert time.monotonic() - frozen < 10
        site.nodes["c1"].thaw()
        wait_for_nodes(fog, "c1", "c2")  # and it is taken back


def test_a_node_that_is_started_again_is_linked_to_again(start_site: StartSite, journal: Journal) -> None:
    site = start_site()
    flags = ("--coap-port", str(free_port()))
    site.start("c1", flags=flags)
    with site.connect(f"coap://127.0.0.1:{flags[1]}") as fog:
        assert fog.run("increment", 1) == 2
        future = fog.submit("work", journal.path, "long", 1.0)
        eventually(lambda: journal.begun("long"))
        site.nodes["c1"].kill()
        site.start("c1", flags=flags)
        assert future.result(20) == "long"
        assert fog.run("increment", 2) == 3


def test_a_node_that_is_asked_to_end_hands_its_devices_over(start_site: StartSite, journal: Journal) -> None:
    site = start_site()
    urls = coap.serve(site, "c1", "c2")
    with site.connect(urls["c1"]) as fog:
        wait_for_nodes(fog, "c1", "c2")
        futures = busy(fog, journal)
        assert site.nodes["c1"].terminate() == 0
        assert [future.result(20) for future in futures] == [f"w{number}" for number in range(6)]
        eventually(lambda: fog.nodes().keys() == {"c2"}, 2)
        counts = Counter(entry.name for entry in journal.ended())
        assert counts == {f"w{number}": 1 for number in range(6)}  # what had begun was finished there
