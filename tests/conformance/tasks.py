"""Tasks that end in every way that there is, beside those of the end-to-end tests."""

from __future__ import annotations

import os
import signal
from typing import Any, NoReturn

from fogsdk import TaskRefused, task


@task
def refuse(reason: str, message: str) -> NoReturn:
    """Refuse, as a task may whose sender is to ask for something else."""
    raise TaskRefused(reason, message)


@task
def table(rows: int, columns: int) -> Any:
    """Return an array of numbers."""
    import numpy as np

    return np.arange(rows * columns, dtype=float).reshape(rows, columns)


@task(weight="heavy")
def cloud_work() -> None:
    """Work for a cloud and for nothing else."""


def die() -> None:
    """Kill the worker."""
    os.kill(os.getpid(), signal.SIGKILL)


for number in range(16):
    task(name=f"die_{number}")(die)
