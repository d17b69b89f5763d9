"""The same seed is the same run: on every computer, under any PYTHONHASHSEED, with and without the codec."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from fogsdk.sim.campaign import scenario
from fogsdk.sim.trace import Trace
from fogsdk.sim.world import World

ROOT = Path(__file__).parents[2]
STORM = ROOT / "examples" / "storm.toml"


def simulate(*options: str, hash_seed: str) -> dict[str, Any]:
    """Run ``fog sim`` in a process of its own, and return its report."""
    command = [sys.executable, "-m", "fogsdk.cli.main", "sim", "--json", "--faults", str(STORM), *options]
    environ = {**os.environ, "PYTHONHASHSEED": hash_seed, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, env=environ, capture_output=True, text=True, timeout=50, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    said: dict[str, Any] = json.loads(done.stdout)
    return said


@pytest.mark.parametrize("policy", ["predictive", "threshold"])
def test_a_seed_has_one_trace_under_any_hash_seed(policy: str) -> None:
    small = ("--nodes", "8", "--devices", "20", "--minutes", "0.3", "--rate", "60", "--seed", "7", "--policy", policy)
    runs = [simulate(*small, hash_seed=hash_seed) for hash_seed in ("0", "1", "4242")]
    for said in runs:  # these two are of this computer
        del said["decision_us"], said["memory"]
    assert runs[0] == runs[1] == runs[2]
    assert runs[0]["deliveries"] > 1000
    assert simulate(*small, "--codec", hash_seed="7")["hash"] == runs[0]["hash"]


def test_each_delivery_is_counted_at_once() -> None:
    trace = Trace()
    for now in range(5000):
        trace.delivered(now, "n1", "n2 Beat 1")
    assert trace.deliveries == 5000
    trace.digest()
    assert trace.deliveries == 5000


def test_another_seed_is_another_run() -> None:
    hashes = []
    for seed in (1, 2):
        world = World(scenario(seed, 100))
        world.run()
        hashes.append(world.trace.digest())
    assert hashes[0] != hashes[1]
