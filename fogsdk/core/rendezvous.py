"""Rendezvous hashing (Thaler and Ravishankar 1998): everybody ranks the same nodes the same way without talking."""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Iterable, Iterator
from functools import lru_cache
from hashlib import blake2b

_WEIGHT = 8


@lru_cache(maxsize=16384)
def _weight(key: str, node: str) -> bytes:
    return blake2b(f"{key}/{node}".encode(), digest_size=_WEIGHT).digest()


def ranked(key: str, nodes: Iterable[str]) -> list[str]:
    """Return ``nodes`` in the order in which they are responsible for ``key``, the first one most."""
    return sorted(nodes, key=lambda node: (_weight(key, node), node), reverse=True)


class Ranking:
    """The nodes in their order for one key, kept as they come and go: on a site of thousands, sorting them all anew for
    each would take most of a node's time."""

    def __init__(self, key: str) -> None:
        self._key = key
        self._order: list[bytes] = []  # weight and name in one, the first one last

    def __iter__(self) -> Iterator[str]:
        """The nodes, the one most responsible first."""
        return (place[_WEIGHT:].decode() for place in reversed(self._order))

    def first(self, count: int) -> list[str]:
        """The nodes that are most responsible, at most so many."""
        return [place[_WEIGHT:].decode() for place in self._order[: -count - 1 : -1]]

    def add(self, node: str) -> None:
        """Take in a node that is not in it."""
        insort(self._order, _weight(self._key, node) + node.encode())

    def discard(self, node: str) -> None:
        """Take out a node, if it is in it."""
        place = _weight(self._key, node) + node.encode()
        at = bisect_left(self._order, place)
        if at < len(self._order) and self._order[at] == place:
            del self._order[at]
