"""What is usual: quantiles of the latest measurements, at a cost for each that does not grow with their number."""

from __future__ import annotations

from array import array
from collections.abc import Iterable

KEPT = 64
"""Measurements that a window holds: the latest."""
RENEW_EVERY = 8
"""Measurements between two times that the quantiles are worked out anew; the first few count at once."""


class Window:
    """The latest ``KEPT`` measurements, in milliseconds. ``p50`` and ``p95`` are of the nearest rank, 0.0 while there
    are none; ``count`` is how many there are."""

    __slots__ = ("_kept", "_next", "_unseen", "count", "p50", "p95")

    def __init__(self, values: Iterable[float] = ()) -> None:
        self.p50 = 0.0
        self.p95 = 0.0
        self.count = 0
        self._kept = array("f")
        self._next = 0
        self._unseen = 0
        for value in values:
            self.add(value)

    def add(self, value: float) -> None:
        """Take in one measurement; beyond ``KEPT`` the oldest goes."""
        if self.count < KEPT:
            self._kept.append(value)
            self.count += 1
        else:
            self._kept[self._next] = value
            self._next = (self._next + 1) % KEPT
        self._unseen += 1
        if self._unseen >= RENEW_EVERY or self.count <= RENEW_EVERY:
            self._renew()

    def _renew(self) -> None:
        self._unseen = 0
        ranked = sorted(self._kept)
        self.p50 = ranked[(len(ranked) - 1) // 2]
        self.p95 = ranked[-(-len(ranked) * 95 // 100) - 1]
