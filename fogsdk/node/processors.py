"""How many processors this process may use: fewer than the machine has, in a container or a service with a quota."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

_GROUPS = Path("/proc/self/cgroup")
_TREE = Path("/sys/fs/cgroup")


def processors() -> int:
    """How many there are to use, rounded where a quota leaves a part of one; at least 1."""
    return max(1, round(_allowed()))


def several() -> bool:
    """Whether there are two to use at least."""
    return _allowed() >= 2


def _allowed() -> float:
    there = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min([there, *quotas()])


def quotas(groups: Path = _GROUPS, tree: Path = _TREE) -> Iterator[float]:
    """The CPU time, in processors, that the control groups allow which this process is in, and those above them (Linux,
    cgroups(7)): ``groups`` names them, and ``tree`` is where they are."""
    with contextlib.suppress(OSError, ValueError):
        for line in groups.read_text().splitlines():
            _, kinds, path = line.split(":", 2)
            group = PurePosixPath(path.lstrip("/"))
            if not kinds:
                yield from _limits(tree, group, "cpu.max")
            elif "cpu" in kinds.split(","):
                yield from _limits(tree / "cpu", group, "cpu.cfs_quota_us", "cpu.cfs_period_us")


def _limits(tree: Path, group: PurePosixPath, *files: str) -> Iterator[float]:
    """What the ``files`` of a group, and of those above it, say: a quota, and the period for which it is."""
    for each in (group, *group.parents):
        with contextlib.suppress(OSError, ValueError):  # no limits there, or none in this group: "max"
            quota, period = map(int, " ".join((tree / each / file).read_text() for file in files).split())
            if quota > 0:  # in version 1, -1 is none
                yield quota / period
