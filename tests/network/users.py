"""Users of a site: a task every few milliseconds, whatever happens, and what became of each of them."""

from __future__ import annotations

import itertools
import threading
import time
from collections import Counter
from functools import partial
from types import TracebackType
from typing import NamedTuple

from fogsdk import Fog, FogFuture
from fogsdk.core.commands import Settled
from tests.support.waiting import eventually

EVERY = 0.02
"""Seconds between two tasks."""


class Served(NamedTuple):
    """What users saw: seconds, from submitting to result at most, and between two results at most."""

    answered: int
    longest_wait: float
    longest_gap: float


class Users:
    """Submit light tasks through ``fog`` from the beginning of a ``with`` block to its end, and check every result.

    Leaving the block waits until all are settled, and fails where one was lost, delivered twice or wrong.
    """

    def __init__(self, fog: Fog, patience: float = 20.0) -> None:
        self._fog = fog
        self._patience = patience
        self._futures: list[FogFuture] = []
        self._waits: list[tuple[float, float]] = []  # when a result came, and after how long
        self._delivered: Counter[str] = Counter()
        self._node = ""
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._submit)
        deliver = fog._driver._on_settled

        def count(settled: Settled) -> None:
            self._delivered[settled.id] += 1
            deliver(settled)

        fog._driver._on_settled = count

    def __enter__(self) -> Users:
        self._thread.start()
        self.wait_for(10)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self._thread.join()
        if error is None:
            self._check()

    @property
    def answered(self) -> int:
        """How many results have come so far."""
        return len(self._waits)

    @property
    def node(self) -> str:
        """The node that the last result came from."""
        return self._node

    def wait_for(self, results: int, timeout: float = 20.0) -> None:
        """Wait for as many further results."""
        wanted = self.answered + results
        eventually(lambda: self.answered >= wanted, timeout, what=f"{results} more results")

    def pause(self, seconds: float) -> None:
        """Go on as it is for some time."""
        self._stop.wait(seconds)

    @property
    def served(self) -> Served:
        """What they saw until now."""
        waits = list(self._waits)
        times = [at for at, _ in waits]
        gap = max((b - a for a, b in itertools.pairwise(times)), default=0.0)
        return Served(len(waits), max((took for _, took in waits), default=0.0), gap)

    def _submit(self) -> None:
        number = 0
        due = time.monotonic()
        while not self._stop.wait(max(0.0, due - time.monotonic())):
            due = max(due, time.monotonic() - EVERY) + EVERY
            begun = time.monotonic()
            future = self._fog.submit("increment", number)
            future.add_done_callback(partial(self._note, begun))
            self._futures.append(future)
            number += 1

    def _note(self, begun: float, future: FogFuture) -> None:
        now = time.monotonic()
        self._waits.append((now, now - begun))
        if future.trace is not None and future.trace.hops:
            self._node = future.trace.hops[0].node

    def _check(self) -> None:
        by = time.monotonic() + self._patience
        for number, future in enumerate(self._futures):
            assert future.result(max(0.0, by - time.monotonic())) == number + 1
        eventually(lambda: self.answered == len(self._futures))
        assert set(self._delivered.values()) == {1}, "an outcome was delivered twice"
        print(f"users: {self.served}")
