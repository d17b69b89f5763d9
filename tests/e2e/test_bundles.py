"""Short calls leave in bundles, and nobody who submits them can tell but by the speed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import CancelledError, wait
from contextlib import suppress

import pytest

from fogsdk import Fog, FogFuture, TaskFailed
from fogsdk.core import bundler
from fogsdk.wire import bundles, codec
from fogsdk.wire.bundles import LONGEST
from fogsdk.wire.messages import Task
from tests.broker.mqtt import Client
from tests.e2e.journal import Journal
from tests.e2e.site import Site, StartSite, wait_for_nodes
from tests.support.waiting import eventually


@pytest.fixture
def spy(site: Site) -> Iterator[Client]:
    """One who hears all tasks on their way."""
    with site.client() as client:
        client.subscribe("fog/v1/+/node/+/task/+")
        yield client


def bundled(spy: Client) -> list[Task]:
    """The bundles that came by so far."""
    messages = [message for _, payload, _ in list(spy.heard.queue) for message in codec.decode(payload)]
    return [message for message in messages if isinstance(message, Task) and message.count > 1]


@pytest.fixture
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    """Notes count as short also on a machine that has much else to do."""
    monkeypatch.setattr(bundler, "LONGEST", 1000.0)


def warm_up(fog: Fog, journal: Journal) -> None:
    """Have the device learn how long notes take."""
    for _ in range(30):
        fog.run("note", journal.path, "first")


def notes(fog: Fog, journal: Journal, odd: dict[int, tuple[float, str]], count: int = 300) -> dict[str, FogFuture]:
    """Submit many notes at once, some of which are ``odd``: how long they take, and what they do."""
    return {
        f"{number}": fog.submit("note", journal.path, f"{number}", *odd.get(number, (0.0, "")))
        for number in range(count)
    }


def test_every_call_has_its_own_result_trace_and_progress(fog: Fog, spy: Client, journal: Journal) -> None:
    for number in range(30):
        assert fog.run("increment", number) == number + 1
    futures = [fog.submit("increment", number) for number in range(3000)]
    assert [future.result(20) for future in futures] == [number + 1 for number in range(3000)]
    eventually(lambda: bundled(spy), what="a bundle")
    for future in futures:
        assert future.trace is not None
        assert [hop.node for hop in future.trace.hops] == ["n1"]
        assert future.progress == 1.0
    ran = sorted(future.trace.hops[0].ran for future in futures if future.trace)
    assert ran[len(ran) // 2] < LONGEST, "that of a call, and not of a bundle"


@pytest.mark.usefixtures("short")
def test_a_call_that_raises_raises_for_its_own_caller_alone(fog: Fog, spy: Client, journal: Journal) -> None:
    warm_up(fog, journal)
    futures = notes(fog, journal, dict.fromkeys(range(7, 300, 50), (0.0, "raise")))
    for name, future in futures.items():
        if int(name) % 50 == 7:
            with pytest.raises(TaskFailed, match=f"LookupError: {name}\n") as caught:
                future.result(20)
            assert "e2e_tasks.py" in caught.value.traceback
        else:
            assert future.result(20) == name
    assert bundled(spy)
    assert set(Counter(entry.name for entry in journal.begun()).values()) == {1, 30}


@pytest.mark.usefixtures("short")
def test_nobody_waits_for_a_call_that_takes_long_and_each_runs_once(fog: Fog, spy: Client, journal: Journal) -> None:
    warm_up(fog, journal)
    futures = notes(fog, journal, {100: (1.5, "")})
    slow = futures.pop("100")
    done, _ = wait(futures.values(), 20)
    assert len(done) == 299
    assert not slow.done(), "the others were there while it ran"
    assert slow.result(20) == "100"
    assert bundled(spy)
    assert {name: count for name, count in Counter(e.name for e in journal.begun()).items() if count > 1} == {
        "first": 30
    }


@pytest.mark.usefixtures("short")
def test_a_call_that_kills_its_workers_harms_no_other(fog: Fog, spy: Client, journal: Journal) -> None:
    for _ in range(30):
        fog.run("risky", journal.path, "first")
    futures = {f"{n}": fog.submit("risky", journal.path, f"{n}", "die" if n == 50 else "") for n in range(300)}
    deadly = futures.pop("50")
    for name, future in futures.items():
        assert future.result(20) == name
    with pytest.raises(TaskFailed, match="WorkerDied"):
        deadly.result(20)
    assert bundled(spy)
    times = Counter(entry.name for entry in journal.begun())
    assert times.pop("first") == 30
    assert times.pop("50") == 3
    assert set(times.values()) == {1}


@pytest.mark.usefixtures("short")
def test_a_call_is_cancelled_and_the_others_are_not(fog: Fog, journal: Journal) -> None:
    warm_up(fog, journal)
    futures = notes(fog, journal, {})
    cancelled = {name for name in futures if futures[name].cancel()}
    assert all(futures[name].result(20) == name for name in futures.keys() - cancelled)
    futures = notes(fog, journal, {})
    gone = [futures.pop(f"{number}").cancel() for number in range(0, 300, 7)]
    assert all(future.result(20) == name for name, future in futures.items())
    assert len(gone) == 43
    assert fog.run("increment", 1) == 2


@pytest.mark.usefixtures("short")
def test_all_results_come_when_the_node_with_the_bundles_is_killed(start_site: StartSite, journal: Journal) -> None:
    site = start_site("n1", "n2")
    with site.connect() as fog:
        wait_for_nodes(fog, "n1", "n2")
        warm_up(fog, journal)
        futures = notes(fog, journal, {}, 3000)
        eventually(lambda: len(journal.entries) > 300, what="work")
        site.nodes["n1"].kill()
        assert all(future.result(30) == name for name, future in futures.items())


@pytest.mark.usefixtures("short")
def test_what_tells_its_progress_is_heard_from_bundle_or_not(fog: Fog, journal: Journal) -> None:
    for _ in range(30):
        fog.run("tell", 0)
    heard: dict[int, list[float]] = {}
    futures = []
    for number in range(200):
        futures.append(fog.submit("tell", number % 50))
        futures[-1].on_progress(heard.setdefault(number, []).append)
    assert [future.result(20) for future in futures] == [number % 50 for number in range(200)]
    assert all(heard[number] for number in range(49, 200, 50)), heard


@pytest.mark.usefixtures("short")
def test_a_call_that_is_cancelled_while_its_bundle_leaves_is_cancelled(
    fog: Fog, journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As the garbage collector may have it, on the thread that sends: in the middle of that."""
    warm_up(fog, journal)
    futures: dict[str, FogFuture] = {}
    cancelled: list[str] = []
    write = bundles.write

    def write_and_cancel(items: Sequence[bundles.Item]) -> bytes:
        name = next((name for name, future in futures.items() if future.cancel()), "")
        cancelled.append(name)
        return write(items)

    monkeypatch.setattr(bundles, "write", write_and_cancel)
    for number in range(1000):
        futures[f"{number}"] = fog.submit("note", journal.path, f"{number}")
    for name, future in futures.items():
        with suppress(CancelledError):
            assert future.result(20) == name
    assert any(cancelled)
    counts = Counter(entry.name for entry in journal.begun())
    assert counts.pop("first") == 30
    assert set(counts.values()) == {1}
