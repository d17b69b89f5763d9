"""The way to the cloud and back, on real processes: a fog site, the bridge, a core site. Any of them may die."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import fogsdk
from tests.e2e.http_client import Client
from tests.support.broker import Mosquitto
from tests.support.ports import accepts, free_port
from tests.support.processes import Processes, Program
from tests.support.waiting import eventually

TASKS = "tests.cloud.bridge_tasks"


class Cloud:
    """A fog site with one node, a core site with one node, and the bridge, each restartable."""

    def __init__(self, processes: Processes, site: Mosquitto, core: Mosquitto, folder: Path) -> None:
        self.site_broker, self.core_broker = site, core
        self.journal = folder / "journal"
        self.journal.touch()
        self._processes = processes
        self._spool = folder / "spool.db"
        self.core = self.start_core()
        self.bridge = self.start_bridge()
        self.node = self._start("fogsdk.node.main", "--node", "pi", "--tasks", TASKS, "--brokers", site.url)

    def start_core(self, *flags: str) -> Program:
        flags = flags or ("--engine", "pool")
        at = ["--tasks", TASKS, "--brokers", self.core_broker.url, "--workers", "2", *flags]
        return self._start("fogsdk.cloud.main", "core", "--node", "core-1", *at)

    def start_bridge(self) -> Program:
        way = ["--core", self.core_broker.url, "--brokers", self.site_broker.url, "--spool", str(self._spool)]
        return self._start("fogsdk.cloud.main", "bridge", "--node", "bridge", *way)

    def _start(self, module: str, *arguments: str) -> Program:
        words = ("-m", module, *arguments, "--broker", "none", "--no-mdns")
        return self._processes.start_python(*words, environ={"FOG_TEST_JOURNAL": str(self.journal)})

    def lines(self, what: str) -> list[str]:
        return [line for line in self.journal.read_text().splitlines() if line == what]

    def wait_for(self, line: str) -> None:
        eventually(lambda: self.lines(line), what=f"{line!r} in the journal")


@pytest.fixture
def cloud(processes: Processes, start_mosquitto: Callable[..., Mosquitto], tmp_path: Path) -> Cloud:
    return Cloud(processes, start_mosquitto(), start_mosquitto(), tmp_path)


@pytest.fixture
def fog(cloud: Cloud) -> Iterator[fogsdk.Fog]:
    with fogsdk.connect(cloud.site_broker.url) as connected:
        eventually(lambda: ready(connected), timeout=20, what="the node and the bridge with its tasks")
        yield connected


def ready(fog: fogsdk.Fog) -> bool:
    nodes = fog.nodes()
    return "pi" in nodes and "bridge" in nodes and any(info.name == "crunch" for info in nodes["bridge"].tasks)


def test_a_heavy_task_runs_at_the_core_site_and_its_trace_names_every_hop(fog: fogsdk.Fog) -> None:
    future = fog.submit("crunch", "a", 0.3)
    seen: list[float] = []
    future.on_progress(seen.append)
    assert future.result(timeout=20) == "crunched a"
    assert future.trace is not None
    assert [(hop.node, hop.action) for hop in future.trace.hops] == [
        ("pi", "sent"),
        ("bridge", "sent"),
        ("core-1", "ran"),
    ]
    assert "cloud" in future.trace.hops[0].why
    assert any(0 < fraction < 1 for fraction in seen), "no progress came through the bridge"


def test_large_data_goes_to_the_cloud_and_back(fog: fogsdk.Fog) -> None:
    """In chunks on each of the three hops, and through the spool."""
    data = bytes(range(256)) * 2**16 * 2
    assert fog.run("inverted", data, deadline=60) == data.translate(bytes(range(255, -1, -1)))


def test_a_failure_in_the_cloud_comes_back_with_its_type_and_traceback(fog: fogsdk.Fog) -> None:
    with pytest.raises(fogsdk.TaskFailed, match="broken in the cloud") as caught:
        fog.run("broken")
    assert caught.value.type == "ValueError"
    assert "bridge_tasks" in caught.value.traceback


def test_a_bridge_killed_with_a_task_under_way_comes_back_to_it_and_it_runs_once(cloud: Cloud, fog: fogsdk.Fog) -> None:
    future = fog.submit("crunch", "once", 1.0)
    cloud.wait_for("begin once")
    cloud.bridge.kill()
    cloud.wait_for("end once")
    cloud.start_bridge()
    assert future.result(timeout=20) == "crunched once"
    assert len(cloud.lines("begin once")) == 1


def test_a_core_node_killed_in_the_middle_of_a_task_does_not_lose_it(cloud: Cloud, fog: fogsdk.Fog) -> None:
    future = fog.submit("crunch", "again", 0.5)
    cloud.wait_for("begin again")
    cloud.core.kill()
    cloud.start_core()
    assert future.result(timeout=20) == "crunched again"


def test_while_the_cloud_is_away_tasks_wait_in_the_spool_or_run_in_the_fog_if_they_may(
    cloud: Cloud, fog: fogsdk.Fog
) -> None:
    cloud.core_broker.kill()
    waiting, data = fog.submit("crunch", "patient"), bytes(range(256)) * 2**14
    large = fog.submit("inverted", data)
    eventually(lambda: fog.run("flexible", "x", deadline=10) == "done x")
    future = fog.submit("flexible", "y")
    assert future.result(timeout=10) == "done y"
    eventually(lambda: ran_in_the_fog(fog), what="the fallback to the fog")
    cloud.bridge.kill()  # the spool alone keeps it now
    cloud.start_bridge()
    assert not waiting.done()
    cloud.core_broker.restart()
    assert waiting.result(timeout=30) == "crunched patient"
    assert large.result(timeout=30) == data.translate(bytes(range(255, -1, -1)))
    assert len(cloud.lines("begin patient")) == 1


def ran_in_the_fog(fog: fogsdk.Fog) -> bool:
    future = fog.submit("flexible", "z")
    future.result(timeout=10)
    return future.trace is not None and future.trace.nodes == ["pi"]


def test_cancelling_reaches_the_core_site(cloud: Cloud, fog: fogsdk.Fog) -> None:
    future = fog.submit("crunch", "never", 30.0)
    cloud.wait_for("begin never")
    assert future.cancel()
    marker = fog.submit("crunch", "after")
    assert marker.result(timeout=20) == "crunched after"
    assert not cloud.lines("end never")


def test_a_deadline_holds_across_the_bridge(fog: fogsdk.Fog) -> None:
    with pytest.raises(fogsdk.DeadlineExceeded):
        fog.run("crunch", "late", 30.0, deadline=1.0)


def test_the_core_site_runs_it_on_a_real_dask_cluster(cloud: Cloud, fog: fogsdk.Fog) -> None:
    cloud.core.terminate()
    cloud.start_core("--engine", "dask-local")
    assert fog.run("crunch", "dask", 0.2, deadline=40) == "crunched dask"


def test_a_bridge_to_nowhere_says_what_is_missing(processes: Processes) -> None:
    program = processes.start_python("-m", "fogsdk.cloud.main", "bridge", "--no-mdns")
    assert program.wait() == 2
    assert "--core mqtts://" in program.output


def test_a_core_node_serves_http_as_any_node_does_and_writes_its_record(processes: Processes, tmp_path: Path) -> None:
    port, record = free_port(), tmp_path / "core.record"
    alone = ("--engine", "pool", "--http-port", str(port), "--broker", "none", "--no-mdns", "--no-keep-journal")
    processes.start_python(
        *("-m", "fogsdk.cloud.main", "core", "--tasks", TASKS, "--record", str(record), *alone),
        environ={"FOG_TEST_JOURNAL": str(tmp_path / "journal")},
    )
    http = Client(port)
    eventually(lambda: accepts(port), what="the core node's HTTP")
    assert http.run("crunch", "over http").value == "crunched over http"
    assert record.stat().st_size > 0
