"""Nodes and devices that are told no address find each other across the network by mDNS."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.e2e.site import wait_for_nodes
from tests.network.site import Site
from tests.support.waiting import eventually

IN_THIS_NETWORK = ("--host", "0.0.0.0", "--insecure-lan")


def test_a_device_and_a_node_that_are_told_nothing_find_the_node_that_serves_a_broker(
    make_site: Callable[..., Site], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("FOG_URL", raising=False)
    site = make_site("n1", "n2", brokers=0)
    server = site.launch("n1", *IN_THIS_NETWORK, "--broker", "mosquitto")
    seeker = site.launch("n2", "--broker", "none")
    server.wait_for("serving a broker")
    seeker.wait_for(f"connected to mqtt://{site.network['n1'].address}:1883")
    with site.connect() as fog:
        wait_for_nodes(fog, "n1", "n2")
        assert fog.run("increment", 1) == 2


def test_where_the_node_that_served_the_broker_is_unplugged_another_serves_one_and_is_found(
    make_site: Callable[..., Site], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its announcement is still in everybody's memory: it is passed over."""
    monkeypatch.delenv("FOG_URL", raising=False)
    site = make_site("n1", "n2", brokers=0)
    site.launch("n1", *IN_THIS_NETWORK).wait_for("serving a broker")
    heir = site.launch("n2", *IN_THIS_NETWORK)
    heir.wait_for(f"connected to mqtt://{site.network['n1'].address}:1883")
    site.network["n1"].pull_cable()
    heir.wait_for("serving a broker")

    def served() -> bool:
        with site.connect(timeout=5) as fog:
            return bool(fog.run("increment", 1, deadline=5) == 2)

    eventually(served, 15)
