"""The three works that every contender does, and their one argument.

Each is the least of its kind: a call that costs nothing but the way, one that moves data, one that computes.
"""

from __future__ import annotations

import random
import struct
import time
from collections.abc import Callable
from typing import Any

MILLISECONDS = 5.0


def increment(number: int) -> int:
    """The next number."""
    return number + 1


def echo(data: bytes) -> bytes:
    """The same bytes."""
    return data


def burn(milliseconds: float) -> float:
    """Compute until this thread has used that much CPU time: as long on a fast computer, a slow one and a busy one."""
    end = time.thread_time_ns() + int(milliseconds * 1e6)
    value = 1
    while time.thread_time_ns() < end:
        for _ in range(100):
            value = value * 1103515245 + 12345 & 0x7FFFFFFF
    return milliseconds


FUNCTIONS: dict[str, Callable[[Any], Any]] = {"increment": increment, "echo": echo, "burn": burn}
# Random, so that nobody gains by compressing it; the same in every run.
ARGUMENTS: dict[str, Any] = {"increment": 41, "echo": random.Random(1).randbytes(64 * 1024), "burn": MILLISECONDS}
RESULTS: dict[str, Any] = {"increment": 42, "echo": ARGUMENTS["echo"], "burn": MILLISECONDS}
TITLES = {"increment": "Increment a number", "echo": "Echo 64 KiB", "burn": f"{MILLISECONDS:g} ms of CPU time"}

# The hand-written contenders send bytes: a letter for the work, then its argument.
_PACKING = {"increment": struct.Struct("!q"), "burn": struct.Struct("!d")}
_BY_LETTER = {name[:1].encode(): name for name in FUNCTIONS}


def to_bytes(work: str, value: Any) -> bytes:
    """An argument or a result as bytes."""
    return bytes(value) if work == "echo" else _PACKING[work].pack(value)


def from_bytes(work: str, data: bytes) -> Any:
    """The argument or result again."""
    return data if work == "echo" else _PACKING[work].unpack(data)[0]


def request(work: str, argument: Any) -> bytes:
    """What asks a hand-written worker for a work."""
    return work[:1].encode() + to_bytes(work, argument)


def perform(data: bytes) -> bytes:
    """Do what ``request`` asks for."""
    work = _BY_LETTER[data[:1]]
    return to_bytes(work, FUNCTIONS[work](from_bytes(work, data[1:])))
