"""Tasks of the bridge's tests. Each run leaves a line in the file that $FOG_TEST_JOURNAL names."""

from __future__ import annotations

import os
import time
from pathlib import Path

from fogsdk import progress, task


def _write(line: str) -> None:
    with Path(os.environ["FOG_TEST_JOURNAL"]).open("a") as journal:
        journal.write(line + "\n")


@task(weight="heavy")
def crunch(name: str, seconds: float = 0.0) -> str:
    """Takes its time, and says when it begins and ends."""
    _write(f"begin {name}")
    until = time.monotonic() + seconds
    while (left := until - time.monotonic()) > 0:
        progress(1 - left / seconds)
        time.sleep(min(0.05, left))
    _write(f"end {name}")
    return f"crunched {name}"


@task(weight="heavy", fallback="fog")
def flexible(name: str) -> str:
    """May run in the fog while there is no cloud."""
    return f"done {name}"


@task(weight="heavy")
def broken() -> None:
    """Raises."""
    raise ValueError("broken in the cloud")


@task(weight="heavy")
def inverted(data: bytes) -> bytes:
    """Every bit turned round."""
    return data.translate(bytes(range(255, -1, -1)))
