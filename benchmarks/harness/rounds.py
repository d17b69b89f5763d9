"""Rounds: every contender once, then every contender again, so that what the machine does meanwhile hits all alike."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.harness import processes
from benchmarks.peers import Peer

PATIENCE = 60.0
"""Seconds that one contender may take beyond those of its measurements."""


@dataclass(frozen=True)
class Plan:
    """How much is measured: the seconds of each measurement, its calls at the most, how many are outstanding."""

    rounds: int
    seconds: float
    calls: int
    outstanding: int = 256


@dataclass
class Findings:
    """What was found of each contender (by module): one entry for each round, or why there is none."""

    found: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)


def run(peers: list[Peer], plan: Plan, show: Callable[[int, Peer, str], None]) -> Findings:
    """Run all rounds. ``show(round, peer, step)`` is called whenever something begins.

    A contender that fails in one round takes part in the next one all the same.
    """
    processes.adopt()
    findings = Findings()
    for number in range(plan.rounds):
        for peer in peers:
            try:
                found = measure(peer, plan, lambda step, n=number, p=peer: show(n, p, step))  # type: ignore[misc]
                findings.found.setdefault(peer.module, []).append(found)
            except RuntimeError as error:
                findings.failed[peer.module] = str(error)
    return findings


def measure(peer: Peer, plan: Plan, show: Callable[[str], None]) -> dict[str, Any]:
    """Measure one contender once. Raises RuntimeError with its last words if it fails or takes too long."""
    options = {"since": time.monotonic(), "seconds": plan.seconds, "calls": plan.calls, "outstanding": plan.outstanding}
    flags = [word for name, value in options.items() for word in (f"--{name}", str(value))]
    patience = PATIENCE + 2 * len(peer.works) * plan.seconds
    with tempfile.TemporaryFile("w+") as errors, tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o711)  # a mosquitto that root starts becomes a user who has to find its files there
        process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.harness.measure", peer.module, *flags],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
            env=os.environ | {"TMPDIR": folder},  # so that nothing stays behind of one that has to be killed
            start_new_session=True,  # Ctrl-C is for us, who end it with all that came of it
        )
        overdue = threading.Timer(patience, process.kill)
        overdue.start()
        found, step = None, "starting"
        assert process.stdout is not None
        try:
            for line in process.stdout:
                said = json.loads(line)
                found = said.get("found")
                step = said.get("step", step)
                show(step)
            code = process.wait()
        finally:
            overdue.cancel()
            processes.end_descendants()
            process.stdout.close()
        if found is None:
            errors.seek(0)
            raise RuntimeError(_reason(code, step, patience, errors.read()))
    return dict(found)


def _reason(code: int, step: str, patience: float, errors: str) -> str:
    if code < 0:
        return f"not done within {patience:.0f} s; its last step: {step}"
    lines = [line for line in errors.splitlines() if line.startswith("RuntimeError: ")]
    return f"{(lines or ['failed'])[-1].removeprefix('RuntimeError: ')} ({step})"
