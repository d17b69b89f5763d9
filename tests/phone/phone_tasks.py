"""What the nodes of these tests offer to a phone."""

from __future__ import annotations

import os
import time
from pathlib import Path

from fogsdk import progress, task


@task
def mean(values: list[float]) -> float:
    """The arithmetic mean, which takes PHONE_NAP seconds."""
    nap = float(os.environ.get("PHONE_NAP", "0"))
    for step in range(10):
        time.sleep(nap / 10)
        progress(step / 10)
    return sum(values) / len(values)


@task
def nap(seconds: float, number: int, log: str = "") -> int:
    """Sleep, and note in a file that it was done."""
    time.sleep(seconds)
    if log:
        with Path(log).open("a") as file:
            file.write(f"{number}\n")
    return number
