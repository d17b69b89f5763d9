"""Calls that may take long, one after the other and in order, without the event loop standing still meanwhile."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable
from typing import Any, TypeVar

T = TypeVar("T")

log = logging.getLogger(__name__)


class Line:
    """Makes calls in the order in which they came, never two at once. Use it on one event loop."""

    def __init__(self) -> None:
        self._waiting: deque[tuple[Callable[[], Any], Callable[[Any], None]]] = deque()
        self._working: asyncio.Task[None] | None = None

    def call(self, work: Callable[[], T], then: Callable[[T], None], *, long: bool) -> None:
        """Do ``work``, and tell ``then``, on the event loop, what it returned. What may take ``long`` is done in a
        thread, and so is what comes meanwhile; anything else is done when this returns."""
        if not long and not self._waiting:
            then(work())
            return
        self._waiting.append((work, then))
        if len(self._waiting) == 1:
            self._working = asyncio.create_task(self._work_off())

    async def empty(self) -> None:
        """Wait until everything is done."""
        if self._working is not None:
            await self._working

    async def _work_off(self) -> None:
        while self._waiting:
            work, then = self._waiting[0]
            try:
                then(await asyncio.to_thread(work))
            except Exception:  # those behind it can do nothing about it
                log.exception("a bug, on what was to be done in a thread")
            self._waiting.popleft()  # not before: until then others have to stand in line
