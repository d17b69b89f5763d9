"""The fognode command: what it says, and how it ends, when something about its settings is wrong."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from tests.e2e.site import WITH_SIGHUP
from tests.support.ports import free_port
from tests.support.processes import Processes, Program


def fognode(processes: Processes, folder: Path, *flags: str) -> Program:
    return processes.start_python("-m", "fogsdk.node.main", *flags, cwd=folder)


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--workers", "0"], ["workers", "whole number of at least 1"]),
        (["--node", "My Node"], ["node", "a-z, 0-9"]),
        (["--brokers", "http://pi-1"], ["brokers", "mqtt://host:port"]),
        (["--broker", "none", "--no-mdns"], ["no broker can be reached", "set brokers"]),
        (["--task-timeout", "soon"], ["task-timeout", "duration"]),
        (["--password", "secret"], ["password", "set username"]),
        (["--host", "0.0.0.0"], ["host", "insecure_lan = true"]),
        (["--colour", "red"], ["--colour"]),
        (["--config", "missing.toml"], ["missing.toml"]),
    ],
)
def test_wrong_settings_end_it_with_2_and_a_word_on_what_is_right(
    processes: Processes, tmp_path: Path, flags: list[str], words: list[str]
) -> None:
    node = fognode(processes, tmp_path, *flags)
    assert node.wait() == 2
    for word in words:
        assert word in node.output
    assert "Traceback" not in node.output
    assert "secret" not in node.output


def test_a_task_module_that_cannot_be_imported_ends_it_with_1_and_its_name(
    processes: Processes, tmp_path: Path
) -> None:
    (tmp_path / "broken_tasks.py").write_text("import module_that_nobody_has\n")
    for module, problem in (
        ("missing_tasks", f"No module named 'missing_tasks'; is it in this folder, {tmp_path}, or installed?"),
        ("broken_tasks", "No module named 'module_that_nobody_has'\n"),
        ("broken_tasks.py", "; give it as Python names it: broken_tasks\n"),
        ("./broken_tasks.py", "; give it as Python names it: broken_tasks, from its folder"),
    ):
        node = fognode(processes, tmp_path, "--tasks", module, "--brokers", "mqtt://127.0.0.1")
        assert node.wait() == 1
        assert f"cannot import the task module '{module}'" in node.output
        assert problem in node.output
        assert "Traceback" not in node.output


@pytest.mark.parametrize("flag", ["--ca", "--password-file"])
def test_a_file_that_cannot_be_read_ends_it_with_1_and_its_name(
    processes: Processes, tmp_path: Path, flag: str
) -> None:
    url = f"mqtts://127.0.0.1:{free_port()}"
    node = fognode(processes, tmp_path, "--brokers", url, "--username", "n1", "--no-mdns", flag, "missing.file")
    assert node.wait() == 1
    assert "missing.file" in node.output
    assert "Traceback" not in node.output


def test_a_node_without_tasks_says_so_and_what_was_forgotten(processes: Processes, tmp_path: Path) -> None:
    node = fognode(processes, tmp_path, "--brokers", f"mqtt://127.0.0.1:{free_port()}", "--no-mdns")
    node.wait_for("no task modules were named, as with --tasks mytasks")
    node.wait_for(": 0 tasks")
    assert node.terminate() == 0
    assert "the node has left" in node.output


WITHOUT_ZEROCONF = """
import sys
sys.modules["zeroconf"] = None
from fogsdk.node.main import main
sys.exit(main())
"""


def test_where_a_library_of_the_daemon_is_missing_it_says_what_to_install(processes: Processes, tmp_path: Path) -> None:
    node = processes.start_python("-c", WITHOUT_ZEROCONF, cwd=tmp_path)
    assert node.wait() == 1
    assert 'pip install "fogsdk[node]"' in node.output
    assert "Traceback" not in node.output


@pytest.mark.parametrize("disposition", ["SIG_DFL", "SIG_IGN"])
def test_a_node_whose_terminal_is_closed_leaves_unless_nohup_had_it_ignored(
    processes: Processes, tmp_path: Path, disposition: str
) -> None:
    flags = ("--brokers", f"mqtt://127.0.0.1:{free_port()}", "--no-mdns")
    node = processes.start_python("-c", WITH_SIGHUP, disposition, *flags, cwd=tmp_path)
    node.wait_for(": 0 tasks")
    status = Path(f"/proc/{node.pid}/status").read_text()
    [ignored] = [int(line.split()[1], 16) for line in status.splitlines() if line.startswith("SigIgn:")]
    assert bool(ignored & 1 << signal.SIGHUP - 1) == (disposition == "SIG_IGN")
    os.kill(node.pid, signal.SIGHUP if disposition == "SIG_DFL" else signal.SIGTERM)
    assert node.wait() == 0
    assert "the node has left" in node.output
