"""What importing the SDK costs: next to nothing until it is used, and then nothing that a device has no use for."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]

MEASURE = """
import json, sys, time

def resident():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * 4096

before, memory, began = set(sys.modules), resident(), time.perf_counter()
{statement}
took, grown = time.perf_counter() - began, resident() - memory
print(json.dumps([took * 1000, grown / 1e6, sorted(set(sys.modules) - before)]))
"""
HEAVY = {"asyncio", "multiprocessing", "sqlite3", "numpy", "aiocoap", "zeroconf", "psutil", "unittest", "pydoc"}


def measure(statement: str) -> tuple[float, float, set[str]]:
    """Milliseconds, megabytes and modules that a statement costs in a new interpreter."""
    command = [sys.executable, "-c", MEASURE.format(statement=statement)]
    environ = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=environ)
    took, grown, modules = json.loads(done.stdout)
    print(f"{statement}: {took:.1f} ms, {grown:.1f} MB, {len(modules)} modules")
    return took, grown, set(modules)


def test_importing_the_sdk_takes_less_than_100_ms_and_12_mb() -> None:
    """It takes a tenth of that; the best of some runs is counted, since others use this machine too."""
    runs = [measure("import fogsdk") for _ in range(5)]
    assert min(took for took, _, _ in runs) < 100
    assert max(grown for _, grown, _ in runs) < 12
    modules = runs[0][2]
    assert len(modules) < 20, sorted(modules)
    assert not modules & {*HEAVY, "ssl", "socket", "paho", "cbor2", "inspect", "logging"}


def test_taking_it_in_use_loads_nothing_that_a_device_has_no_use_for() -> None:
    """No event loop, no database before a ledger is asked for, no processes; ssl comes with paho-mqtt."""
    _, _, modules = measure("import fogsdk; fogsdk.connect")
    assert not modules & HEAVY
    assert not [name for name in modules if name.startswith(("fogsdk.node", "fogsdk.cli", "fogsdk.core.node"))]
    assert len(modules) < 260, len(modules)


def test_a_module_of_tasks_loads_nothing_of_the_device_side() -> None:
    _, _, modules = measure("from fogsdk import progress, task")
    assert not [name for name in modules if name.startswith(("fogsdk.device", "fogsdk.core", "paho"))]
