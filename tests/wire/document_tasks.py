"""The tasks of the conversation in docs/protocol.md."""

import time

from fogsdk import task


@task(weight="light")
def add(a: float, b: float) -> float:
    """Add two numbers."""
    return a + b


@task(weight="light")
def nap(seconds: float) -> None:
    """Sleep."""
    time.sleep(seconds)
