"""Brokers die: nothing is lost, whatever was under way, and whoever was connected finds its way back."""

from __future__ import annotations

import itertools
import os
import signal
import threading
import time
from collections.abc import Callable

import pytest

from fogsdk import Fog
from tests.e2e.journal import Journal
from tests.e2e.site import StartSite, wait_for_nodes
from tests.support.waiting import eventually


def stream(fog: Fog, seconds: float, *events: tuple[float, Callable[[], None]]) -> float:
    """Keep 16 light tasks going for a while, check every result, and let events happen each at its time.

    Returns the longest gap between two results, in seconds.
    """
    begun = last = time.monotonic()
    longest = 0.0
    due = list(events)
    results = fog.map("increment", itertools.count(), itertools.repeat(0.005), in_flight=16)
    for number, result in enumerate(results):
        assert result == number + 1
        now = time.monotonic()
        longest = max(longest, now - last)
        if due and now - begun >= due[0][0]:
            due.pop(0)[1]()
        last = time.monotonic()
        if not due and now - begun >= seconds:
            break
    return longest


@pytest.mark.parametrize("killed", [0, 1], ids=["the device's broker", "the other broker"])
def test_one_of_two_brokers_killed_loses_nothing_and_stops_nobody_for_two_seconds(
    start_site: StartSite, killed: int
) -> None:
    """It is started again later: the nodes come back to it, and are found there."""
    site = start_site("n1", "n2", brokers=2)
    broker = site.brokers[killed]
    with site.connect() as fog:
        wait_for_nodes(fog, "n1", "n2")
        gap = stream(fog, 2.5, (0.5, broker.kill), (1.2, broker.start))
    assert gap < 2.0
    with site.connect(broker.url) as fog:
        wait_for_nodes(fog, "n1", "n2")
        assert fog.run("increment", 1) == 2


def test_one_broker_after_the_other_killed_and_started_again_loses_nothing(start_site: StartSite) -> None:
    site = start_site("n1", brokers=2)
    first, second = site.brokers
    with site.connect() as fog:
        wait_for_nodes(fog, "n1")
        assert stream(fog, 0.8, (0.3, first.kill), (0.6, first.start)) < 2.0
        eventually(lambda: site.nodes["n1"].output.count(f"connected to {first.url}") == 2, what="n1 on its broker")
        assert stream(fog, 0.8, (0.3, second.kill), (0.6, second.start)) < 2.0


def test_a_broker_that_hangs_is_given_up_for_the_other(start_site: StartSite) -> None:
    """As one does whose host lost its power: nobody closes the connection."""
    site = start_site("n1", brokers=2)
    with site.connect() as fog:
        wait_for_nodes(fog, "n1")
        os.kill(site.broker.pid, signal.SIGSTOP)
        begun = time.monotonic()
        assert fog.run("increment", 1) == 2
        assert time.monotonic() - begun < 10


def test_three_seconds_without_any_broker_lose_nothing(start_site: StartSite, journal: Journal) -> None:
    """What runs goes on, what is done waits for its way back, what is handed in meanwhile is sent later."""
    site = start_site("n1")
    with site.connect() as fog:
        names = [f"before-{number}" for number in range(8)]
        before = [fog.submit("work", journal.path, name, 0.2) for name in names]
        eventually(journal.begun)
        site.broker.kill()
        meanwhile = [fog.submit("increment", number) for number in range(20)]
        threading.Event().wait(3.0)  # how long the broker is away is the point here
        assert not any(future.done() for future in meanwhile)
        site.broker.start()
        assert [future.result(10) for future in before] == names
        assert [future.result(10) for future in meanwhile] == list(range(1, 21))
        assert fog.run("increment", 1) == 2
    assert [entry.name for entry in journal.ended()].count("before-0") == 1


def test_a_node_that_finds_the_broker_a_moment_after_its_device_is_not_taken_for_silent(
    start_site: StartSite, journal: Journal
) -> None:
    """The device asks for its task as soon as the node is there, and does not pass the node over."""
    site = start_site("n1")
    with site.connect() as fog:
        future = fog.submit("work", journal.path, "long", 0.5)
        eventually(journal.begun)
        site.broker.kill()
        site.nodes["n1"].freeze()
        eventually(lambda: "reconnecting" in repr(fog))
        site.broker.start()
        fog.wait_connected(5)
        threading.Event().wait(0.78)  # what a node may need that was told to wait before it tries again
        site.nodes["n1"].thaw()
        wait_for_nodes(fog, "n1")
        assert future.result(2) == "long"


def test_a_deadline_passes_while_no_broker_is_there(start_site: StartSite) -> None:
    site = start_site("n1")
    with site.connect() as fog:
        site.broker.kill()
        late = fog.submit("increment", 1, deadline=0.5)
        assert "DeadlineExceeded" in repr(late.exception(2))


def test_a_device_that_closes_without_a_broker_is_not_kept(start_site: StartSite) -> None:
    site = start_site("n1")
    fog = site.connect()
    site.broker.kill()
    future = fog.submit("increment", 1)
    begun = time.monotonic()
    fog.close()
    assert time.monotonic() - begun < 2.0
    assert future.cancelled()
