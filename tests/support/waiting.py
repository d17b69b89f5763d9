"""Waiting for what has no event to wait on: ask again and again until a deadline."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


def eventually(predicate: Callable[[], T], timeout: float = 10.0, *, what: str = "") -> T:
    """Call ``predicate`` until it returns something true, and return that.

    An AssertionError raised by the predicate counts as "not yet". Once ``timeout`` (seconds) is over, an
    AssertionError says ``what`` was waited for, and the last answer.
    """
    deadline = time.monotonic() + timeout
    pause = 0.001
    while True:
        answer: T | AssertionError
        try:
            if answer := predicate():
                return answer
        except AssertionError as error:
            answer = error
        if time.monotonic() > deadline:
            waited_for = what or getattr(predicate, "__name__", "the condition")
            raise AssertionError(f"{waited_for}: not within {timeout:g} s; the last answer was {answer!r}")
        time.sleep(pause)
        pause = min(pause * 1.5, 0.05)
