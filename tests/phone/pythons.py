"""The Pythons of this computer that a phone may have: the oldest that is supported, and the newest."""

from __future__ import annotations

import functools
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

OLDEST = (3, 10)


@functools.cache
def pythons() -> dict[tuple[int, int], str]:
    """The programs, by version. That which runs the tests is always there."""
    found: dict[tuple[int, int], str] = {}
    for program in _candidates():
        # pyenv puts programs on the PATH that end at once when their version is not selected.
        command = [program, "-I", "-S", "-c", "import sqlite3, ssl, sys; print(*sys.version_info[:2])"]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode == 0:
            major, minor = map(int, done.stdout.split())
            found.setdefault((major, minor), program)
    return found


def _candidates() -> Iterator[str]:
    yield sys.executable
    for minor in range(OLDEST[1], 20):
        yield from filter(None, [shutil.which(f"python3.{minor}")])
        yield from map(str, sorted(Path.home().glob(f".pyenv/versions/3.{minor}.*/bin/python3.{minor}"), reverse=True))


def oldest() -> str:
    """Python 3.10, which Pythonista has; where it is not installed, the oldest there is."""
    return pythons()[min(version for version in pythons() if version >= OLDEST)]


def newest() -> str:
    """The newest one."""
    return pythons()[max(pythons())]
