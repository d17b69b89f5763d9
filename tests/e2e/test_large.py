"""Large data: it gets there and back, over links that break, under its deadline, in bounded memory, and past it small
tasks go on."""

from __future__ import annotations

import hashlib
import random
import statistics
import time
from collections.abc import Iterator
from concurrent.futures import CancelledError
from pathlib import Path

import numpy as np
import psutil
import pytest

import fogsdk
from fogsdk import DeadlineExceeded, Fog, TaskRefused
from tests.e2e.site import Site, StartSite, wait_for_nodes
from tests.e2e.trickle import Trickle
from tests.support.processes import Processes
from tests.support.waiting import eventually

TASKS = "tests.e2e.e2e_tasks,tests.e2e.large_tasks"
MIB = 2**20
RATE = 20 * MIB
"""Bytes a second of the slow link."""


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A broker and the nodes n1 and n2 with the tasks on large data."""
    with Site(tmp_path_factory.mktemp("site")) as site:
        site.start("n1", "n2", flags=("--tasks", TASKS))
        yield site


def data(mib: float) -> bytes:
    return random.Random(int(mib)).randbytes(int(mib * MIB))


def peak(pid: int) -> int:
    """The most memory that a process ever had resident, in bytes."""
    status = Path(f"/proc/{pid}/status").read_text()
    return 1024 * next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM"))


def test_what_is_just_over_the_inline_limit_comes_back(fog: Fog) -> None:
    for size in (262_140, 262_144, 262_145, 300_000, 1_000_000):
        argument = random.Random(size).randbytes(size)
        assert fog.run("echo", argument) == argument


def test_64_mib_come_back(fog: Fog) -> None:
    argument = data(64)
    assert fog.run("echo", argument, deadline=60) == argument


def test_large_arrays_come_back(fog: Fog) -> None:
    array = np.arange(6_000_000, dtype="f8").reshape(3, -1)
    result = fog.run("echo", {"array": array, "n": 1}, deadline=60)
    assert (result["array"] == array).all()
    result["array"][0] = 0


def test_a_task_is_shared_in_large_parts(fog: Fog) -> None:
    """Its arguments are cut on one node, and the parts travel to the other and back in chunks."""
    wait_for_nodes(fog, "n1", "n2")
    argument = data(24)
    future = fog.submit("inverted", argument, deadline=60)
    assert future.result() == bytes(255 - byte for byte in argument[:1000]) + argument[1000:].translate(
        bytes(range(255, -1, -1))
    )
    assert future.trace
    assert {hop.node for hop in future.trace.hops if hop.action == "ran"} == {"n1", "n2"}


def test_256_mib_take_a_bounded_amount_of_memory(site: Site, tmp_path: Path) -> None:
    """In the device twice the data, its own copy included; in a node less than the data itself."""
    size = 256 * MIB - 1024 * 1024
    before = {name: peak(node.pid) for name, node in site.nodes.items()}
    device = Processes(tmp_path)
    try:
        program = device.start_python("-m", "tests.e2e.large_device", site.urls[0], "digest", str(size // MIB))
        assert program.wait(120) == 0, program.output
    finally:
        device.kill()
    said, grown = program.output.split()
    assert said == hashlib.blake2b(bytes(range(256)) * (size // 256)).hexdigest()
    assert int(grown) * 1024 < 2.3 * size
    for name, node in site.nodes.items():
        assert peak(node.pid) - before[name] < size


def test_a_worker_keeps_nothing_of_a_large_task(site: Site, fog: Fog) -> None:
    fog.run("echo", data(64), deadline=60)

    def resting() -> int:
        nodes = [psutil.Process(node.pid) for node in site.nodes.values()]
        workers = [each for node in nodes for each in node.children(recursive=True)]
        return max(each.memory_info().rss for each in workers)

    eventually(lambda: resting() < 64 * MIB + 40 * MIB, what="workers that have given their memory back")


def test_a_link_that_breaks_in_the_middle_goes_on_where_it_was(site: Site) -> None:
    """Upload and download: far less than the data travels twice."""
    argument = data(32)
    with Trickle(site.broker.port, 2 * RATE) as link, site.connect(link.url) as fog:
        wait_for_nodes(fog, "n1", "n2")
        future = fog.submit("digest", argument, deadline=120)
        for share in (0.3, 0.6):
            eventually(lambda share=share: link.passed > share * len(argument), what="a part of it under way")  # type: ignore[misc]
            link.cut()
        assert future.result() == hashlib.blake2b(argument).hexdigest()
        assert link.connections == 3
        assert link.passed < 1.4 * len(argument)


def test_a_slow_link_carries_no_byte_twice(site: Site) -> None:
    """Where what is under way at first takes seconds, in which it is asked again and again how far it is."""
    argument = data(0.5)
    with Trickle(site.broker.port, 150_000) as link, site.connect(link.url) as fog:
        wait_for_nodes(fog, "n1", "n2")
        assert fog.run("digest", argument, deadline=30) == hashlib.blake2b(argument).hexdigest()
        assert link.passed < 1.2 * len(argument)


def test_a_node_that_is_stopped_delivers_its_large_result(start_site: StartSite) -> None:
    site = start_site()
    with Trickle(site.broker.port, RATE) as link:
        node = site.launch("--node", "n1", "--brokers", link.url)
        with site.connect() as fog:
            future = fog.submit("zeros", 32 * MIB)
            eventually(lambda: link.passed > 8 * MIB, what="a part of the result")
            assert node.terminate() == 0
            assert future.result(5) == bytes(32 * MIB)


def test_a_broker_that_is_killed_in_the_middle_costs_little(start_site: StartSite) -> None:
    site = start_site(brokers=2)
    site.start("n1", flags=("--tasks", TASKS))
    argument = data(32)
    with (
        Trickle(site.brokers[0].port, RATE) as first,
        Trickle(site.brokers[1].port, RATE) as second,
        site.connect([first.url, second.url]) as fog,
    ):
        wait_for_nodes(fog, "n1")
        future = fog.submit("digest", argument, deadline=120)
        eventually(lambda: first.passed > 0.5 * len(argument), what="half of it under way")
        site.brokers[0].kill()
        assert future.result() == hashlib.blake2b(argument).hexdigest()
        assert second.passed < 0.8 * len(argument)


def test_a_node_that_is_killed_in_the_middle_is_followed_by_another(start_site: StartSite) -> None:
    site = start_site()
    site.start("n1", flags=("--tasks", TASKS))
    argument = data(24)
    with Trickle(site.broker.port, RATE) as link, site.connect(link.url) as fog:
        wait_for_nodes(fog, "n1")
        future = fog.submit("digest", argument, deadline=120)
        eventually(lambda: link.passed > 0.4 * len(argument), what="a part of it under way")
        site.nodes["n1"].kill()
        site.start("n2", flags=("--tasks", TASKS))
        assert future.result() == hashlib.blake2b(argument).hexdigest()
        assert future.trace
        assert [(hop.node, hop.action) for hop in future.trace.hops] == [("n2", "ran"), ("n1", "lost")]


def test_a_deadline_that_passes_during_the_upload_ends_it(site: Site) -> None:
    with Trickle(site.broker.port, 4 * MIB) as link, site.connect(link.url) as fog:
        wait_for_nodes(fog, "n1")
        begun = time.monotonic()
        with pytest.raises(DeadlineExceeded):
            fog.run("digest", data(32), deadline=1.0)
        assert time.monotonic() - begun < 3.0
        _nothing_more_travels(fog, link)


def test_a_task_that_is_cancelled_during_the_upload_ends_it(site: Site) -> None:
    with Trickle(site.broker.port, 4 * MIB) as link, site.connect(link.url) as fog:
        wait_for_nodes(fog, "n1")
        future = fog.submit("digest", data(32))
        eventually(lambda: link.passed > MIB, what="the upload")
        future.cancel()
        with pytest.raises(CancelledError):
            future.result()
        _nothing_more_travels(fog, link)


def _nothing_more_travels(fog: Fog, link: Trickle) -> None:
    before = link.passed
    assert fog.run("increment", 1, deadline=20) == 2  # whatever was under way is there now
    assert link.passed - before < 4 * MIB


def test_small_tasks_do_not_wait_for_large_ones(site: Site) -> None:
    """On one connection, with two large ones on their way to and fro."""
    with site.connect() as fog:
        wait_for_nodes(fog, "n1", "n2")
        large = [fog.submit("echo", data(48), node="n1", deadline=120) for _ in range(2)]
        taken = []
        while not all(future.done() for future in large):
            begun = time.monotonic()
            assert fog.run("increment", 1, node="n2") == 2
            taken.append(time.monotonic() - begun)
        assert [len(future.result()) for future in large] == [48 * MIB] * 2
    assert len(taken) > 10
    assert statistics.median(taken) < 0.15


def test_what_nobody_could_take_is_refused_before_anything_is_sent(site: Site) -> None:
    with Trickle(site.broker.port, RATE) as link, site.connect(link.url) as fog:
        wait_for_nodes(fog, "n1")
        with pytest.raises(TaskRefused, match="unknown-task"):
            fog.run("nobodys", data(8))
        with pytest.raises(TaskRefused, match="the limit is") as caught:
            fog.post("echo", data(17))
        assert caught.value.reason == "too-large"
        assert link.passed < MIB


def test_a_task_on_large_data_is_posted_up_to_the_size_of_a_record(site: Site) -> None:
    with fogsdk.connect(site.urls) as fog:
        argument = data(1)
        assert fog.fetch(fog.post("digest", argument), timeout=30) == hashlib.blake2b(argument).hexdigest()
