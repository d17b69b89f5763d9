"""Which of many things is due next: one timer for each key, in a heap."""

from __future__ import annotations

import heapq
from itertools import takewhile
from typing import Generic, TypeVar

K = TypeVar("K")

_LOOK_EVERY = 64  # settings between two looks at how many of them are out of date


def earliest(*times: int | None) -> int | None:
    """The first of several times, None being never."""
    first = None
    for at in times:
        if at is not None and (first is None or at < first):
            first = at
    return first


class Line(dict[K, int]):
    """Times of keys that are put in (``line[key] = at``) in the order of their times, and nearly always taken out again
    before these have come: both cost less than with :class:`Timers`."""

    def next(self) -> int | None:
        """When the first key is due, None when there is none."""
        return next(iter(self.values()), None)

    def pop_due(self, now: int) -> list[K]:
        """Remove and return the keys that are due at ``now``, earliest first."""
        due = list(takewhile(lambda key: self[key] <= now, self))
        for key in due:
            del self[key]
        return due


class Timers(Generic[K]):
    """One pending time for each key; setting a key again replaces its time. Times are integers of milliseconds."""

    def __init__(self) -> None:
        self._due: dict[K, int] = {}
        self._heap: list[tuple[int, int, K]] = []
        self._count = 0

    def set(self, key: K, at: int) -> None:
        """Make ``key`` due at ``at``."""
        if self._due.get(key) == at:
            return
        self._due[key] = at
        self._count += 1  # breaks ties, so that keys are never compared
        heapq.heappush(self._heap, (at, self._count, key))
        if self._count % _LOOK_EVERY == 0 and len(self._heap) > _LOOK_EVERY + 2 * len(self._due):
            self._compact()

    def drop(self, key: K) -> None:
        """Forget ``key``; nothing happens where it is not set."""
        self._due.pop(key, None)

    def next(self) -> int | None:
        """When the next key is due, None when there is none."""
        heap, due = self._heap, self._due
        while heap:
            at, _, key = heap[0]
            if due.get(key) == at:
                return at
            heapq.heappop(heap)
        return None

    def pop_due(self, now: int) -> list[K]:
        """Remove and return the keys that are due at ``now``, earliest first."""
        due = []
        while (at := self.next()) is not None and at <= now:
            key = heapq.heappop(self._heap)[2]
            del self._due[key]
            due.append(key)
        return due

    def _compact(self) -> None:
        live = (entry for entry in sorted(self._heap) if self._due.get(entry[2]) == entry[0])
        self._heap = list({entry[2]: entry for entry in live}.values())  # of those set at one time again, the last
        heapq.heapify(self._heap)
