"""Links that lose or hold back messages on purpose, inside the node's own process and so without anybody's leave."""

from __future__ import annotations

import asyncio
import random
from collections import deque
from collections.abc import Callable

from fogsdk.node.chaos_order import Order

MOST_HELD = 10_000
"""Messages that are held back at once; beyond them the oldest goes out early."""
_ORDER = b"fog.chaos"


class BadLinks:
    """Stands between a node and its links. ``flush`` is called after messages that had been held back."""

    def __init__(self, order: Order, flush: Callable[[], None]) -> None:
        self._order = order
        self._flush = flush
        self._loop = asyncio.get_running_loop()
        self._held: deque[tuple[float, Callable[[], None]]] = deque()
        self._timer: asyncio.TimerHandle | None = None

    def carry(self, topic: str, payload: bytes, deliver: Callable[[], None]) -> None:
        """Deliver a message, or not, or later: never before one that came earlier, as it is on one connection.

        Orders pass, so that this can be undone. Births are not lost, since they are said only once: a connection that
        stands loses nothing, and one that breaks has them said again.
        """
        if _ORDER in payload:
            deliver()
        elif self._order.what == "delay":
            self._hold(deliver)
        elif topic.endswith("/birth") or random.random() >= self._order.probability:
            deliver()

    def end(self) -> None:
        """Deliver all that was held back."""
        if self._timer is not None:
            self._timer.cancel()
        self._release(float("inf"))

    def _hold(self, deliver: Callable[[], None]) -> None:
        due = self._loop.time() + (self._order.ms + random.uniform(0, self._order.jitter)) / 1000
        if self._held:
            due = max(due, self._held[-1][0])
        if len(self._held) == MOST_HELD:
            self._held.popleft()[1]()
        self._held.append((due, deliver))
        if len(self._held) == 1:
            self._timer = self._loop.call_at(due, self._fire)

    def _fire(self) -> None:
        self._release(self._loop.time())
        if self._held:
            self._timer = self._loop.call_at(self._held[0][0], self._fire)

    def _release(self, now: float) -> None:
        while self._held and self._held[0][0] <= now:
            self._held.popleft()[1]()
        self._flush()
