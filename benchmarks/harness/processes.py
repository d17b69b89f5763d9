"""A process and all that came of it: what they hold of memory, what they used of the CPU, and how they are ended."""

from __future__ import annotations

import ctypes
import os
import re
import sys
from typing import Any

import psutil

_PR_SET_CHILD_SUBREAPER = 36  # prctl(2)


def adopt() -> None:
    """Become the parent of whatever daemons the processes started from here leave behind, so none is overlooked."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def family() -> list[psutil.Process]:
    """This process and all that came of it."""
    own = psutil.Process()
    return [own, *own.children(recursive=True)]


def cpu_seconds() -> float:
    """CPU time that the family has used, the dead not counted."""
    return sum(cpu_by_name().values())


def cpu_by_name() -> dict[str, float]:
    """The same for each name that processes of the family have."""
    used: dict[str, float] = {}
    for process in family():
        try:
            times, what = process.cpu_times(), _what(process)
        except psutil.Error:  # it ended in the meantime
            continue
        used[what] = used.get(what, 0.0) + times.user + times.system
    return used


def memory() -> list[dict[str, Any]]:
    """What each process of the family holds: resident (rss) and its fair share of what is shared (pss), in bytes."""
    held = []
    for process in family():
        try:
            info = process.memory_full_info()
            held.append({"what": _what(process), "rss": info.rss, "pss": info.pss})
        except psutil.Error:  # it ended in the meantime
            continue
    return held


def _what(process: psutil.Process) -> str:
    """The name of a process in the tables: its module or script, where it is a Python."""
    if process.pid == os.getpid():
        return "device"
    line, name = " ".join(process.cmdline()), process.name()
    if not name.startswith("python"):
        return name
    if "multiprocessing" in line:
        return "multiprocessing"
    for pattern in (r"-m (?:benchmarks\.peers\.)?(\S+)", r"from (\S+) import", r"([^/ ]+\.py)"):
        if found := re.search(pattern, line):
            return found[1]
    return name


def end_descendants() -> None:
    """Kill everything that came of this process, and wait for it."""
    while children := psutil.Process().children(recursive=True):
        for child in children:
            try:
                child.kill()
            except psutil.NoSuchProcess:
                continue
        psutil.wait_procs(children, timeout=5)
