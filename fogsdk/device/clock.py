"""The clock of the device side."""

from __future__ import annotations

import time

_CLOCK: int | None = getattr(time, "CLOCK_BOOTTIME", getattr(time, "CLOCK_MONOTONIC", None))


def clock() -> int:
    """Milliseconds of a clock that never goes back, nor stands still while the computer sleeps, as ``time.monotonic``
    does: a deadline is over though the phone was in a pocket. (On macOS and iOS it is CLOCK_MONOTONIC that goes on.)"""
    return (time.monotonic_ns() if _CLOCK is None else time.clock_gettime_ns(_CLOCK)) // 1_000_000
