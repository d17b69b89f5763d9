"""mqtt.js of npm, as a page in a browser uses it: over websockets, in MQTT 3.1.1 and in 5."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.docs.readme import ROOT
from tests.e2e.site import Site
from tests.support.broker import Mosquitto
from tests.support.ports import free_port
from tests.support.processes import Processes

PROGRAM = Path(__file__).parent / "mqttjs.mjs"
NPM = ROOT / "build" / "npm"


@pytest.fixture(scope="module")
def port(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """The port for websockets of a broker with a node."""
    folder, port = tmp_path_factory.mktemp("site"), free_port()
    with Site(folder, brokers=0) as site:
        site.brokers = [Mosquitto(folder, f"listener {port} 127.0.0.1", "protocol websockets")]
        site.start("n1")
        yield port


@pytest.mark.parametrize("version", ["4", "5"], ids=["MQTT 3.1.1", "MQTT 5"])
def test_tasks_from_javascript_are_settled(port: int, version: str, processes: Processes) -> None:
    program = processes.start("node", PROGRAM, NPM, str(port), version)
    assert program.wait() == 0, program.output
    assert [json.loads(line) for line in program.output.splitlines()] == [
        ["result", 42],
        ["result", [["gr\u00fc\u00df", None, [1.5]], {}]],
        ["failed", "LookupError"],
        ["refused", "unknown-task"],
        ["result", 2],
    ]
