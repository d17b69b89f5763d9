"""The node does over HTTP what its OpenAPI description says: schemathesis makes up requests, right and wrong ones."""

from __future__ import annotations

import json
import re
import urllib.request
from pathlib import Path

import pytest

from fogsdk.node.door_exchange import GRACE
from fogsdk.node.http_answers import STATUS
from fogsdk.node.http_openapi import describe
from tests.support.broker import Mosquitto
from tests.support.ports import free_port
from tests.support.processes import Processes, Program
from tests.support.waiting import eventually
from tests.wire.document import section, tables

SEED = "20"
EXAMPLES = "150"
NOT_HELD = (
    "not_a_server_error",  # 500 is a task that raised; that it is no bug of the node, its schema says
    "positive_data_acceptance",  # whether the arguments fit, the task says, and not the description
    "use_after_free",  # the outcome of a task that was done before it was deleted is kept
)


@pytest.fixture
def url(processes: Processes, mosquitto: Mosquitto) -> str:
    """A node that serves HTTP."""
    port = free_port()
    where = ("--node", "n1", "--brokers", mosquitto.url, "--broker", "none", "--no-mdns", "--http-port", str(port))
    node = processes.start_python("-m", "fogsdk.node.main", "--tasks", "tests.node.openapi_tasks", *where)
    node.wait_for("connected to")
    url = f"http://127.0.0.1:{port}/fog/v1/openapi.json"
    eventually(lambda: '"give_back"' in _read(url), what="the tasks in the description")
    return url


def _read(url: str) -> str:
    with urllib.request.urlopen(url, timeout=10) as response:  # noqa: S310 - it is http, and ours
        return str(response.read().decode())


def _fuzz(processes: Processes, url: str, folder: Path, *more: str) -> Program:
    words = ("--max-examples", EXAMPLES, "--seed", SEED, "--request-timeout", "10")
    kept = ("--generation-database", "none", "--no-color", "--exclude-checks", ",".join(NOT_HELD))
    command = "import sys; from schemathesis.cli import schemathesis; schemathesis(sys.argv[1:])"
    return processes.start_python("-c", command, "run", url, *words, *kept, *more, cwd=folder)


@pytest.mark.timeout(120)
def test_made_up_requests_are_answered_as_the_description_says(processes: Processes, url: str, tmp_path: Path) -> None:
    fuzzer = _fuzz(processes, url, tmp_path, "--phases", "examples,coverage,fuzzing")
    status = fuzzer.wait(100)
    print(fuzzer.output[-6000:])
    assert status == 0
    node = processes.programs[0]
    assert node.running
    assert "bug" not in node.output
    assert "Traceback" not in node.output
    assert node.terminate() == 0


def test_the_description_names_the_tasks_that_are_there(url: str) -> None:
    said = json.loads(_read(url))
    assert said["openapi"].startswith("3.1")
    name = said["paths"]["/fog/v1/tasks/{name}"]["post"]["parameters"][0]
    assert list(name["examples"]) == ["give_back", "refuse_to"]
    assert "security" not in said
    assert describe([], tokens=True)["security"] == [{"token": []}]


def test_the_document_says_which_status_each_outcome_has() -> None:
    [statuses] = [table for table in tables(section("Tasks over HTTP")) if table[0][0] == "`result`"]
    said = {word: status for words, status in statuses for word in re.findall(r"`([a-z-]+)`", words)}
    assert said.pop("result") == "200"
    assert said.pop("elsewhere").startswith("307")
    assert {word: int(status) for word, status in said.items()} == {
        word: status for word, status in STATUS.items() if word not in ("unauthorized", "forbidden", "elsewhere")
    }
    assert f"cancelled {GRACE:g} s later" in " ".join(section("Tasks over HTTP").split())
