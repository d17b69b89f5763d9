"""mosquitto_pub and mosquitto_sub, with JSON: a fog from any shell."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.site import Site
from tests.support.processes import Processes, Program


class Shell:
    """Somebody with mosquitto's own clients; ``name`` is the sender."""

    def __init__(self, site: Site, name: str, processes: Processes) -> None:
        self._port, self._name = str(site.broker.port), name
        self._replies = self._sub(processes)

    def _sub(self, processes: Processes) -> Program:
        words = ("-p", self._port, "-t", f"fog/v1/home/reply/{self._name}", "-d")
        program = processes.start("stdbuf", "-oL", "mosquitto_sub", *words)
        program.wait_for("received SUBACK")
        return program

    def pub(self, message: object, topic: str = "task") -> None:
        """Publish, with a process of its own as a shell does."""
        words = ("-p", self._port, "-t", f"fog/v1/home/{topic}/{self._name}", "-m", json.dumps(message))
        subprocess.run(["mosquitto_pub", *words], check=True, timeout=10)

    def reply(self, id: str, *types: str) -> dict[str, Any]:
        """The reply of one of these types to a task."""
        self._replies.wait_for(f'{{"type":"{types[0]}","id":"{id}"')
        lines = [line for line in self._replies.output.splitlines() if line.startswith("{")]
        return next(said for line in lines if (said := json.loads(line))["id"] == id and said["type"] in types)


@pytest.fixture
def shell(site: Site, processes: Processes, tmp_path: Path) -> Shell:
    return Shell(site, tmp_path.name.replace("_", "-"), processes)


def test_a_task_gets_its_result(shell: Shell) -> None:
    shell.pub({"type": "task", "id": "1", "name": "increment", "args": [41]})
    assert shell.reply("1", "result")["value"] == 42


def test_a_task_for_one_node_with_arguments_of_every_kind(shell: Shell) -> None:
    args: list[object] = [None, True, -1, 0.5, "gr\u00fc\u00df", [], {"a": [1]}]
    message = {"type": "task", "id": "1", "name": "give_back", "args": args, "kwargs": {"key": 1}}
    shell.pub(message, "node/n1/task")
    assert shell.reply("1", "result")["value"] == [args, {"key": 1}]


def test_a_failure_and_a_refusal_are_told_apart(shell: Shell) -> None:
    shell.pub([{"type": "task", "id": "1", "name": "fail", "args": ["no such book"]}, {"type": "task", "id": "2"}])
    assert shell.reply("1", "failed")["message"] == "no such book"
    assert shell.reply("2", "refused")["reason"] == "malformed"


def test_a_long_task_reports_and_is_cancelled(shell: Shell, tmp_path: Path) -> None:
    args = [str(tmp_path / "journal"), "long", 20]
    shell.pub({"type": "task", "id": "1", "name": "work", "args": args}, "node/n1/task")
    assert shell.reply("1", "accepted")["node"] == "n1"
    assert shell.reply("1", "progress")["fraction"] >= 0
    shell.pub({"type": "cancel", "id": "1"}, "node/n1/task")
    assert shell.reply("1", "cancelled") == {"type": "cancelled", "id": "1"}


def test_a_task_is_posted_and_fetched_later(shell: Shell) -> None:
    shell.pub({"type": "task", "id": "1", "name": "increment", "args": [41], "keep": 60000})
    receipt = shell.reply("1", "result")["value"]["receipt"]
    shell.pub({"type": "task", "id": "2", "name": "fog.fetch", "args": [receipt]})
    assert shell.reply("2", "result")["value"] == 42
