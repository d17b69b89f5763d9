"""Nodes that serve CoAP are announced, and found by devices that were told no URL."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from pathlib import Path

import pytest

import fogsdk
from fogsdk.device.discovery import find_brokers, find_nodes
from tests.support.ports import free_port
from tests.support.processes import Processes
from tests.support.waiting import eventually

LOOPBACK = "127.0.0.1"


@pytest.fixture
def processes(tmp_path: Path) -> Iterator[Processes]:
    processes = Processes(tmp_path)
    yield processes
    processes.kill()


def test_a_node_without_a_broker_is_found_by_mdns_and_used(
    processes: Processes, monkeypatch: pytest.MonkeyPatch
) -> None:
    site, port = f"test-{secrets.token_hex(4)}", free_port()
    processes.start_python(
        *("-m", "fogsdk.node.main", "--tasks", "tests.e2e.e2e_tasks", "--workers", "1", "--node", "c1"),
        *("--site", site, "--broker", "none", "--coap-port", str(port), "--mdns-interfaces", LOOPBACK),
    ).wait_for("serving CoAP")

    def found() -> list[str]:
        return find_nodes(1.0, site, LOOPBACK)

    assert eventually(found, 20) == [f"coap://{LOOPBACK}:{port}/{site}"]
    assert find_brokers(0.2, site, LOOPBACK) == []
    monkeypatch.delenv("FOG_URL", raising=False)
    with fogsdk.connect(site=site) as fog:
        assert fog.run("increment", 1) == 2
