"""``fog unquarantine``, and what ``fog nodes`` shows of quarantine and of how far a node can be relied on."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from fogsdk.errors import TaskFailed, TaskRefused
from tests.cli.site import Site
from tests.support.waiting import eventually


def nodes(site: Site) -> dict[str, dict[str, Any]]:
    """The nodes of a site by name, as JSON tells of them."""
    return {each["node"]: each for each in json.loads(site.fog("nodes", "--json").stdout)["nodes"]}


def test_a_killer_is_locked_up_shown_and_let_go(start_site: Callable[..., Site]) -> None:
    site = start_site("n1", "n2")
    with site.connect() as fog:
        with pytest.raises(TaskFailed, match="WorkerDied"):
            fog.run("crash", 1, node="n1")
        with pytest.raises(TaskRefused, match="fog unquarantine crash") as refused:
            fog.run("crash", 1, node="n1")
        assert refused.value.reason == "quarantined"
        assert refused.value.retry_after is not None
        assert refused.value.retry_after > 590

        told = nodes(site)
        [label] = told["n1"]["quarantined"]
        assert label.startswith("crash#")
        assert told["n2"]["quarantined"] == []
        [locked] = told["n1"]["report"]["quarantined"]
        assert (locked["task"], "SIGKILL" in locked["why"] or "signal 9" in locked["why"]) == (label, True)
        assert f"n1 does not run {label} for " in site.fog("nodes").stdout

        done = site.fog("unquarantine", "crash")
        assert (done.returncode, done.stdout) == (0, f"{label} may run on n1 again\n")
        with pytest.raises(TaskFailed, match="WorkerDied"):
            fog.run("crash", 1, node="n1")
    lifted = json.loads(site.fog("unquarantine", "--node", "n1", "--json").stdout)
    assert lifted == {"lifted": {"n1": [label]}, "failed": {}}
    nothing = site.fog("unquarantine")
    assert (nothing.returncode, nothing.stdout, nothing.stderr) == (0, "", "nothing was in quarantine\n")


def test_a_node_that_is_not_there_is_named(site: Site) -> None:
    done = site.fog("unquarantine", "--node", "n9")
    assert done.returncode == 1
    assert "n9 did not do it" in done.stderr


def test_the_others_experience_with_a_node_is_shown_and_a_node_that_does_not_answer_all_the_same(
    start_site: Callable[..., Site],
) -> None:
    site = start_site("n1", "n2", "n3")
    assert {name: node["reliability"] for name, node in nodes(site).items()} == {"n1": 1.0, "n2": 1.0, "n3": 1.0}
    site.nodes["n3"].kill()
    eventually(lambda: nodes(site)["n3"]["state"] == "gone")
    told = nodes(site)
    assert told["n3"]["report"] is None
    assert 0.8 < told["n3"]["reliability"] < 0.95
    assert told["n1"]["reliability"] == 1.0
    titles, *rows = site.fog("nodes").stdout.splitlines()
    assert titles.split() == ["NODE", "ROLE", "STATE", "CPU", "MEM", "BUSY", "WAIT", "FAR", "TRUST", "P95"]
    assert len(rows) == 3
    assert "89 %" in rows[2]
