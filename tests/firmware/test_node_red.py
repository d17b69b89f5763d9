"""The Node-RED flow of the firmware examples, imported into a real Node-RED without a screen."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.broker.mqtt import Client
from tests.docs.readme import ROOT
from tests.e2e.site import Site, StartSite
from tests.firmware.conftest import HOUSE
from tests.support.ports import free_port
from tests.support.processes import Processes, Program
from tests.support.waiting import eventually

FLOWS = ROOT / "firmware_examples" / "node_red" / "flows.json"
RED = ROOT / "build" / "npm" / "node_modules" / "node-red" / "red.js"
SETTINGS = """
module.exports = { uiHost: "127.0.0.1", disableEditor: true, telemetry: { enabled: false }, logging: {
    console: { level: "info", metrics: false, audit: false } } };
"""

Flows = list[dict[str, Any]]


class NodeRed:
    """Node-RED with the flow imported, and the broker of a site in place of fog.local."""

    def __init__(self, folder: Path, site: Site, processes: Processes) -> None:
        folder.mkdir()
        (folder / "settings.js").write_text(SETTINGS)
        self.url = f"http://127.0.0.1:{free_port()}"
        self.program: Program = processes.start(
            *("node", RED, "--userDir", folder, "--settings", folder / "settings.js"),
            *("--port", self.url.rpartition(":")[2], folder / "flows.json"),
        )
        self.program.wait_for("Started flows", timeout=40)
        flows: Flows = json.loads(FLOWS.read_text())
        for node in flows:
            if node["type"] == "mqtt-broker":
                node["broker"], node["port"] = "127.0.0.1", str(site.broker.port)
        self._ask("/flows", flows)
        self.program.wait_for("Connected to broker: node-red@", timeout=20)

    def click(self, name: str) -> None:
        """Click an inject node."""
        [node] = [node for node in json.loads(FLOWS.read_text()) if node.get("name") == name]
        self._ask(f"/inject/{node['id']}", {})

    def flows(self) -> Flows:
        """The flow as Node-RED has it."""
        with urllib.request.urlopen(f"{self.url}/flows", timeout=10) as answer:  # noqa: S310 -- its own port
            found: Flows = json.load(answer)
        return found

    def _ask(self, path: str, body: object) -> None:
        headers = {"Content-Type": "application/json"}
        request = urllib.request.Request(self.url + path, json.dumps(body).encode(), headers)  # noqa: S310
        urllib.request.urlopen(request, timeout=20).close()  # noqa: S310


@pytest.fixture
def red(tmp_path: Path, processes: Processes) -> Iterator[Callable[[Site], NodeRed]]:
    started: list[NodeRed] = []

    def start(site: Site) -> NodeRed:
        started.append(NodeRed(tmp_path / "node-red", site, processes))
        return started[-1]

    yield start
    for each in started:
        each.program.terminate()


def hear(client: Client, topic: str) -> Any:
    """The next message on a topic, after others perhaps."""
    while True:
        heard, payload, _ = client.next()
        if heard == topic:
            return json.loads(payload)


def test_the_flow_is_imported_and_asks_the_fog(start_site: StartSite, red: Callable[[Site], NodeRed]) -> None:
    """A click, and a message of a sensor; and a task that was sent before there was a node is sent again."""
    site = start_site()
    node_red = red(site)
    assert [node["id"] for node in node_red.flows()] == [node["id"] for node in json.loads(FLOWS.read_text())]
    with site.client("house") as house:
        house.subscribe("house/#")
        node_red.click("ask")
        site.start("n1", flags=HOUSE)
        assert hear(house, "house/forecast") == 27.3
        house.publish("house/porch/celsius", b"30.5")
        assert hear(house, "house/porch/advice") == {"sensor": "porch", "fan": True, "sleep": 60}


def test_what_goes_wrong_is_told(start_site: StartSite, red: Callable[[Site], NodeRed]) -> None:
    site = start_site("n1")  # with other tasks
    node_red = red(site)
    node_red.click("ask")
    eventually(lambda: "unknown-task" in node_red.program.output, what="the refusal")
