"""How a node starts: fork server first, the rest beside it, and nothing that it has no use for."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from tests.support.ports import free_port
from tests.support.processes import Processes
from tests.support.waiting import eventually

UNTIL_THEN = """
import sys
import fogsdk.node.main
print(*sys.modules)
"""
ARGUMENTS = ["--brokers", "mqtt://127.0.0.1:1", "--broker", "none", "--no-mdns", "--no-keep-journal"]
ALL_OF_IT = f"""
import sys
from fogsdk.node import main
from fogsdk.node.daemon import Daemon
Daemon.serve = lambda self: main.sys.exit(print(*sys.modules))
main.main({ARGUMENTS})
"""
WITHOUT = f"""
import sys
sys.modules["{{missing}}"] = None  # as where it is not installed
from fogsdk.node import main
sys.exit(main.main({ARGUMENTS} + {{more}}))
"""


def loaded(script: str) -> set[str]:
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=60)
    return set(run.stdout.split())


def test_until_the_fork_server_starts_a_node_loads_what_reads_its_settings() -> None:
    """That process imports the tasks; what is loaded before it is started, both have to wait for."""
    modules = loaded(UNTIL_THEN)
    assert "fogsdk.node.config" in modules
    assert not modules & {"asyncio", "logging", "subprocess", "paho", "fogsdk.core", "fogsdk.tasks"}


def test_a_node_loads_nothing_that_it_has_no_use_for() -> None:
    modules = loaded(ALL_OF_IT)
    assert "fogsdk.node.runtime" in modules
    assert not modules & {"zeroconf", "sqlite3", "fogsdk.tasks", "fogsdk.node.broker"}


@pytest.mark.parametrize(
    ("missing", "more", "extra"),
    [("psutil", [], "node"), ("zeroconf", ["--mdns"], "node"), ("aiohttp", ["--http-port", "1"], "doors")],
)
def test_where_a_library_is_missing_it_says_what_to_install(
    missing: str, more: list[str], extra: str, processes: Processes
) -> None:
    node = processes.start_python("-c", WITHOUT.format(missing=missing, more=more))
    assert node.wait() == 1
    assert (
        f'needs more than is installed (import of {missing} halted; None in sys.modules): pip install "fogsdk[{extra}]"'
        in node.output
    )
    assert "Traceback" not in node.output


def test_what_is_found_wrong_while_the_tasks_are_imported_ends_both_processes_at_once(
    processes: Processes, tmp_path: Path
) -> None:
    (tmp_path / "endless.py").write_text("import threading; threading.Event().wait()\n")
    node = processes.start_python(
        *("-m", "fogsdk.node.main", "--tasks", "endless", "--no-mdns", "--ca", "missing.pem"), cwd=tmp_path
    )
    assert node.wait() == 1
    assert "missing.pem" in node.output
    assert "Traceback" not in node.output
    assert not [each for each in psutil.process_iter() if _is_of(each, str(tmp_path))]


def test_a_signal_in_the_midst_of_the_start_ends_both_processes(processes: Processes, tmp_path: Path) -> None:
    where = ("--brokers", f"mqtt://127.0.0.1:{free_port()}", "--no-mdns", "--no-keep-journal")
    for number in (signal.SIGTERM, signal.SIGINT):
        node = processes.start_python("-m", "fogsdk.node.main", "--tasks", "tests.node.pool_tasks", *where)
        own = psutil.Process(node.pid)
        [forkserver] = eventually(own.children, what="the fork server")
        own.send_signal(number)
        assert node.wait() == 0
        assert "Traceback" not in node.output
        gone, _ = psutil.wait_procs([forkserver], timeout=10)
        assert gone


def _is_of(process: psutil.Process, folder: str) -> bool:
    try:
        return process.cwd() == folder
    except psutil.Error:
        return False
