"""``fog chaos``: the plan, what it does to a real site, what it reports, and that nothing of it stays behind."""

from __future__ import annotations

import argparse
import contextlib
import json
import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

import fogsdk
from fogsdk.cli import chaos, chaos_plan
from fogsdk.cli.chaos_plan import Step
from fogsdk.cli.chaos_watch import Service, effect, longest_gap
from fogsdk.errors import ConfigError
from fogsdk.node.chaos_order import Order
from tests.cli.site import Site
from tests.support.waiting import eventually

ALL = ("node", "links", "worker", "workers", "broker")
VICTIMS = {"n1": ALL, "n2": ALL[:-1]}
EXAMPLE = Path(__file__).parents[2] / "examples" / "chaos.toml"
ALLOWED = ("--allow-chaos", "--no-keep-journal")


# ---------------------------------------------------------------- the plan


def test_the_same_seed_draws_the_same_plan_and_another_another() -> None:
    plan = chaos_plan.draw(VICTIMS, 60, 1.0, seed=7)
    assert plan == chaos_plan.draw(dict(reversed(VICTIMS.items())), 60, 1.0, seed=7)
    assert plan != chaos_plan.draw(VICTIMS, 60, 1.0, seed=8)


def test_a_drawn_plan_is_over_in_time_and_never_does_two_things_to_one() -> None:
    seed = random.randrange(2**32)
    print("seed", seed)
    plan = chaos_plan.draw(VICTIMS, 300, 2.0, seed)
    busy: dict[tuple[str, str], float] = {}
    for step in plan:
        order = step.order
        for target in ("node", order.target):
            assert busy.get((step.node, target), 0) <= step.at
        busy[step.node, order.target] = step.at + order.seconds
        assert order.target in VICTIMS[step.node]
        assert Order.read(order.write()) == order
    assert max(busy.values()) <= 300
    assert {step.order.what for step in plan} == {"kill", "freeze", "slow", "drop", "delay"}


def test_the_example_plan_can_be_followed() -> None:
    rules, seconds = chaos_plan.read(EXAMPLE)
    assert seconds == 60
    steps = chaos_plan.follow(rules, VICTIMS, seconds, seed=1)
    assert steps == chaos_plan.follow(rules, VICTIMS, seconds, seed=1)
    assert [step.at for step in steps if step.order.what == "kill" and step.order.target == "node"] == [45, 53]
    assert [step.node for step in steps if step.order.what == "delay"] == ["n1", "n2"]
    assert steps == sorted(steps, key=lambda step: step.at)


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("", "a plan has one or more tables"),
        ("x = ", "cannot read the plan"),
        ('[[disturb]]\nwhat = "kill"\ntarget = "node"', "number 1: it says neither at nor every"),
        ('[[disturb]]\nat = 1\nwhat = "burn"', "what is one of kill, freeze, slow, drop, delay, not 'burn'"),
        ('[[disturb]]\nat = "soon"\nwhat = "drop"', "at is a duration above 0"),
        ('[[disturb]]\nat = 1\nwhat = "drop"\nfor = "1h"', "for is a number from 0 to 300, not 3600.0"),
        ('until = 3\n[[disturb]]\nat = 1\nwhat = "drop"', "a plan has [[disturb]] and for, not until"),
    ],
)
def test_a_plan_that_is_wrong_is_refused_and_the_error_says_where(text: str, complaint: str, tmp_path: Path) -> None:
    file = tmp_path / "plan.toml"
    file.write_text(text)
    with pytest.raises(ConfigError) as caught:
        chaos_plan.read(file)
    assert complaint in str(caught.value)


def test_a_plan_for_what_no_node_has_is_refused() -> None:
    rule = chaos_plan.Rule(Order("kill", "broker"), 1.0, None, "n2")
    with pytest.raises(ConfigError, match="number 1: kill broker for 5 s: n2 does not have that, or does not allow it"):
        chaos_plan.follow([rule], VICTIMS, 10, 1)


def test_one_has_to_say_which_plan(capsys: pytest.CaptureFixture[str]) -> None:
    parser = argparse.ArgumentParser()
    chaos.add_arguments(parser)
    with pytest.raises(SystemExit):
        parser.parse_args(["--for", "10s"])
    assert "--plan --random" in capsys.readouterr().err


# ---------------------------------------------------------------- what users saw


def service(*answers: tuple[float, float]) -> Service:
    """Tasks, by when they were due and when they were answered (seconds)."""
    return Service("users", "a", 0, 1, 1, answers=[(due, (end - due) * 1000) for due, end in answers])


def test_a_gap_is_a_time_in_which_somebody_waited_and_nobody_was_answered() -> None:
    assert longest_gap(service((0, 1), (10, 11))) == 1  # from 1 to 10 nobody wanted anything
    assert longest_gap(service((0, 1), (2, 9), (3, 5))) == 4
    assert longest_gap(service((0, 9), (1, 2), (2, 3), (3, 4))) == 5  # the first still waits
    assert longest_gap(service((0, 1), (2, 9), (3, 5)), begin=0, end=4) == 1
    assert longest_gap(service()) == 0


def test_a_disturbance_is_compared_with_the_time_around_it() -> None:
    seen = effect(service((1, 1.1), (8, 8.2), (10, 11), (12, 12.3), (14, 14.1)), 10, 12)
    assert seen.tasks == 1
    assert (seen.before, seen.during, seen.after) == pytest.approx((200, 1000, 300))
    assert seen.gap == 1


# ---------------------------------------------------------------- on a site


@pytest.fixture(scope="module")
def chaos_site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """Two nodes that allow it, and one that does not: for all of these tests, since nothing stays behind."""
    site = Site(tmp_path_factory.mktemp("chaos"))
    try:
        site.start("n1", "n2", flags=ALLOWED)
        site.start("n3", flags=ALLOWED[1:])
        yield site
    finally:
        for process in lives(site):
            process.kill()
        site.close()


def lives(site: Site) -> list[psutil.Process]:
    """The site's nodes, whichever life they are in."""
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            if site.url in process.cmdline():
                found.append(process)
    return found


def plan(folder: Path, *entries: str) -> str:
    """A file with a plan; returns its path."""
    file = folder / "plan.toml"
    file.write_text("\n".join(f"[[disturb]]\n{entry}" for entry in entries))
    return str(file)


def disturbed(site: Site, *nodes: str) -> list[str]:
    """What is being done to nodes now."""
    with site.connect() as fog:
        eventually(lambda: set(nodes) <= fog.nodes().keys(), 20, what="the nodes")
        asked = [fog.submit("fog.chaos", {"what": "status"}, node=node) for node in nodes]
        return [what for future in asked for what in future.result(10)["now"]]


def frozen(site: Site) -> list[psutil.Process]:
    """The site's processes that stand still."""
    found = []
    for node in lives(site):
        with contextlib.suppress(psutil.Error):  # it ended meanwhile
            processes = (node, *node.children(recursive=True))
            found += [process for process in processes if process.status() == psutil.STATUS_STOPPED]
    return found


def test_a_drawn_plan_is_done_and_nobody_loses_anything(chaos_site: Site) -> None:
    done = chaos_site.fog("chaos", "--random", "--seed", "7", "--for", "5s", "--load", "40/s", "--json")
    assert done.returncode == 0, done.stderr
    assert "n3 does not allow it; it would with: fognode --allow-chaos" in done.stderr
    assert "again with --seed 7" in done.stderr
    report: dict[str, Any] = json.loads(done.stdout)
    tasks = report["tasks"]
    assert (tasks["tasks"], tasks["answered"], tasks["lost"], tasks["doubled"]) == (200, 200, 0, 0)
    assert [(each["at"], each["problem"]) for each in report["disturbances"]] == [
        (step.at, None) for step in steps(report)
    ]
    assert report["away"] == []
    eventually(lambda: not disturbed(chaos_site, "n1", "n2"), what="nodes that nothing is done to")


def steps(report: dict[str, Any]) -> list[Step]:
    targets = ("node", "links", "worker", "workers")
    return chaos_plan.draw({"n1": targets, "n2": targets}, report["seconds"], 1.0, report["seed"])


def test_a_plan_is_followed_and_the_table_tells_of_each_disturbance(chaos_site: Site, tmp_path: Path) -> None:
    file = plan(
        tmp_path,
        'at = 1\nwhat = "freeze"\ntarget = "workers"\nfor = "1s"\nnode = "n2"',
        'every = "1s"\nwhat = "kill"\ntarget = "worker"\nnode = "n1"',
    )
    done = chaos_site.fog("chaos", "--plan", file, "--for", "3s", "--task", "mean", "--args", "[1, 2]")
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[0].split()[:3] == ["AT", "NODE", "WHAT"]
    assert [line.split()[2:5] for line in lines[1:4]] == [
        ["n2", "freeze", "workers"],
        ["n1", "kill", "worker"],
        ["n1", "kill", "worker"],
    ]
    assert lines[-1].split()[:4] == ["60", "60", "0", "0"]
    assert "chaos: over: freeze workers for 1 s" in chaos_site.nodes["n2"].output


def test_a_commander_that_is_killed_leaves_nothing_behind(chaos_site: Site, tmp_path: Path) -> None:
    file = plan(
        tmp_path,
        'at = 0\nwhat = "freeze"\ntarget = "node"\nfor = "3s"\nnode = "n1"',
        'at = 0\nwhat = "freeze"\ntarget = "workers"\nfor = "3s"\nnode = "n2"',
        'at = 0\nwhat = "drop"\nprobability = 1\nfor = "3s"\nnode = "n2"',
    )
    commander = chaos_site.start_fog("chaos", "--plan", file)
    eventually(lambda: len(frozen(chaos_site)) == 3, what="n1, and the workers of n2, standing still")
    commander.kill()
    assert len(frozen(chaos_site)) == 3
    eventually(lambda: not frozen(chaos_site), 6, what="everything going on")
    eventually(lambda: not disturbed(chaos_site, "n1", "n2"), what="nodes that nothing is done to")
    with chaos_site.connect() as fog:
        assert fog.run("mean", [1, 2, 3], deadline=10) == 2


def test_ctrl_c_calls_everything_off_at_once(
    chaos_site: Site, tmp_path: Path, open_terminal: Callable[..., Any]
) -> None:
    file = plan(
        tmp_path,
        'at = 0\nwhat = "freeze"\ntarget = "workers"\nfor = "200s"\nnode = "n1"',
        'at = 0\nwhat = "drop"\nprobability = 1\nfor = "200s"\nnode = "n2"',
    )
    terminal = open_terminal("chaos", "--plan", file, url=chaos_site.url)
    eventually(lambda: len(frozen(chaos_site)) == 2, what="the workers of n1 standing still")
    terminal.wait_for("freeze workers")
    terminal.interrupt()
    assert terminal.wait() == 130
    assert frozen(chaos_site) == []
    eventually(lambda: not disturbed(chaos_site, "n1", "n2"), what="nodes that nothing is done to")


def test_tasks_without_a_result_make_the_exit_code_1(chaos_site: Site) -> None:
    words = ("--random", "--rate", "1/min", "--for", "1s", "--load", "3/s", "--task", "fail", "--args", "so it is")
    done = chaos_site.fog("chaos", *words)
    assert done.returncode == 1
    assert done.stdout.splitlines()[-1].split()[:4] == ["3", "0", "3", "0"]
    assert "3 tasks: LookupError: so it is" in done.stderr


def test_where_no_node_allows_it_nothing_is_done(chaos_site: Site) -> None:
    done = chaos_site.fog("chaos", "--random", "--nodes", "n3")
    assert (done.returncode, done.stdout) == (3, "")
    assert "start one with: fognode --allow-chaos" in done.stderr


def test_only_the_nodes_that_were_named_are_disturbed(chaos_site: Site) -> None:
    done = chaos_site.fog("chaos", "--random", "--nodes", "n2", "--for", "1s", "--rate", "4/s", "--json")
    assert {each["node"] for each in json.loads(done.stdout)["disturbances"]} == {"n2"}
    done = chaos_site.fog("chaos", "--random", "--nodes", "n9")
    assert (done.returncode, "there is no node n9" in done.stderr) == (3, True)


def test_without_the_flag_the_call_does_not_exist(chaos_site: Site) -> None:
    with chaos_site.connect() as fog, pytest.raises(fogsdk.TaskRefused, match=r"no fog\.chaos"):
        fog.run("fog.chaos", {"what": "status"}, node="n3")
