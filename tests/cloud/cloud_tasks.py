"""The tasks that only the tests of the Dask engine run; the others are in tests.node.pool_tasks.

What a task did is noted in a file, a line for each time, where a test sees how often and where it ran.
"""

from __future__ import annotations

import os
import time
from pathlib import Path

from fogsdk.tasks import progress, task


@task
def note(notes: str, text: object) -> int:
    """Add a line to the file; return how many it has now."""
    with Path(notes).open("a") as file:
        file.write(f"{text}\n")
    return len(Path(notes).read_text().splitlines())


@task
def wait_for(gate: str, notes: str) -> int:
    """Report 0.5, and run until the file ``gate`` is there; return how often this was begun."""
    begun = note(notes, os.getpid())
    progress(0.5)
    while not Path(gate).exists():
        time.sleep(0.01)
    return begun


@task
def hog() -> None:
    """Stay in C code for minutes, and keep the interpreter from everybody else in the process."""
    pow(3, 200_000_000)


@task
def print_much() -> str:
    """Print more than a pipe holds."""
    print(("x" * 99 + "\n") * 2000)
    return "printed"
