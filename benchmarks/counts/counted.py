"""Runs a module as the main program, and counts the functions that it calls in all of its threads.

    python -m benchmarks.counts.counted fogsdk.node.main --node n1

At each SIGUSR1 the process writes its count so far, as one more line, into the file in the folder $FOGSDK_COUNTS that
has its process id for a name. Functions in C that are called from Python count as well.
"""

from __future__ import annotations

import cProfile
import os
import runpy
import signal
import sys
import threading
from pathlib import Path
from typing import Any

FOLDER = "FOGSDK_COUNTS"

_profiles: list[cProfile.Profile] = []


def start() -> None:
    """Count from here on in this thread, and in all that it starts."""
    _profiles.clear()
    threading.setprofile(_count_thread)
    _count_thread()
    signal.signal(signal.SIGUSR1, _write)


def _count_thread(*_: Any) -> None:
    sys.setprofile(None)  # threading has set this very function; the counting in C takes its place
    profile = cProfile.Profile()
    try:
        profile.enable()
    except ValueError:  # from Python 3.12 on one counts in all threads
        return
    _profiles.append(profile)


def _write(*_: Any) -> None:
    own = _profiles[0]
    own.disable()  # what this does itself does not count
    total = sum(entry.callcount for profile in list(_profiles) for entry in profile.getstats())
    path = Path(os.environ[FOLDER]) / str(os.getpid())
    with path.open("a") as file:
        file.write(f"{total}\n")
    own.enable()


if __name__ == "__main__":
    module, sys.argv[:] = sys.argv[1], sys.argv[1:]
    from benchmarks.counts import counted

    counted.start()
    runpy.run_module(module, run_name="__main__", alter_sys=True)
