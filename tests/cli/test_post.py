"""``fog post`` and ``fog fetch``: a receipt out, a receipt in, and the exit codes of ``fog run``."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.cli.site import Site


def test_what_is_posted_here_is_fetched_there_once(site: Site) -> None:
    posted = site.fog("post", "mean", "[1, 2, 3]", "--keep", "15m")
    assert (posted.returncode, posted.stderr) == (0, "")
    receipt = posted.stdout.strip()
    fetched = site.fog("fetch", receipt, "--wait", "20")
    assert (fetched.returncode, fetched.stdout) == (0, "2.0\n")
    again = site.fog("fetch", receipt, "--wait", "20")
    assert (again.returncode, again.stdout) == (3, "")
    assert f"nothing is kept for receipt {receipt}" in again.stderr


def test_json_has_the_receipt_and_the_outcome(site: Site) -> None:
    receipt = json.loads(site.fog("post", "mean", "[1, 3]", "--copies", "2", "--json").stdout)
    assert (receipt["copies"], sorted(receipt["nodes"]), receipt["keep"]) == (2, ["n1", "n2"], 3600.0)
    fetched = json.loads(site.fog("fetch", receipt["id"], "--json", "--leave").stdout)
    assert fetched == {"receipt": receipt["id"], "outcome": "result", "value": 2.0}
    assert json.loads(site.fog("fetch", receipt["id"], "--json").stdout) == fetched


def test_a_result_that_could_not_be_written_is_still_there(site: Site, tmp_path: Path) -> None:
    receipt = site.fog("post", "same", "text").stdout.strip()
    failed = site.fog("fetch", receipt, "--output", str(tmp_path / "missing" / "out.txt"))
    assert failed.returncode == 2
    assert "cannot write" in failed.stderr
    assert site.fog("fetch", receipt, "--output", str(tmp_path / "out.txt")).returncode == 0
    assert (tmp_path / "out.txt").read_text() == "text"


def test_a_task_that_failed_is_exit_code_1_with_its_traceback(site: Site) -> None:
    fetched = site.fog("fetch", site.fog("post", "fail", "no such thing").stdout.strip())
    assert (fetched.returncode, fetched.stdout) == (1, "")
    assert "LookupError: no such thing" in fetched.stderr
    assert "cli_tasks.py" in fetched.stderr


def test_a_result_that_is_not_there_in_time_is_exit_code_4(site: Site, tmp_path: Path) -> None:
    receipt = site.fog("post", "hold", str(tmp_path / "gate")).stdout.strip()
    assert site.fog("fetch", receipt, "--wait", "0.3").returncode == 4
    (tmp_path / "gate").touch()
    assert site.fog("fetch", receipt, "--wait", "20").stdout == "held\n"


def test_a_time_that_is_too_long_is_told_with_the_longest(site: Site) -> None:
    assert "up to 12725d, not '1000000d'" in site.fog("post", "mean", "--keep", "1000000d").stderr


@pytest.mark.parametrize(
    "words",
    [
        ("post", "mean", "--keep", "soon"),
        ("post", "mean", "--copies", "3"),
        ("post", "mean", "--kw", "keep=1"),
        ("fetch", "no-receipt"),
        ("fetch",),
    ],
)
def test_wrong_use_is_exit_code_2(site: Site, words: tuple[str, ...]) -> None:
    done = site.fog(*words)
    assert (done.returncode, done.stdout) == (2, "")
    assert "fog" in done.stderr
    assert "Traceback" not in done.stderr
