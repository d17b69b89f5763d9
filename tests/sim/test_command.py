"""``fog sim`` as one uses it: reports and pictures, and the replay of what a real node recorded."""

from __future__ import annotations

from pathlib import Path

import pytest

from fogsdk.cli.main import main
from tests.e2e.site import Site, wait_for_nodes
from tests.sim.test_determinism import STORM

SMALL = ("--nodes", "4", "--devices", "6", "--minutes", "0.2", "--rate", "60", "--seed", "3")


def test_a_run_is_reported_with_a_picture_of_it_and_of_each_fault(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["sim", *SMALL, "--faults", str(STORM), "--plots", str(tmp_path)]) == 0
    out = capsys.readouterr().out
    for said in ("light", "P99", "faults: ", "traffic of a node: ", "0 lost, 0 delivered twice"):
        assert said in out
    pictures = sorted(tmp_path.glob("*.png"))
    assert {"run.png", "fault-001"} <= {p.name if p.name == "run.png" else p.name[:9] for p in pictures}
    assert all(picture.read_bytes().startswith(b"\x89PNG") for picture in pictures)


@pytest.mark.parametrize(
    ("option", "said"), [("--minutes", "must be a number above 0 and below"), ("--nodes", "must be a whole number")]
)
def test_wrong_use_is_told_in_words_for_people(option: str, said: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["sim", option, "abc"])
    assert f"argument {option}: {said}" in capsys.readouterr().err


def test_a_plan_that_is_wrong_is_told_what_is_wrong(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    plan = tmp_path / "plan.toml"
    plan.write_text('[[fault]]\nkind = "flood"\n')
    assert main(["sim", *SMALL, "--faults", str(plan)]) == 2
    assert "flood" in capsys.readouterr().err


@pytest.fixture
def recorded(tmp_path: Path) -> Path:
    """What a real node wrote down until it was killed. What only its neighbour offers, it handed over."""
    site = Site(tmp_path)
    record = tmp_path / "n1.record"
    try:
        site.start("n1", flags=("--record", str(record)))
        with site.connect() as fog:
            wait_for_nodes(fog, "n1")
            site.start("n2", flags=("--tasks", "tests.e2e.large_tasks"))
            wait_for_nodes(fog, "n2")
            assert [fog.run("echo", number, node="n1") for number in range(5)] == [0, 1, 2, 3, 4]
            fog.run("fog.report", node="n1")  # it tells what it learned from that
            assert [fog.run("increment", number) for number in range(5)] == [1, 2, 3, 4, 5]
            assert fog.fetch(fog.post("increment", 6)) == 7
            site.nodes["n1"].kill()
    finally:
        site.close()
    return record


def test_what_a_killed_node_recorded_makes_the_same_core_say_the_same_again(
    recorded: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["sim", "--replay", str(recorded)]) == 0
    out = capsys.readouterr().out
    assert "increment" in out
    assert "the core gives the same answers again" in out


def test_a_core_that_answers_otherwise_is_found(
    recorded: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fogsdk.core.presence.BEAT_TTL", 1234)
    assert main(["sim", "--replay", str(recorded)]) == 1
    assert "OTHERWISE" in capsys.readouterr().out
