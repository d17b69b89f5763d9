"""How many bytes a door keeps for its clients at once: bodies that come, results that are on their way out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from fogsdk.errors import TaskRefused

SMALL = 64 * 1024
"""Bytes up to which a body of a request, or of its answer, is not counted."""


class Room:
    """Room for so many bytes. No client has more of it than it leaves to the others, so that none shuts them out."""

    def __init__(self, size: int) -> None:
        self._left = size
        self._taken: Counter[str] = Counter()

    def has(self, client: str, size: int) -> bool:
        """Whether a client can take so much more, and still has no more than is left."""
        return not size or self._taken[client] + size <= self._left - size

    def take(self, client: str, size: int) -> bool:
        """Take so much for a client. False, and nothing is taken, where that is more than it can."""
        fits = self.has(client, size)
        if fits:
            self._left -= size
            self._taken[client] += size
        return fits

    def give_back(self, client: str, size: int) -> None:
        """Give back so much of what a client has."""
        self._left += size
        self._taken[client] -= size
        if not self._taken[client]:
            del self._taken[client]

    @contextmanager
    def taken(self, client: str, size: int) -> Iterator[None]:
        """Take so much for a while. Raises TaskRefused (overloaded) where that is more than the client can."""
        if not self.take(client, size):
            raise TaskRefused("overloaded", f"{client} has its share of the large bodies on their way here", 1.0)
        try:
            yield
        finally:
            self.give_back(client, size)
