"""The daemon on its own: brokers that it serves, finds and shares, and being found."""

from __future__ import annotations

import os
import resource
import signal
import socket
from pathlib import Path

import psutil
import pytest

import fogsdk
from fogsdk.device import discovery
from fogsdk.node.main import FILES
from tests.support.ports import free_port
from tests.support.processes import Processes, Program
from tests.support.waiting import eventually

LOOPBACK = "127.0.0.1"


class Home:
    """Nodes of one site that are told no broker."""

    def __init__(self, processes: Processes) -> None:
        self._processes = processes
        self.port = free_port()
        self.site = f"home-{self.port}"

    def start(self, name: str, *flags: str, port: int | None = None, cwd: Path | None = None) -> Program:
        where = ["--site", self.site, "--mdns-interfaces", LOOPBACK, "--broker-port", str(port or self.port)]
        what = ["--node", name, "--tasks", "tests.node.pool_tasks", "--workers", "1"]
        return self._processes.start_python("-m", "fogsdk.node.main", *what, *where, *flags, cwd=cwd)


@pytest.fixture
def home(processes: Processes) -> Home:
    return Home(processes)


def test_the_first_node_serves_a_broker_and_the_second_finds_it_by_mdns(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = home.start("one")
    first.wait_for("serving a broker")
    first.wait_for("connected to")
    second = home.start("two", port=free_port())
    second.wait_for("connected to")
    assert "serving a broker" not in second.output
    monkeypatch.delenv("FOG_URL", raising=False)
    with fogsdk.connect(site=home.site) as fog:  # no URL: found by mDNS as well
        eventually(lambda: {"one", "two"} <= fog.nodes().keys(), what="both nodes")


def test_two_nodes_of_one_computer_share_the_broker_that_one_of_them_serves(home: Home) -> None:
    nodes = [home.start("one", "--no-mdns"), home.start("two", "--no-mdns")]
    for node in nodes:
        node.wait_for("connected to")
    with fogsdk.connect(f"mqtt://{LOOPBACK}:{home.port}/{home.site}") as fog:
        eventually(lambda: {"one", "two"} <= fog.nodes().keys(), what="both nodes")


def test_two_nodes_of_one_configuration_share_the_broker_that_it_describes(home: Home, open_folder: Path) -> None:
    port, config = free_port(), open_folder / "mosquitto.conf"
    config.write_text(f"listener {port} {LOOPBACK}\nallow_anonymous true\n")
    for name in ("one", "two"):
        node = home.start(name, "--no-mdns", "--broker-config", str(config))
        node.wait_for(f"connected to mqtt://{LOOPBACK}:{port}")
    assert f"port {port} is taken: what serves there, mqtt://{LOOPBACK}:{port}" in node.output


def test_a_broker_that_cannot_start_is_not_taken_for_a_port_that_is_taken(home: Home, open_folder: Path) -> None:
    """Else the node would go with its login, and its tasks, to whatever serves there."""
    config = open_folder / "mosquitto.conf"
    config.write_text(f"listener {free_port()}\npassword_file {open_folder / 'missing'}\n")
    broken = home.start("one", "--no-mdns", "--broker-config", str(config))
    assert broken.wait() == 1
    assert "Unable to open" in broken.output
    elsewhere = home.start("two", "--no-mdns", "--host", "192.0.2.1", "--insecure-lan")
    assert elsewhere.wait() == 1
    assert "Cannot assign requested address; choose an address of this computer" in elsewhere.output


def test_a_taken_port_where_no_broker_is_is_told_once(home: Home) -> None:
    with socket.create_server((LOOPBACK, home.port)) as taken:
        taken.settimeout(20)
        node = home.start("one", "--no-mdns")
        for _ in range(7):  # it tries for some seconds, and looks each second whether it is to serve one itself
            taken.accept()[0].close()
    assert node.output.count("is taken") == 1


def test_task_modules_are_imported_where_tasks_run_and_not_by_the_daemon(home: Home, tmp_path: Path) -> None:
    """What they take of memory is there once, shared by the workers."""
    (tmp_path / "whose.py").write_text("import os\nwith open('imports', 'a') as file: print(os.getpid(), file=file)\n")
    node = home.start("one", "--no-mdns", "--tasks", "whose", cwd=tmp_path)
    node.wait_for("connected to")
    pids = [int(pid) for pid in (tmp_path / "imports").read_text().split()]
    assert pids
    assert node.pid not in pids


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_a_node_that_still_imports_task_modules(
    home: Home, tmp_path: Path, number: signal.Signals
) -> None:
    (tmp_path / "endless.py").write_text("print('importing'); import threading; threading.Event().wait()\n")
    node = home.start("one", "--no-mdns", "--tasks", "endless", cwd=tmp_path)
    node.wait_for("importing")
    started = psutil.Process(node.pid).children(recursive=True)
    os.kill(node.pid, number)
    assert node.wait() == 0
    assert not [process for process in started if process.is_running()]


@pytest.mark.skipif(not hasattr(resource, "prlimit"), reason="only Linux tells of the limits of another process")
def test_a_node_may_open_more_files_than_it_was_started_with(home: Home) -> None:
    ours, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (256, most))
    try:
        node = home.start("one", "--no-mdns")
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (ours, most))
    node.wait_for("connected to")
    assert resource.prlimit(node.pid, resource.RLIMIT_NOFILE) == (min(most, FILES), most)


def test_a_broker_on_the_loopback_is_announced_on_this_computer_alone(home: Home) -> None:
    home.start("one").wait_for("connected to")

    def found() -> list[str]:
        return discovery.find_brokers(1.0, site=home.site, interface=LOOPBACK)

    assert eventually(found) == [f"mqtt://{LOOPBACK}:{home.port}/{home.site}"]


def test_a_password_is_not_for_an_announced_broker_without_tls_beside_one_with_it(home: Home) -> None:
    home.start("one").wait_for("connected to")
    login = ("--broker", "none", "--username", "two", "--password", "secret")
    node = home.start("two", *login, "--brokers", "mqtts://127.0.0.1:1")
    node.wait_for("has no TLS: it gets no login of this node")
    assert "connected to" not in node.output
    home.start("three", *login).wait_for("connected to")


@pytest.mark.parametrize("killed", [False, True], ids=["at first", "after the broker was killed"])
def test_a_node_reaches_the_broker_that_it_serves_by_a_socket_of_its_own(home: Home, *, killed: bool) -> None:
    node = home.start("one", "--no-mdns", "--broker", "mosquitto")
    node.wait_for("connected to")
    with fogsdk.connect(f"mqtt://{LOOPBACK}:{home.port}/{home.site}") as fog:
        assert fog.run("increment", 1, deadline=20) == 2
        if killed:
            _broker_of(node).kill()
            node.wait_for("lost")
            assert fog.run("increment", 2, deadline=20) == 3
        daemon = psutil.Process(node.pid)
        by_tcp = [each for each in daemon.net_connections("tcp") if str(home.port) in str(each.raddr)]
        by_socket = [each for each in _broker_of(node).net_connections("unix") if str(each.laddr).endswith("/mqtt")]
        assert by_tcp == []
        assert len(by_socket) == 2  # the one that listens, and the node's
    assert "TCP_NODELAY" not in node.output, "mosquitto says so of each such connection, to nobody's use"


def test_a_broker_that_is_killed_is_started_again_and_the_node_returns_to_it(home: Home) -> None:
    node = home.start("one", "--no-mdns")
    node.wait_for("connected to")
    with fogsdk.connect(f"mqtt://{LOOPBACK}:{home.port}/{home.site}") as fog:
        eventually(lambda: "one" in fog.nodes(), what="the node")
        broker = eventually(lambda: _broker_of(node))
        broker.kill()
        assert fog.run("increment", 1, deadline=20) == 2
    node.wait_for("started again")


def test_when_the_node_that_served_the_broker_dies_another_serves_one_and_devices_find_it(home: Home) -> None:
    first = home.start("one")
    first.wait_for("connected to")
    second = home.start("two")
    second.wait_for("connected to")
    with fogsdk.connect(f"mqtt://{LOOPBACK}:{home.port}/{home.site}") as fog:
        eventually(lambda: {"one", "two"} <= fog.nodes().keys(), what="both nodes")
        first.kill()
        assert fog.run("increment", 1, deadline=20) == 2
    second.wait_for("serving a broker")


def _broker_of(node: Program) -> psutil.Process:
    return next(child for child in psutil.Process(node.pid).children() if "mosquitto" in child.name())


def test_the_warning_of_an_open_node_comes_at_every_start(home: Home, tmp_path: Path) -> None:
    for _ in range(2):
        node = home.start("one", "--no-mdns", "--host", "0.0.0.0", "--insecure-lan")
        node.wait_for("connected to")
        assert "WARNING" in node.output
        assert "everybody" in node.output
        node.terminate()


def test_without_that_flag_it_does_not_start(home: Home) -> None:
    node = home.start("one", "--no-mdns", "--host", "0.0.0.0")
    assert node.wait() == 2
    assert "insecure_lan" in node.output


WINDOWS = """
import asyncio, os, psutil, subprocess, sys  # these have other modules there
del os.fork
for name in ("fcntl", "pwd", "resource", "termios"):
    sys.modules[name] = None
from fogsdk.node.main import main
sys.exit(main(["--broker", "none", "--brokers", "mqtt://127.0.0.1:1", "--no-mdns", "--no-keep-journal"]))
"""


def test_where_there_is_no_fork_it_says_so(processes: Processes) -> None:
    node = processes.start_python("-c", WINDOWS)
    assert node.wait() == 1
    assert "fognode: the worker pool needs a POSIX system" in node.output
