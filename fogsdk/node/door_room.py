"""What a door has room for at once, and how its clients share that: bytes of bodies, requests, connections."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from fogsdk.errors import TaskRefused

SMALL = 64 * 1024
"""Bytes up to which a body of a request, or of its answer, is not counted."""


def shared(own: int, left: int, size: int = 1) -> bool:
    """Whether who has ``own`` of something can take so much more of what is left of it: no client has more than it
    leaves to the others, so that none shuts them out."""
    return own + size <= left - size


class Room:
    """Room for so much, as bytes, that clients share."""

    def __init__(self, size: int) -> None:
        self._left = size
        self._taken: Counter[str] = Counter()

    def has(self, client: str, size: int) -> bool:
        """Whether a client can take so much more."""
        return not size or shared(self._taken[client], self._left, size)

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
    def taken(self, client: str, size: int, what: str) -> Iterator[None]:
        """Take so much for a while. Raises TaskRefused (overloaded) where that is more than the client can; ``what``
        says of what there is too much then."""
        if not self.take(client, size):
            raise TaskRefused("overloaded", f"{client} has its share of {what}, or others have theirs", 1.0)
        try:
            yield
        finally:
            self.give_back(client, size)
