"""The interface of all contenders, and how calls are made through it: one after the other, and many at once."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Awaitable
from dataclasses import dataclass
from typing import Any, Protocol

from benchmarks.harness.services import Services


class Call(Protocol):
    """A call that was made: ``concurrent.futures.Future``, or anything else that waits for its result."""

    def result(self) -> Any:
        """Wait for it."""


@dataclass(frozen=True)
class Limit:
    """When a measurement ends: after so many seconds, or so many calls."""

    seconds: float
    calls: int = 10_000_000


class Contender:
    """One way to have work done by two other processes of this computer.

    ``start`` brings up what it needs besides its broker, whose address is ``services.broker``; ``submit`` hands in a
    work and returns a :class:`Call`; ``stop`` lets go of what is not a process of ``services``.
    """

    def start(self, services: Services) -> None:
        raise NotImplementedError

    def submit(self, work: str, argument: Any) -> Call:
        raise NotImplementedError

    def stop(self) -> None:
        pass

    def one_by_one(self, work: str, argument: Any, limit: Limit) -> tuple[list[float], Any]:
        """Make one call after the other. Returns how many seconds each took, and the last result."""
        taken, result = [], None
        end = time.perf_counter() + limit.seconds
        for _ in range(limit.calls):
            begin = time.perf_counter()
            result = self.submit(work, argument).result()
            done = time.perf_counter()
            taken.append(done - begin)
            if done > end:
                break
        return taken, result

    def at_once(self, work: str, argument: Any, outstanding: int, limit: Limit) -> tuple[int, float]:
        """Keep ``outstanding`` calls going: the oldest is waited for, and a new one made in its stead. Returns how
        many were made, and in how many seconds all were answered."""
        begin = time.perf_counter()
        pending = deque(self.submit(work, argument) for _ in range(outstanding))
        calls = outstanding
        while time.perf_counter() - begin < limit.seconds and calls < limit.calls:
            pending.popleft().result()
            pending.append(self.submit(work, argument))
            calls += 1
        for call in pending:
            call.result()
        return calls, time.perf_counter() - begin


class AsyncContender(Contender):
    """A contender whose interface is asyncio's: ``submit`` starts a call and returns what can be awaited."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()

    def submit(self, work: str, argument: Any) -> Awaitable[Any]:  # type: ignore[override]
        raise NotImplementedError

    def stop(self) -> None:
        self.loop.close()

    def one_by_one(self, work: str, argument: Any, limit: Limit) -> tuple[list[float], Any]:
        return self.loop.run_until_complete(self._one_by_one(work, argument, limit))

    def at_once(self, work: str, argument: Any, outstanding: int, limit: Limit) -> tuple[int, float]:
        return self.loop.run_until_complete(self._at_once(work, argument, outstanding, limit))

    async def _one_by_one(self, work: str, argument: Any, limit: Limit) -> tuple[list[float], Any]:
        taken, result = [], None
        end = time.perf_counter() + limit.seconds
        for _ in range(limit.calls):
            begin = time.perf_counter()
            result = await self.submit(work, argument)
            done = time.perf_counter()
            taken.append(done - begin)
            if done > end:
                break
        return taken, result

    async def _at_once(self, work: str, argument: Any, outstanding: int, limit: Limit) -> tuple[int, float]:
        begin = time.perf_counter()
        pending = deque(self.submit(work, argument) for _ in range(outstanding))
        calls = outstanding
        while time.perf_counter() - begin < limit.seconds and calls < limit.calls:
            await pending.popleft()
            pending.append(self.submit(work, argument))
            calls += 1
        for call in pending:
            await call
        return calls, time.perf_counter() - begin
