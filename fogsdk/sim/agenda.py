"""Virtual time: what happens when. Of two things at one moment, what was planned first happens first."""

from __future__ import annotations

import heapq
from collections.abc import Callable
from typing import Any

MILLISECOND = 1_000
SECOND = 1_000_000
MINUTE = 60 * SECOND


class Agenda:
    """Everything that is going to happen. Times are in microseconds since the beginning."""

    def __init__(self) -> None:
        self.now = 0
        self._heap: list[tuple[int, int, Callable[..., None], tuple[Any, ...]]] = []
        self._count = 0

    def at(self, when: int, action: Callable[..., None], *arguments: Any) -> None:
        """Have ``action(*arguments)`` called at a time that is not past."""
        self._count += 1  # breaks ties, so that actions are never compared
        heapq.heappush(self._heap, (when, self._count, action, arguments))

    def after(self, delay: int, action: Callable[..., None], *arguments: Any) -> None:
        """Have ``action(*arguments)`` called after a delay."""
        self._count += 1
        heapq.heappush(self._heap, (self.now + delay, self._count, action, arguments))

    def run(self, until: int, most: int) -> None:
        """Let everything happen that happens up to ``until``. Raises RuntimeError where that is more than ``most``
        things: somebody answers answers, and time would stand still."""
        heap, pop, count = self._heap, heapq.heappop, 0
        while heap and heap[0][0] <= until:
            self.now, _, action, arguments = pop(heap)
            action(*arguments)
            count += 1
            if count > most:
                raise RuntimeError(f"a flood: {count} things happened within no time, and it does not end")
        self.now = until
