"""The tasks of the counted node. In a counted site, each worker counts the functions that it calls from its fork on."""

from __future__ import annotations

import os

import fogsdk
from benchmarks.counts import counted


@fogsdk.task(weight="light")
def increment(number: int) -> int:
    """The next number."""
    return number + 1


@fogsdk.task(weight="light")
def echo(data: bytes) -> bytes:
    """The same bytes."""
    return data


if counted.FOLDER in os.environ:
    os.register_at_fork(after_in_child=counted.start)
