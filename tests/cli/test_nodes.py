"""``fog nodes`` and ``fog tasks``: who is there, how busy, how far, and what can be run."""

from __future__ import annotations

import json
import os
import re
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

from fogsdk.wire import codec
from fogsdk.wire.messages import Beat, Birth
from tests.broker.mqtt import Client
from tests.cli.site import Site, Terminal
from tests.support.waiting import eventually


def nodes(site: Site, *words: str) -> dict[str, dict[str, Any]]:
    """The nodes of a site by name, as JSON tells of them."""
    return {each["node"]: each for each in json.loads(site.fog("nodes", "--json", *words).stdout)["nodes"]}


def test_every_node_is_there_with_its_load_and_its_distance(site: Site) -> None:
    told = nodes(site)
    assert list(told) == ["n1", "n2"]
    for node in told.values():
        assert (node["state"], node["role"], node["workers"], node["queued"]) == ("there", "fog", 1, 0)
        assert 0 < node["round_trip_ms"] < 1000
        assert 0 < node["memory"] <= 1
        assert "mean" in node["tasks"]


def test_into_a_pipe_goes_a_plain_table(site: Site) -> None:
    done = site.fog("nodes")
    titles, *rows = done.stdout.splitlines()
    assert titles.split()[:3] == ["NODE", "ROLE", "STATE"]
    assert [row.split()[:3] for row in rows] == [["n1", "fog", "there"], ["n2", "fog", "there"]]
    assert (done.stderr, done.stdout.isascii()) == ("", True)


def test_on_a_terminal_it_has_colours_unless_nobody_wants_them(
    site: Site, open_terminal: Callable[..., Terminal]
) -> None:
    coloured, plain = open_terminal("nodes", url=site.url), open_terminal("nodes", url=site.url, NO_COLOR="1")
    assert (coloured.wait(), plain.wait()) == (0, 0)
    green = "\x1b[32mthere"
    assert green in coloured.written
    assert green not in plain.written
    assert "there" in plain.written


def test_on_a_terminal_of_80_characters_no_heading_and_no_number_is_folded(
    site: Site, open_terminal: Callable[..., Terminal]
) -> None:
    terminal = open_terminal("nodes", url=site.url, COLUMNS="80", NO_COLOR="1")
    assert terminal.wait() == 0
    plain = re.sub(r"\x1b\[[0-9;]*m", "", terminal.written)
    titles, _rule, *rows = [line.rstrip() for line in plain.splitlines() if line.strip()]
    assert all(len(line) <= 80 for line in (titles, *rows))
    assert titles.split() == ["node", "role", "state", "cpu", "mem", "busy", "wait", "far", "trust", "p95"]
    assert [row.split()[0] for row in rows] == ["n1", "n2"]
    assert all("100 %" in row for row in rows)


def test_a_killed_node_is_gone_a_mute_one_silent_and_one_that_ends_draining(
    start_site: Callable[..., Site], tmp_path: Path
) -> None:
    site = start_site("n1", "n2")
    with site.connect() as fog, Client(site.broker.port, "mute") as mute:
        mute.publish("fog/v1/home/node/mute/birth", codec.encode([Birth(1, "fog", 1)]), retain=True)
        held = fog.submit("hold", str(tmp_path / "gate"))
        eventually((tmp_path / "gate.begun").exists)
        running = {name: node["running"] for name, node in nodes(site).items()}
        busy, idle = ("n1", "n2") if running["n1"] else ("n2", "n1")
        assert running == {busy: 1, idle: 0, "mute": None}
        os.kill(site.nodes[busy].pid, signal.SIGTERM)
        site.nodes[idle].kill()
        told = nodes(site)
        states = {name: node["state"] for name, node in told.items()}
        assert states == {busy: "draining", idle: "gone", "mute": "silent"}
        assert told["mute"]["round_trip_ms"] is None
        (tmp_path / "gate").touch()
        assert held.result(10) == "held"


def test_a_bridge_that_does_not_reach_its_core_site_is_told(start_site: Callable[..., Site]) -> None:
    """To who looks at the nodes, and to the doctor."""
    site = start_site()
    with Client(site.broker.port, "bridge") as bridge:
        bridge.publish("fog/v1/home/node/bridge/birth", codec.encode([Birth(1, "cloud", 1)]), retain=True)
        beat = codec.encode([Beat(1, 1, 60_000, uplink=False)])
        bridge.publish("fog/v1/home/node/bridge/beat", beat, retain=True)  # in place of one every 250 ms
        assert "bridge does not reach its core site" in site.fog("nodes").stdout
        assert "wrong  cloud of bridge: " in site.fog("doctor").stdout


def test_a_site_without_nodes_is_no_error_but_said(start_site: Callable[..., Site]) -> None:
    site = start_site()
    done = site.fog("nodes", "--json")
    assert (done.returncode, json.loads(done.stdout)["nodes"]) == (0, [])
    assert "no node was heard on site 'home'" in done.stderr
    assert "no task is offered on site 'home'" in site.fog("tasks").stderr


def test_another_site_on_the_same_broker_is_not_shown(site: Site) -> None:
    assert nodes(site, "--site", "elsewhere") == {}


def test_tasks_are_listed_with_what_is_known_of_them(site: Site) -> None:
    done = site.fog("tasks", "--json")
    told = {task["name"]: task for task in json.loads(done.stdout)["tasks"]}
    assert list(told) == sorted(told)
    mean = told["mean"]
    assert (mean["weight"], mean["version"], mean["split"], mean["nodes"]) == ("light", "1", False, ["n1", "n2"])
    assert mean["signature"].startswith("(values")
    assert mean["summary"] == "The mean of some numbers."
    assert told["load_heavy"]["fallback"] == "fog"
    table = site.fog("tasks").stdout
    assert any(line.startswith("mean(values") and "n1 n2" in line for line in table.splitlines())
