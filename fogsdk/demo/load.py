"""Tasks that do nothing but work: what ``fog load`` sends, to see what a fog can bear.

Give them to a node with ``fognode --tasks fogsdk.demo.load``. Their size is CPU time: so many milliseconds of
one core on a fast computer and on a slow one, alone or beside others.
"""

from __future__ import annotations

import time

from fogsdk.tasks import task

STEPS = 500
"""Steps between two looks at the clock: some ten microseconds, little against a millisecond."""


@task(weight="light")
def load_light(milliseconds: float = 1.0) -> float:
    """Keep one core busy for a moment; returns the milliseconds of CPU time it took."""
    return work(milliseconds)


@task(weight="middle")
def load_middle(milliseconds: float = 1400.0) -> float:
    """Keep one core busy for about a second; returns the milliseconds of CPU time it took."""
    return work(milliseconds)


@task(weight="heavy", fallback="fog")
def load_heavy(milliseconds: float = 3000.0) -> float:
    """Keep one core busy for seconds; returns the milliseconds of CPU time it took."""
    return work(milliseconds)


def work(milliseconds: float) -> float:
    """Compute in pure Python until this thread has used ``milliseconds`` of CPU time; returns how many."""
    begin = time.thread_time_ns()
    end = begin + int(milliseconds * 1e6)
    value = 1
    while (now := time.thread_time_ns()) < end:
        for _ in range(STEPS):
            value = value * 1103515245 + 12345 & 0x7FFFFFFF  # a linear congruential generator
    return (now - begin) / 1e6
