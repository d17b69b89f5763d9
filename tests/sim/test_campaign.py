"""A small campaign: no guarantee breaks under any fault. ``make sim`` runs the large one."""

from __future__ import annotations

from collections import Counter

import pytest

from fogsdk.sim import campaign
from fogsdk.sim.plan import KINDS

SEEDS, TASKS = 12, 150


@pytest.mark.timeout(180)  # it computes all the while: beside other work it takes several times as long
def test_a_campaign_breaks_no_guarantee_and_has_every_fault(capsys: pytest.CaptureFixture[str]) -> None:
    faults: Counter[str] = Counter()
    tasks = 0
    for verdict in (campaign.judge(seed, TASKS) for seed in range(1, SEEDS + 1)):
        assert not verdict.broken, f"python -m fogsdk.sim.campaign --seed {verdict.seed} --tasks {TASKS}: {verdict}"
        faults += verdict.faults
        tasks += verdict.tasks
    print(f"{tasks} tasks under {faults.total()} faults")
    assert tasks > SEEDS * TASKS
    assert sorted(faults) == sorted(KINDS)


def test_the_command_runs_its_seeds_in_processes_and_says_what_came_of_them(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert campaign.main(["--seeds", "2", "--tasks", "50", "--jobs", "2"]) == 0
    out = capsys.readouterr().out
    assert "over 2 seeds" in out
    assert "0 seeds failed" in out


def test_seeds_that_had_no_time_are_a_failure_and_said_so(capsys: pytest.CaptureFixture[str]) -> None:
    assert campaign.main(["--seeds", "50", "--tasks", "20", "--jobs", "1", "--limit", "1ms"]) == 1
    assert "had not begun when the time was over" in capsys.readouterr().out
