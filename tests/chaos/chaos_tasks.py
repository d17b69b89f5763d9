"""Tasks of all three weights, each with a result that can be checked. They leave nothing behind."""

from __future__ import annotations

import itertools
import time

from fogsdk import task
from fogsdk.demo.load import work


@task(weight="light")
def square(number: int, seconds: float = 0.0) -> int:
    """The square of a number, after a while."""
    time.sleep(seconds)
    return number * number


@task(weight="light")
def burn(milliseconds: float) -> float:
    """Keep a core busy; returns the milliseconds that this took by the clock."""
    begun = time.perf_counter()
    work(milliseconds)
    return (time.perf_counter() - begun) * 1000


@task(weight="middle")
def total(first: int, last: int, milliseconds: float) -> int:
    """The sum of a range of numbers, with some work."""
    work(milliseconds)
    return sum(range(first, last))


def _cut(shares: list[float], first: int, last: int, milliseconds: float) -> list[tuple[int, int, float]]:
    bounds = [first + round((last - first) * sum(shares[:index])) for index in range(len(shares) + 1)]
    return [(a, b, milliseconds * (b - a) / max(1, last - first)) for a, b in itertools.pairwise(bounds)]


@task(weight="middle", split=_cut, merge=sum)
def shared_total(first: int, last: int, milliseconds: float) -> int:
    """The same in parts."""
    return total(first, last, milliseconds)


@task(weight="heavy")
def mirrored(text: str, milliseconds: float) -> str:
    """A text backwards, with some work."""
    work(milliseconds)
    return text[::-1]
