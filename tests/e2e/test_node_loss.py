"""Nodes die, freeze and come back: every task still has its result, once."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import psutil

from fogsdk import Fog, FogFuture
from fogsdk.wire import codec
from fogsdk.wire.messages import Beat, Hop
from tests.broker.mqtt import Client
from tests.e2e.journal import Journal
from tests.e2e.site import Site, StartSite, wait_for_nodes
from tests.support.waiting import eventually


def submit_mixed(fog: Fog, journal: Journal) -> dict[FogFuture, object]:
    """Hand in light and middle tasks; returns their futures, with the results to come."""
    futures: dict[FogFuture, object] = {}
    for number in range(40):
        futures[fog.submit("increment", number, 0.05)] = number + 1
    for number in range(6):
        futures[fog.submit("work", journal.path, f"middle-{number}", 0.3)] = f"middle-{number}"
    return futures


def at_work(journal: Journal, node: str) -> bool:
    """Whether a node has begun something that it has not ended."""
    return len(journal.begun(node=node)) > len(journal.ended(node=node))


def test_all_results_arrive_when_a_node_is_killed_that_holds_light_and_middle_tasks(
    start_site: StartSite, journal: Journal
) -> None:
    site = start_site("n1", "n2")
    with site.connect() as fog:
        wait_for_nodes(fog, "n1", "n2")
        futures = submit_mixed(fog, journal)
        eventually(lambda: at_work(journal, "n1"), what="work on n1")
        site.nodes["n1"].kill()
        for future, result in futures.items():
            assert future.result(15) == result
        traces = [future.trace for future in futures if future.trace]
        assert any(hop == Hop("n1", "lost", "gone") for trace in traces for hop in trace.hops)
        eventually(lambda: fog.nodes().keys() == {"n2"})


def test_only_the_lost_parts_run_again_when_a_neighbour_is_killed(start_site: StartSite, journal: Journal) -> None:
    """And the whole takes less than a second more than undisturbed."""
    site = start_site("n1", "n2")
    with site.connect() as fog, site.client() as client:
        wait_for_nodes(fog, "n1", "n2")
        first, undisturbed = add_up(fog, client, journal)
        assert Counter(hop.node for hop in hops(first, "ran")) == {"n1": 2, "n2": 2}
        known = len(journal.entries)
        second, disturbed = add_up(fog, client, journal, kill_neighbour=site)
        assert disturbed < undisturbed + 1.0

    [split] = hops(second, "split")
    neighbour = "n2" if split.node == "n1" else "n1"
    assert Counter(hop.part for hop in hops(second, "ran")) == {0: 1, 1: 1, 2: 1, 3: 1}
    assert {hop.node for hop in hops(second, "ran")} == {split.node}
    lost = hops(second, "lost")
    assert [hop.node for hop in lost] == [neighbour] * 2
    assert all(hop.part is not None for hop in lost)
    begun = [entry for entry in journal.entries[known:] if entry.what == "begun"]
    again = [name for name, count in Counter(entry.name for entry in begun).items() if count > 1]
    assert set(again) == {entry.name for entry in begun if entry.node == neighbour}
    assert len(begun) == 4 + len(lost)


def add_up(fog: Fog, client: Client, journal: Journal, kill_neighbour: Site | None = None) -> tuple[FogFuture, float]:
    """Run a task in four parts of half a second on two idle nodes; returns its future and the seconds it took.

    If asked to, kill the node that the device has not handed it to, once all parts are at work.
    """
    wait_until_idle(client, "n1", "n2")
    with listening(client, f"fog/v1/home/node/+/task/{fog.name}") as topics:
        known = len(journal.begun())
        begun = time.monotonic()
        future = fog.submit("add_up", journal.path, list(range(100)), 0.5)
        home = topics().split("/")[4]
    if kill_neighbour is not None:
        eventually(lambda: len(journal.begun()) == known + 4, what="four parts at work")
        kill_neighbour.nodes["n2" if home == "n1" else "n1"].kill()
    assert future.result(10) == 4950
    return future, time.monotonic() - begun


@contextmanager
def listening(client: Client, topic: str) -> Iterator[Callable[[], str]]:
    """Within this context, hear one topic: call what it gives for the topic of the next message."""
    client.subscribe(topic)
    yield lambda: client.next()[0]
    client.paho.unsubscribe(topic)


def wait_until_idle(client: Client, *nodes: str) -> None:
    """Wait until the heartbeat of each node has said that it has nothing to do."""
    for node in nodes:
        topic = f"fog/v1/home/node/{node}/beat"
        client.subscribe(topic)
        eventually(lambda topic=topic: is_idle(client, topic), what=f"{node} without work")  # type: ignore[misc]
        client.paho.unsubscribe(topic)


def is_idle(client: Client, topic: str) -> bool:
    heard, payload, _ = client.next()
    [beat] = codec.decode(payload)
    return heard == topic and isinstance(beat, Beat) and beat.running == beat.queued == 0


def hops(future: FogFuture, action: str) -> list[Hop]:
    """What a trace says of one kind of action."""
    assert future.trace is not None
    return [hop for hop in future.trace.hops if hop.action == action]


def test_a_frozen_nodes_tasks_go_elsewhere_and_nothing_comes_twice_when_it_thaws(
    start_site: StartSite, journal: Journal
) -> None:
    site = start_site("n1", "n2")
    with site.connect() as fog:
        wait_for_nodes(fog, "n1", "n2")
        futures = submit_mixed(fog, journal)
        settled: Counter[str] = Counter()
        for future in futures:
            future.add_done_callback(lambda _, id=future.id: settled.update([id]))  # type: ignore[misc]
        eventually(lambda: at_work(journal, "n1"), what="work on n1")
        site.nodes["n1"].freeze()
        for future, result in futures.items():
            assert future.result(15) == result
        site.nodes["n1"].thaw()
        assert fog.run("increment", 1, node="n1", deadline=10) == 2  # by itself a device passes over what just failed
        assert settled == {future.id: 1 for future in futures}
    assert "Traceback" not in site.nodes["n1"].output


def test_a_node_that_freezes_for_a_moment_loses_nothing(start_site: StartSite, journal: Journal) -> None:
    """The only node of its site: there is nobody else to go to."""
    site = start_site("n1")
    with site.connect() as fog:
        futures = [fog.submit("work", journal.path, f"task-{number}", 0.2) for number in range(8)]
        eventually(journal.begun)
        site.nodes["n1"].freeze()
        threading.Event().wait(1.5)  # longer than the device waits for an answer
        site.nodes["n1"].thaw()
        assert [future.result(20) for future in futures] == [f"task-{number}" for number in range(8)]
    runs = Counter(entry.name for entry in journal.begun())
    assert set(runs.values()) == {1}, "it ran again what it had not lost"


def test_a_node_killed_and_started_again_serves_again(start_site: StartSite, journal: Journal) -> None:
    """What it held when it was killed runs after all, without being handed in again."""
    site = start_site("n1")
    with site.connect() as fog:
        futures = [fog.submit("work", journal.path, f"task-{number}", 0.3) for number in range(4)]
        eventually(journal.begun)
        site.nodes["n1"].kill()
        site.start("n1")
        assert [future.result(10) for future in futures] == [f"task-{number}" for number in range(4)]
        assert fog.run("increment", 1) == 2


def test_a_worker_killed_under_a_task_costs_another_try_not_the_task(start_site: StartSite, journal: Journal) -> None:
    site = start_site("n1")
    with site.connect() as fog:
        future = fog.submit("work", journal.path, "tried-twice", 0.3)
        [entry] = eventually(lambda: journal.begun("tried-twice"))
        psutil.Process(entry.pid).kill()
        assert future.result(10) == "tried-twice"
        assert future.trace is not None
        assert [hop.action for hop in future.trace.hops] == ["ran", "lost"]
    assert len(journal.begun("tried-twice")) == 2
