"""Freeze, slow down or kill the daemon that started this program, and bring it back: it could not do so itself.

    python -I -S chaos_helper.py freeze|slow|kill <seconds> <factor> [<program> <arguments...>]

It runs in a session of its own, so that it outlives the daemon and whoever gave the order. When it is asked to end
(SIGTERM), the daemon goes on at once. After a kill it becomes the program, if one is named: the daemon again.

This file is run by its path, so it imports nothing but the standard library.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import time

PERIOD = 0.1
"""Seconds of one turn of standing still and going on."""

_LOOK = 0.01


def main(arguments: list[str]) -> None:
    """Do to the parent process what the arguments say."""
    what, seconds, factor, program = arguments[0], float(arguments[1]), float(arguments[2]), arguments[3:]
    daemon = os.getppid()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit())
    if what != "kill":
        _hold_up(daemon, seconds, 1 / factor if what == "slow" else 0.0)
        return
    os.kill(daemon, signal.SIGKILL)
    while os.getppid() == daemon:  # until then its ports may be taken
        time.sleep(_LOOK)
    time.sleep(seconds)
    if program:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        os.execv(program[0], program)  # noqa: S606 - bringing it back is the point


def _hold_up(daemon: int, seconds: float, share: float) -> None:
    """Let it run for a ``share`` of each period only."""
    until = time.monotonic() + seconds
    try:
        while os.getppid() == daemon and (left := until - time.monotonic()) > 0:
            os.kill(daemon, signal.SIGSTOP)
            time.sleep(min(left, PERIOD * (1 - share)))
            if share:
                os.kill(daemon, signal.SIGCONT)
                time.sleep(PERIOD * share)
    finally:
        if os.getppid() == daemon:  # else it is dead, and its number may be another's by now
            with contextlib.suppress(ProcessLookupError):
                os.kill(daemon, signal.SIGCONT)


if __name__ == "__main__":
    main(sys.argv[1:])
