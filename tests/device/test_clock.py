"""The device's clock: goes on while the computer sleeps."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

from fogsdk.device.clock import clock

ROOT = Path(__file__).parents[2]


def test_it_is_the_system_s_clock_that_does_not_stop_when_the_system_does() -> None:
    assert sys.platform == "linux", "the tests run here"
    before = time.clock_gettime(time.CLOCK_BOOTTIME) * 1000
    assert before - 1 <= clock() <= time.clock_gettime(time.CLOCK_BOOTTIME) * 1000


def test_a_computer_that_slept_for_a_day_is_a_day_later() -> None:
    """In a namespace in which a day more has passed since it was started than it ran."""
    program = "import time; from fogsdk.device.clock import clock; print(clock() / 1000 - time.monotonic())"
    as_root = [] if os.geteuid() == 0 else ["--user", "--map-root-user"]
    command = ["unshare", *as_root, "--time", "--boottime", "86400", "--fork"]
    done = subprocess.run(
        [*command, sys.executable, "-c", program],
        env={"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=True,
    )
    asleep = time.clock_gettime(time.CLOCK_BOOTTIME) - time.monotonic()
    assert abs(float(done.stdout) - asleep - 86400) < 1
