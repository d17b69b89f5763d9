"""A node that is asked to end leaves in good order: nothing that it holds is lost, and everybody knows."""

from __future__ import annotations

import json
import os
import signal
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from fogsdk.wire import codec, topics
from fogsdk.wire.messages import Gone
from tests.e2e.journal import NODE_VARIABLE, Journal
from tests.e2e.rawdevice import RawDevice
from tests.e2e.site import TASKS, WITH_SIGHUP, StartSite, wait_for_nodes
from tests.support.ports import free_port
from tests.support.processes import Processes
from tests.support.waiting import eventually


def test_sigterm_finishes_what_runs_hands_over_what_waits_and_says_gone(
    start_site: StartSite, journal: Journal
) -> None:
    """And what is handed in meanwhile runs on the other node."""
    site = start_site("n1", "n2")
    with site.connect() as fog, ThreadPoolExecutor(1) as thread:
        wait_for_nodes(fog, "n1", "n2")
        names = [f"task-{number}" for number in range(10)]
        futures = [fog.submit("work", journal.path, name, 0.4) for name in names]
        eventually(lambda: len(journal.begun(node="n1")) == 2, what="work on n1")
        leaving = thread.submit(site.nodes["n1"].terminate)
        eventually(lambda: "leaving" in site.nodes["n1"].output, what="the leaving")
        meanwhile = fog.submit("work", journal.path, "meanwhile", 0.0)
        assert meanwhile.result(10) == "meanwhile"
        assert leaving.result(10) == 0
        assert [future.result(10) for future in futures] == names
    assert len(journal.begun()) == len(names) + 1, "something ran twice"
    assert len(journal.ended(node="n1")) == len(journal.begun(node="n1")) == 2
    assert [entry.node for entry in journal.begun("meanwhile")] == ["n2"]
    assert "Traceback" not in site.nodes["n1"].output
    with site.client() as client:
        client.subscribe(topics.birth("home", "n1"))
        _, payload, retained = client.next()
        [word] = codec.decode(payload)
        assert isinstance(word, Gone)
        assert retained


def test_a_plain_mqtt_device_is_told_that_the_node_leaves(start_site: StartSite, journal: Journal) -> None:
    site = start_site("n1")
    with RawDevice(site.broker.port, "raw") as device, ThreadPoolExecutor(1) as thread:
        tasks = [
            {"type": "task", "id": str(number), "name": "work", "args": [journal.path, str(number), 0.5]}
            for number in range(4)
        ]
        device.send_bytes(json.dumps(tasks).encode(), "n1")
        eventually(lambda: len(journal.begun()) == 2)
        leaving = thread.submit(site.nodes["n1"].terminate)
        outcomes = device.outcomes(4)
        assert leaving.result(10) == 0
    for id in ("2", "3"):
        assert (outcomes[id]["type"], outcomes[id]["reason"]) == ("refused", "leaving")
        assert outcomes[id]["retry_after"] > 0
    assert [outcomes[id]["value"] for id in ("0", "1")] == ["0", "1"]


def test_a_terminal_that_is_closed_says_so_twice_and_does_not_cut_short_what_runs(
    start_site: StartSite, journal: Journal, processes: Processes, tmp_path: Path
) -> None:
    site = start_site()
    flags = ("--tasks", TASKS, "--node", "n1", "--brokers", site.broker.url, "--broker", "none", "--no-mdns")
    node = processes.start_python("-c", WITH_SIGHUP, "SIG_DFL", *flags, environ={NODE_VARIABLE: "n1"}, cwd=tmp_path)
    with site.connect() as fog:
        future = fog.submit("work", journal.path, "long", 1.0)
        eventually(lambda: bool(journal.begun("long")), what="the task to begin")
        os.kill(node.pid, signal.SIGHUP)
        node.wait_for("leaving: what runs has")
        os.kill(node.pid, signal.SIGHUP)
        assert future.result(10) == "long"
        assert node.wait() == 0
    assert "leaving at once" not in node.output
    assert len(journal.begun("long")) == 1


def test_what_does_not_finish_in_time_is_handed_over(start_site: StartSite, journal: Journal) -> None:
    site = start_site("n2")
    site.start("n1", flags=["--drain-timeout", "300ms"])
    with site.connect() as fog:
        wait_for_nodes(fog, "n1", "n2")
        futures = [fog.submit("work", journal.path, f"task-{number}", 1.0) for number in range(4)]
        eventually(lambda: len(journal.begun(node="n1")) == 2)
        begun = time.monotonic()
        assert site.nodes["n1"].terminate() == 0
        assert time.monotonic() - begun < 2.0
        assert [future.result(10) for future in futures] == [f"task-{number}" for number in range(4)]
    assert not journal.ended(node="n1")


def test_a_second_signal_ends_it_at_once(start_site: StartSite, journal: Journal) -> None:
    site = start_site("n1")
    node = site.nodes["n1"]
    with site.connect() as fog:
        future = fog.submit("work", journal.path, "long", 30.0)
        eventually(journal.begun)
        for expected in ("leaving: ", "leaving at once"):
            os.kill(node.pid, signal.SIGTERM)
            eventually(lambda expected=expected: expected in node.output)  # type: ignore[misc]
        assert node.wait(5) == 0
        eventually(lambda: not fog.nodes(), what="the end of n1")
        assert future.cancel()


@pytest.mark.parametrize("broker", ["killed", "never there"])
def test_sigterm_without_a_broker_ends_it_in_order(start_site: StartSite, broker: str) -> None:
    site = start_site()
    if broker == "killed":
        site.start("n1")
        node = site.nodes["n1"]
        site.broker.kill()
        node.wait_for("cannot connect")
    else:
        node = site.launch("--node", "n1", "--brokers", f"mqtt://127.0.0.1:{free_port()}")
        node.wait_for("cannot connect")
    assert "nothing listens there" in node.output
    assert node.terminate(5) == 0
    assert "rror" not in node.output.replace("Unspecified error", "")
