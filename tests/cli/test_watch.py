"""``fog watch``: every task of the site as it moves, and why it went where it did."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.cli.site import Site, Terminal
from tests.support.processes import Program
from tests.support.waiting import eventually

ACL = Path(__file__).parents[2] / "broker" / "acl"


def watch(site: Site, *words: str) -> Program:
    """Start watching, and return when it listens."""
    watcher = site.start_fog("watch", *words)
    watcher.wait_for("watching site")
    # It listens once the broker has its subscription: what is sent until then is not seen.
    eventually(lambda: site.fog("run", "same", "early").returncode == 0 and "same" in watcher.output, 20)
    return watcher


def stop(watcher: Program) -> None:
    os.kill(watcher.pid, signal.SIGINT)
    assert watcher.wait() == 130
    assert "Traceback" not in watcher.output


def steps(watcher: Program, name: str) -> list[dict[str, Any]]:
    """What JSON lines tell of a task."""
    whole, _, _ = watcher.output.rpartition("\n")
    lines = [json.loads(line) for line in whole.splitlines() if line.startswith("{")]
    return [line for line in lines if line["name"] == name]


def reaches(watcher: Program, name: str, state: str) -> None:
    """Wait until the watcher has told that a task is in a state."""
    eventually(lambda: state in [step["state"] for step in steps(watcher, name)][-1:], what=f"{name}: {state}")


def test_a_task_is_seen_from_its_sending_to_its_outcome_and_why(site: Site, tmp_path: Path) -> None:
    watcher = watch(site)
    (tmp_path / "gate").touch()
    site.fog("run", "hold", str(tmp_path / "gate"))
    watcher.wait_for(" done ")
    lines = [line for line in watcher.output.splitlines() if " hold " in line]
    assert " sent " in lines[0]
    assert " -> n" in lines[0]
    assert " done " in lines[-1]
    assert " ran: " in lines[-1]  # and the reason of the placement follows
    site.fog("run", "fail", "so be it")
    watcher.wait_for("LookupError: so be it")
    stop(watcher)


def test_json_lines_tell_the_same(site: Site, tmp_path: Path) -> None:
    watcher = watch(site, "--json")
    gate = tmp_path / "gate"
    with site.connect() as fog:
        held = fog.submit("hold", str(gate))
        reaches(watcher, "hold", "running")
        gate.touch()
        held.result(10)
        reaches(watcher, "hold", "done")
        told = steps(watcher, "hold")
        assert [step["state"] for step in told if step["state"] != "accepted"] == ["sent", "running", "done"]
        assert {(step["id"], step["sender"]) for step in told} == {(held.id, fog.name)}
    assert told[0]["node"] == told[-1]["node"]
    assert told[-1]["why"][0].startswith(f"{told[-1]['node']} ran: ")
    assert 0 <= told[0]["time_ms"] <= told[-1]["time_ms"]
    stop(watcher)


def test_a_cancelled_and_a_refused_task_are_told_apart(site: Site, tmp_path: Path) -> None:
    watcher = watch(site, "--json")
    with site.connect() as fog:
        held = fog.submit("hold", str(tmp_path / "gate"))
        eventually((tmp_path / "gate.begun").exists)
        held.cancel()
        reaches(watcher, "hold", "cancelled")
    site.fog("run", "mean")
    reaches(watcher, "mean", "refused")
    assert steps(watcher, "mean")[-1]["detail"].startswith("bad-arguments: ")
    stop(watcher)


def test_measuring_the_distance_of_nodes_is_no_task(site: Site) -> None:
    watcher = watch(site, "--json")
    site.fog("nodes")
    site.fog("run", "same", "late")
    reaches(watcher, "same", "done")
    assert steps(watcher, "?") == []
    stop(watcher)


def test_it_goes_on_when_the_broker_comes_back(start_site: Callable[..., Site]) -> None:
    site = start_site("n1")
    watcher = watch(site, "--json")
    site.broker.restart()
    watcher.wait_for("trying again")
    eventually(lambda: watcher.output.count("watching site") == 2, 20)
    seen = len(steps(watcher, "mean"))

    def mean() -> bool:
        return site.fog("run", "mean", "[1]").returncode == 0

    eventually(lambda: mean() and len(steps(watcher, "mean")) > seen, 20)
    stop(watcher)


def test_an_access_list_that_hides_the_traffic_is_said(start_site: Callable[..., Site], tmp_path: Path) -> None:
    passwords, acl = tmp_path / "passwords", tmp_path / "acl"
    passwords.write_text("phone:secret\nboss:secret\n")
    subprocess.run(["mosquitto_passwd", "-U", passwords], check=True)
    acl.write_text(f"{ACL.read_text()}\nuser boss\ntopic read fog/v1/home/#\n")
    settings = (f"password_file {passwords}", f"acl_file {acl}")
    site = start_site(settings=settings, anonymous=False)
    login = ("--url", site.url.replace("mqtt://", "mqtt://{}:secret@"))
    phone = site.start_fog("watch", login[0], login[1].format("phone"))
    phone.wait_for("hides other senders' tasks from 'phone'")
    boss = site.start_fog("watch", login[0], login[1].format("boss"))
    boss.wait_for("watching site")
    stop(phone)
    stop(boss)
    assert "hides" not in boss.output


def test_on_a_terminal_tasks_move_in_place_and_the_settled_stay(
    site: Site, open_terminal: Callable[..., Terminal], tmp_path: Path
) -> None:
    terminal = open_terminal("watch", url=site.url)
    terminal.wait_for("watching site")
    gate = tmp_path / "gate"
    with site.connect() as fog:
        held = fog.submit("hold", str(gate))
        terminal.wait_for("running")
        gate.touch()
        held.result(10)
    terminal.wait_for(" ran: ")
    terminal.interrupt()
    assert terminal.wait() == 130
