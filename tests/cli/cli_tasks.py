"""The tasks that the nodes of these tests offer."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path
from typing import Any, NoReturn

from fogsdk import progress, task


@task(weight="light")
def mean(values: list[float]) -> float:
    """The mean of some numbers."""
    return sum(values) / len(values)


@task
def give_back(*args: Any, **kwargs: Any) -> list[Any]:
    return [list(args), kwargs]


@task
def same(value: Any) -> Any:
    return value


@task
def fail(message: str) -> NoReturn:
    raise LookupError(message)


@task
def crash(_argument: int) -> NoReturn:
    """Kill the worker."""
    os.kill(os.getpid(), signal.SIGKILL)
    raise AssertionError


@task(weight="middle")
def hold(gate: str) -> str:
    """Report progress, and keep a worker busy until the file ``gate`` exists."""
    progress(0.25)
    Path(f"{gate}.begun").touch()
    while not Path(gate).exists():
        time.sleep(0.01)
    return "held"
