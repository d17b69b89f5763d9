"""The tasks that the nodes of these tests offer."""

from __future__ import annotations

import itertools
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, NoReturn

from fogsdk import progress, task
from tests.e2e.journal import Journal

_STEP = 0.01  # seconds


@task(weight="light")
def increment(number: int, seconds: float = 0.0) -> int:
    """Return the next number, after a while."""
    time.sleep(seconds)
    return number + 1


@task
def give_back(*args: Any, **kwargs: Any) -> list[Any]:
    return [list(args), kwargs]


@task
def scale(array: Any, factor: float = 1.0) -> Any:
    return array * factor


@task
def fail(message: str) -> NoReturn:
    raise LookupError(message)


@task
def chatter() -> str:
    """Write to standard output and standard error in every way that a task may."""
    print("not a message of the protocol", flush=True)
    print("neither", file=sys.stderr, flush=True)
    os.write(1, bytes(range(256)))
    subprocess.run(["echo", "nor this"], check=True)
    return "said"


@task
def zeros(count: int) -> bytes:
    return bytes(count)


@task(weight="middle")
def work(log: str, name: str, seconds: float) -> str:
    """Take a while, report progress all along, and write down when it began and ended."""
    journal = Journal(log)
    journal.write("begun", name)
    begun = time.monotonic()
    while (passed := time.monotonic() - begun) < seconds:
        progress(passed / seconds)
        time.sleep(min(_STEP, seconds - passed))
    journal.write("ended", name)
    return name


@task(weight="middle")
def hold(log: str, name: str, gate: str) -> str:
    """Keep a worker busy until the file ``gate`` exists."""
    journal = Journal(log)
    journal.write("begun", name)
    while not Path(gate).exists():
        time.sleep(_STEP)
    journal.write("ended", name)
    return name


def _cut(shares: list[float], log: str, numbers: list[int], seconds: float) -> list[tuple[str, list[int], float]]:
    bounds = [round(len(numbers) * sum(shares[:index])) for index in range(len(shares) + 1)]
    return [(log, numbers[a:b], seconds) for a, b in itertools.pairwise(bounds)]


@task(weight="middle", split=_cut, merge=sum)
def add_up(log: str, numbers: list[int], seconds: float) -> int:
    """Add numbers up, in parts, each of which takes a while and is named after its first number."""
    work(log, f"part-{numbers[0]}", seconds)
    return sum(numbers)


# ---------------------------------------------------------------- steps of sessions


@task
def count(by: int = 1, *, state: Any) -> tuple[int, int]:
    """Add to the count that is the session's state, and return it."""
    total = (state or 0) + by
    return total, total


@task(weight="middle")
def count_at_gate(log: str, name: str, gate: str, *, state: Any) -> tuple[int, int]:
    """Count one more, once the file ``gate`` exists."""
    hold(log, name, gate)
    return count(state=state)


@task
def grow(size: int, *, state: Any) -> tuple[bytes, int]:
    """Have a state of so many bytes."""
    return bytes(size), size


@task
def miscount(*, state: Any) -> NoReturn:
    raise LookupError(f"no number after {state}")


# ---------------------------------------------------------------- short ones


@task(weight="light")
def note(log: str, name: str, seconds: float = 0.0, how: str = "") -> str:
    """Write down that it has begun, and return its name, after a while, or raise."""
    Journal(log).write("begun", name)
    if how == "raise":
        raise LookupError(name)
    time.sleep(seconds)
    return name


@task(weight="light")
def risky(log: str, name: str, how: str = "") -> str:
    """The same, with an end for the worker, and so for its own name's reputation on the node."""
    if how == "die":
        Journal(log).write("begun", name)
        os._exit(1)
    return note(log, name)


@task(weight="light")
def tell(number: int) -> int:
    """Report progress where the number is 49, and return it."""
    if number == 49:
        progress(0.5)
    return number
