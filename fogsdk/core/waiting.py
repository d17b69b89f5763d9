"""Tasks that no node can take now, in the order in which they look for one again."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator
from itertools import chain, islice

WAIT_AGAIN = 500
"""Milliseconds until a taker is looked for again when there was none."""
APART = 2
"""Milliseconds between two tasks that do so: thousands at once would hold up all else."""


class _Line(OrderedDict[str, None]):
    """Tasks in their order; ``turn`` is when the last one looks again."""

    turn = 0

    def add(self, id: str, now: int) -> None:
        self[id] = None
        latest = now + max(WAIT_AGAIN, APART * len(self))
        self.turn = min(max(self.turn + APART, now + WAIT_AGAIN), latest)


class Waiting:
    """Each looks again after a time, and those that any node may take as soon as a node has room, the first ones first.
    Those that are ``bound`` to some node wait for that one, in a line of their own."""

    def __init__(self) -> None:
        self._free, self._bound = _Line(), _Line()

    def __iter__(self) -> Iterator[str]:
        return chain(self._free, self._bound)

    def add(self, id: str, bound: bool, now: int) -> int:
        """Put a task at the end of its line. Returns when it is to look again: after those that are before it."""
        line = self._bound if bound else self._free
        line.add(id, now)
        return line.turn

    def drop(self, id: str) -> None:
        """A task waits no longer."""
        self._free.pop(id, None)
        self._bound.pop(id, None)

    def first(self, count: int) -> list[str]:
        """So many of those that any node may take."""
        return list(islice(self._free, count))

    def all_look(self) -> None:
        """All of them look now: those that find nothing do so again one after the other, from now on."""
        self._free.turn = self._bound.turn = 0
