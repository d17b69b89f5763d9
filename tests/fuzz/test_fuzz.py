"""Inputs that nobody would send on purpose do no harm: a small campaign, and some seconds of one led by coverage."""

from __future__ import annotations

import platform
import subprocess
import sys
from pathlib import Path

import pytest

from tests.fuzz.campaign import SHARES, fuzz
from tests.support.fixtures import no_process_is_left

__all__ = ["no_process_is_left"]

INPUTS = 20_000
SEED = 11
SECONDS = 10


@pytest.mark.timeout(150)
def test_a_node_and_a_device_take_any_input_and_answer_whoever_makes_sense(tmp_path: Path) -> None:
    print(f"seed {SEED}")
    finding = fuzz(tmp_path, INPUTS, SEED, limit=90)
    assert not finding.broken
    assert all(finding.inputs[door] > INPUTS * share / 10 for door, share in SHARES.items())
    assert finding.asked >= len(SHARES)


@pytest.mark.timeout(150)
@pytest.mark.skipif(platform.machine() != "x86_64", reason="atheris is published for x86-64 alone")
def test_the_readers_of_the_wire_raise_nothing_but_errors_of_the_wire() -> None:
    command = [sys.executable, "-m", "tests.fuzz.coverage", f"-max_total_time={SECONDS}", f"-seed={SEED}"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=50, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    assert "Done" in done.stderr, done.stderr[-1000:]
