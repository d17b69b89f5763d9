"""``fog load``: sends what it says, when it says, and counts every outcome for what it is."""

from __future__ import annotations

import argparse
import csv
import itertools
import json
import random
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from fogsdk.cli import load
from fogsdk.cli.loadgen import Kind, arrivals, schedule
from fogsdk.demo.load import work
from fogsdk.errors import ConfigError
from tests.cli.site import Site, Terminal


def parse(*words: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    load.add_arguments(parser)
    return parser.parse_args(words)


def run(site: Site, *words: str, code: int = 0) -> dict[str, dict[str, Any]]:
    """What ``fog load --json`` reports, by class."""
    done = site.fog("load", "--json", "--seconds", "1", *words)
    assert done.returncode == code, done.stderr
    return {each["class"]: each for each in json.loads(done.stdout)["classes"]}


# ---------------------------------------------------------------- the plan


def test_the_preset_is_the_known_workload() -> None:
    light, middle = load.plan(parse("--workload", "fogcomputing"))
    assert (light.label, light.milliseconds, light.deadline) == ("light", 1.0, 0.2)
    assert (middle.label, middle.milliseconds, middle.deadline) == ("middle", 1400.0, 2.0)
    assert sum(1 for _ in arrivals(light.rate, 60, None)) == 200
    assert sum(1 for _ in arrivals(middle.rate, 60, None)) == 40


def test_what_is_said_overrides_the_preset_and_scale_multiplies_all() -> None:
    words = ("--workload", "fogcomputing", "--light", "1/s", "--heavy", "6/min", "--middle", "0", "--scale", "3")
    kinds = load.plan(parse(*words))
    assert [(kind.label, kind.rate) for kind in kinds] == [("light", 3.0), ("heavy", pytest.approx(0.3))]


def test_busy_scales_the_rates_to_a_share_of_the_cores() -> None:
    kinds = load.plan(parse("--workload", "fogcomputing", "--busy", "0.7", "--cores", "2"))
    assert sum(kind.rate * kind.milliseconds / 1000 for kind in kinds) == pytest.approx(1.4)
    assert kinds[0].rate / kinds[1].rate == pytest.approx(5)


@pytest.mark.parametrize("words", [(), ("--light", "1/s", "--busy", "0.5"), ("--light", "0/s")])
def test_options_that_come_to_nothing_are_refused(words: tuple[str, ...]) -> None:
    with pytest.raises(ConfigError):
        load.plan(parse(*words))


@pytest.mark.parametrize("text", ["200", "x/s", "3/day", "-1/s", "nan/s"])
def test_a_rate_has_a_unit(text: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        parse(f"--light={text}")
    assert "--light" in capsys.readouterr().err


def test_fixed_arrivals_are_even_and_poisson_ones_are_not_but_as_many() -> None:
    assert list(arrivals(2.0, 2.0, None)) == [0, 0.5, 1, 1.5]
    moments = list(arrivals(50.0, 100.0, random.Random(1)))
    gaps = [after - before for before, after in itertools.pairwise(moments)]
    assert len(moments) == pytest.approx(5000, rel=0.1)
    assert statistics.stdev(gaps) == pytest.approx(statistics.fmean(gaps), rel=0.1)  # as of an exponential law


def test_chance_is_repeatable_and_one_class_does_not_disturb_another() -> None:
    light, middle = Kind("light", "a", 1, 20.0, 1), Kind("middle", "b", 1, 5.0, 1)
    both = list(schedule([light, middle], 10, seed=7))
    assert both == sorted(both) == list(schedule([light, middle], 10, seed=7))
    assert both != list(schedule([light, middle], 10, seed=8))
    assert [at for at, kind in both if kind == 0] == [at for at, _ in schedule([light], 10, seed=7)]


def test_percentiles_are_of_the_nearest_rank() -> None:
    kind = Kind("light", "a", 1, 1, 1)
    assert kind.percentile(0.5) is None
    kind.latencies = [float(n) for n in range(100, 0, -1)]
    assert [kind.percentile(share) for share in (0.5, 0.95, 0.99, 1.0)] == [50, 95, 99, 100]


def test_the_work_is_as_much_cpu_time_as_it_says() -> None:
    for milliseconds in (1.0, 50.0):
        begin = time.thread_time_ns()
        told = work(milliseconds)
        used = (time.thread_time_ns() - begin) / 1e6
        assert milliseconds <= told <= used < milliseconds + 5


# ---------------------------------------------------------------- on a site


def test_every_task_is_counted_with_its_latency_and_its_node(site: Site) -> None:
    report = run(site, "--light", "20/s", "--middle", "3/s", "--middle-size", "30")
    light, middle = report["light"], report["middle"]
    assert (light["submitted"], light["answered"], light["lost"], light["failed"]) == (20, 20, 0, 0)
    assert (middle["submitted"], middle["answered"]) == (3, 3)
    assert light["in_time"] + light["late"] == 20
    assert 0 < light["p50_ms"] <= light["p95_ms"] <= light["p99_ms"]
    assert middle["p50_ms"] >= 30
    assert sum(light["nodes"].values()) == 20
    assert light["nodes"].keys() <= {"n1", "n2"}


def test_a_task_past_its_deadline_is_late_not_lost(site: Site) -> None:
    light = run(site, "--light", "10/s", "--light-size", "5", "--light-deadline", "0.001")["light"]
    assert (light["answered"], light["in_time"], light["late"], light["lost"]) == (10, 0, 10, 0)
    assert light["in_time_share"] == 0


def test_enforced_deadlines_give_up_what_is_late(start_site: Callable[..., Site]) -> None:
    words = ("--light", "3/s", "--light-size", "3000", "--light-deadline", "0.2", "--enforce-deadlines")
    light = run(start_site("n1"), *words)["light"]
    assert (light["expired"], light["late"], light["answered"], light["lost"]) == (3, 3, 0, 0)


def test_it_sends_on_while_nothing_is_answered_and_counts_the_lost(start_site: Callable[..., Site]) -> None:
    words = ("--light", "10/s", "--light-size", "60000", "--grace", "0.2")
    light = run(start_site("n1"), *words, code=1)["light"]
    assert (light["submitted"], light["answered"], light["lost"]) == (10, 0, 10)


def test_failures_are_told_and_make_exit_code_1(site: Site) -> None:
    done = site.fog("load", "--light", "5/s", "--light-task", "fail", "--seconds", "1")
    assert done.returncode == 1
    assert "5 light: LookupError: 1" in done.stderr
    assert done.stdout.splitlines()[1].split()[:3] == ["light", "5", "0"]


def test_tasks_that_nobody_offers_are_refused_before_anything_is_sent(site: Site) -> None:
    done = site.fog("load", "--light", "5/s", "--light-task", "nothing", "--timeout", "0.5")
    assert (done.returncode, done.stdout) == (3, "")
    assert "no node offers nothing (2 are there)" in done.stderr


def test_the_report_can_go_into_a_csv_file(site: Site, tmp_path: Path) -> None:
    file = tmp_path / "report.csv"
    words = ("--arrivals", "poisson", "--seed", "3", "--csv", str(file))
    done = site.fog("load", "--light", "20/s", "--middle", "2/s", "--middle-size", "1", "--seconds", "1", *words)
    assert done.returncode == 0, done.stderr
    with file.open(newline="") as lines:
        rows = list(csv.DictReader(lines))
    assert [row["class"] for row in rows] == ["light", "middle"]
    assert rows[0]["submitted"] == rows[0]["answered"]
    assert "n" in rows[0]["nodes"]


def test_progress_is_live_on_a_terminal_and_ctrl_c_ends_it(site: Site, open_terminal: Callable[..., Terminal]) -> None:
    terminal = open_terminal("load", "--light", "2/s", url=site.url)
    terminal.wait_for("answered")
    terminal.interrupt()
    assert terminal.wait() == 130
    assert "Traceback" not in terminal.written
