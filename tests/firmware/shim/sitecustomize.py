"""What MicroPython's time has and CPython's has not; loaded by itself when a program starts."""

import time

_PERIOD = 1 << 30

time.ticks_ms = lambda: time.monotonic_ns() // 1_000_000 % _PERIOD  # type: ignore[attr-defined]
time.ticks_add = lambda ticks, delta: (ticks + delta) % _PERIOD  # type: ignore[attr-defined]
time.ticks_diff = lambda a, b: (a - b + _PERIOD // 2) % _PERIOD - _PERIOD // 2  # type: ignore[attr-defined]
time.sleep_ms = lambda ms: time.sleep(ms / 1000)  # type: ignore[attr-defined]
