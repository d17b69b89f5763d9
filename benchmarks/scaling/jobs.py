"""Tasks of the nodes with real workers."""

from __future__ import annotations

import time

import fogsdk


@fogsdk.task(weight="light")
def increment(number: int) -> int:
    """The next number."""
    return number + 1


@fogsdk.task(weight="light", timeout=120)
def echo(data: bytes) -> bytes:
    """The same bytes."""
    return data


def _shares(shares: tuple[float, ...], seconds: float) -> list[tuple[float]]:
    return [(seconds * share,) for share in shares]


@fogsdk.task(weight="middle", split=_shares, merge=sum)
def wait(seconds: float) -> float:
    """Take that long, and no CPU time: on two cores three nodes could not compute at once."""
    time.sleep(seconds)
    return seconds
