"""Brokers die: nothing is lost, whatever was under way, and whoever was connected finds its way back."""

from __future__ import annotations

import itertools
import socket
import threading
import time
from collections.abc import Callable, Iterator

import pytest

from fogsdk import DeadlineExceeded, Fog
from tests.e2e.journal import Journal
from tests.e2e.site import StartSite, wait_for_nodes
from tests.e2e.trickle import Trickle
from tests.support.processes import Processes
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


@pytest.fixture
def deaf_port() -> Iterator[int]:
    """A port that answers nobody who wants to connect, and does not refuse either: a host that is off."""
    with socket.create_server(("127.0.0.1", 0), backlog=0) as deaf:
        address = deaf.getsockname()
        queue = [socket.socket() for _ in range(4)]  # more than the system keeps waiting
        for each in queue:
            each.setblocking(False)
            each.connect_ex(address)
        yield address[1]
        for each in queue:
            each.close()


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


@pytest.mark.parametrize("frozen", [0, 1], ids=["the device's broker", "the other broker"])
def test_one_of_two_brokers_frozen_loses_nothing_and_stops_nobody_for_long(start_site: StartSite, frozen: int) -> None:
    """As one is whose host lost its power: nobody closes the connection. Thawed, it serves on."""
    site = start_site("n1", "n2", brokers=2)
    broker = site.brokers[frozen]
    with site.connect() as fog:
        wait_for_nodes(fog, "n1", "n2")
        gap = stream(fog, 2.5, (0.5, broker.freeze), (2.0, broker.thaw))
    print(f"the longest gap between two results was {gap * 1000:.0f} ms")
    assert gap < 1.5
    with site.connect(broker.url) as fog:
        wait_for_nodes(fog, "n1", "n2")
        assert fog.run("increment", 1) == 2


def test_two_brokers_frozen_in_turn_lose_nothing(start_site: StartSite) -> None:
    """A broker that was frozen and came back is as good as before."""
    site = start_site("n1", brokers=2)
    first, second = site.brokers
    with site.connect() as fog:
        wait_for_nodes(fog, "n1")
        for broker in (first, second, first):
            gap = stream(fog, 1.5, (0.3, broker.freeze), (1.5, broker.thaw))
            print(f"the longest gap between two results was {gap * 1000:.0f} ms")
            assert gap < 1.5


def test_the_only_broker_frozen_for_a_while_is_waited_for(start_site: StartSite) -> None:
    """There is nowhere else to go: the connection is kept, and used again at once."""
    site = start_site("n1")
    with site.connect() as fog:
        wait_for_nodes(fog, "n1")
        thaw = threading.Timer(2.5, site.broker.thaw)
        thaw.start()
        gap = stream(fog, 3.0, (0.5, site.broker.freeze))
        thaw.join()
    print(f"frozen for 2000 ms, which made a gap of {gap * 1000:.0f} ms")
    assert 1.5 < gap < 3.0
    assert site.nodes["n1"].output.count("connected to") == 1


def test_a_device_whose_process_was_frozen_does_not_blame_its_broker(
    start_site: StartSite, processes: Processes
) -> None:
    site = start_site("n1", brokers=2)
    device = processes.start_python("-c", FROZEN_DEVICE, *site.urls)
    device.wait_for("begun")
    device.freeze()
    threading.Event().wait(1.5)
    device.thaw()
    assert device.wait() == 0
    assert device.output.count("connected to") == 1


FROZEN_DEVICE = """
import logging, sys, fogsdk
logging.basicConfig(level=logging.INFO)
with fogsdk.connect(sys.argv[1:]) as fog:
    future = fog.submit("increment", 1, 3.0)
    print("begun")
    assert future.result() == 2
"""


def test_a_node_whose_process_was_frozen_does_not_blame_its_brokers(start_site: StartSite) -> None:
    site = start_site("n1", brokers=2)
    node = site.nodes["n1"]
    with site.connect() as fog:
        wait_for_nodes(fog, "n1")
        node.freeze()
        future = fog.submit("increment", 1)
        threading.Event().wait(1.5)
        node.thaw()
        assert future.result(10) == 2
    assert "silent" not in node.output


def test_a_large_task_on_its_way_is_no_sign_of_a_dead_broker(start_site: StartSite) -> None:
    """Over a slow link it takes a while, in which the broker says nothing."""
    site = start_site("n1", brokers=2)
    with (
        Trickle(site.brokers[0].port, rate=1_000_000) as first,
        Trickle(site.brokers[1].port, rate=1_000_000) as second,
        site.connect([first.url, second.url]) as fog,
    ):
        wait_for_nodes(fog, "n1")
        begun = time.monotonic()
        assert len(fog.run("give_back", bytes(2_000_000))[0][0]) == 2_000_000
        assert time.monotonic() - begun > 1.5, "the link was not slow"
        assert (first.connections, second.connections) == (1, 0)


def test_a_broker_that_does_not_even_refuse_costs_less_than_a_second(start_site: StartSite, deaf_port: int) -> None:
    """A host that is off: nobody answers the packets that ask for a connection."""
    site = start_site("n1")
    begun = time.monotonic()
    with site.connect([f"mqtt://127.0.0.1:{deaf_port}", site.broker.url]) as fog:
        took = time.monotonic() - begun
        assert fog.run("increment", 1) == 2
    print(f"connected after {took * 1000:.0f} ms")
    assert took < 1.0


def test_deadlines_pass_in_time_while_a_host_that_is_off_is_tried(start_site: StartSite, deaf_port: int) -> None:
    site = start_site()
    with site.connect([site.broker.url, f"mqtt://127.0.0.1:{deaf_port}"]) as fog:
        site.broker.kill()
        begun = time.monotonic()
        futures = [fog.submit("increment", 1, deadline=at / 10) for at in range(2, 12, 3)]
        for at, future in zip(range(2, 12, 3), futures, strict=True):
            assert isinstance(future.exception(5), DeadlineExceeded)
            assert at / 10 - 0.01 <= time.monotonic() - begun < at / 10 + 1.0  # counted in whole milliseconds


def test_a_device_whose_broker_is_frozen_closes_at_once(start_site: StartSite) -> None:
    site = start_site("n1", brokers=2)
    with site.connect(site.broker.url) as fog:
        wait_for_nodes(fog, "n1")
        site.broker.freeze()
        future = fog.submit("increment", 1, deadline=1.0)
        assert isinstance(future.exception(3), DeadlineExceeded)
        begun = time.monotonic()
    assert time.monotonic() - begun < 0.5
    site.broker.thaw()


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
