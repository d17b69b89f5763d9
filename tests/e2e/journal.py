"""What tasks write down about themselves, outside of the fog: the tests compare it with what the fog says."""

from __future__ import annotations

import os
from pathlib import Path
from typing import NamedTuple

NODE_VARIABLE = "FOGSDK_TEST_NODE"
"""In the environment of each node of the tests: its name."""


class Entry(NamedTuple):
    """One line: ``what`` is begun or ended."""

    what: str
    name: str
    node: str
    pid: int


class Journal:
    """A file that several processes append to, a line at a time."""

    def __init__(self, path: str | Path) -> None:
        self.path = str(path)

    def write(self, what: str, name: str) -> None:
        """Append one entry about this process."""
        line = f"{what} {name} {os.environ.get(NODE_VARIABLE, '-')} {os.getpid()}\n"
        file = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
        try:
            os.write(file, line.encode())
        finally:
            os.close(file)

    @property
    def entries(self) -> list[Entry]:
        """Everything written so far, in order."""
        path = Path(self.path)
        lines = path.read_text().splitlines() if path.exists() else []
        return [Entry(what, name, node, int(pid)) for what, name, node, pid in map(str.split, lines)]

    def begun(self, name: str = "", node: str = "") -> list[Entry]:
        """The beginnings of one task, or of all; on one node, or on any."""
        return [entry for entry in self.entries if _fits(entry, "begun", name, node)]

    def ended(self, name: str = "", node: str = "") -> list[Entry]:
        """The ends, likewise."""
        return [entry for entry in self.entries if _fits(entry, "ended", name, node)]


def _fits(entry: Entry, what: str, name: str, node: str) -> bool:
    return entry.what == what and name in ("", entry.name) and node in ("", entry.node)
