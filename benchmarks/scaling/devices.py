"""Some devices in one process, each with a connection of its own: ``python -m benchmarks.scaling.devices URL COUNT``,
and orders on its standard input."""

from __future__ import annotations

import itertools
import sys
import time
from collections import deque
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from statistics import median
from typing import Any

import fogsdk
from benchmarks.harness.orders import obey
from fogsdk import Fog

PATIENCE = 120.0


class Devices:
    """They take turns at each task."""

    def __init__(self, url: str, count: int) -> None:
        with ThreadPoolExecutor(8) as pool:
            self._fogs: list[Fog] = list(pool.map(lambda _: fogsdk.connect(url, timeout=PATIENCE), range(count)))

    def see(self, nodes: int) -> None:
        """Wait until each sees so many nodes, and has had a task done."""
        by = time.monotonic() + PATIENCE
        while any(len(fog.nodes()) < nodes for fog in self._fogs):
            if time.monotonic() > by:
                raise RuntimeError(f"not all devices saw {nodes} nodes within {PATIENCE:g} s")
            time.sleep(0.05)
        for fog in self._fogs:
            fog.run("increment", 0)

    def alone(self, tasks: int) -> dict[str, float]:
        """One task after the other. Returns the median time of one, in seconds."""
        taken = []
        for fog in itertools.islice(self._turns(), tasks):
            begin = time.perf_counter()
            fog.run("increment", 0)
            taken.append(time.perf_counter() - begin)
        return {"p50": median(taken)}

    def many(self, tasks: int, outstanding: int) -> dict[str, float]:
        """So many at once: the oldest is waited for, and the next one's turn comes. Returns the seconds of all."""
        turns, begin = self._turns(), time.perf_counter()
        pending = deque(next(turns).submit("increment", 0) for _ in range(outstanding))
        for _ in range(tasks - outstanding):
            pending.popleft().result(PATIENCE)
            pending.append(next(turns).submit("increment", 0))
        for future in pending:
            future.result(PATIENCE)
        return {"seconds": time.perf_counter() - begin}

    def echo(self, size: int) -> dict[str, Any]:
        """Send so many bytes there and back. Returns the seconds, or why it was refused."""
        data = bytes(size)
        begin = time.perf_counter()
        try:
            answer = self._fogs[0].submit("echo", data).result(PATIENCE)
        except fogsdk.TaskRefused as refusal:
            return {"refused": refusal.reason}
        assert answer == data, "the echo differs"
        return {"seconds": time.perf_counter() - begin}

    def wait(self, seconds: float) -> dict[str, float]:
        """Have a task done that takes so long. Returns the seconds that it took."""
        begin = time.perf_counter()
        self._fogs[0].run("wait", seconds)
        return {"seconds": time.perf_counter() - begin}

    def _turns(self) -> Iterator[Fog]:
        return itertools.cycle(self._fogs)


if __name__ == "__main__":
    devices = Devices(sys.argv[1], int(sys.argv[2]))
    obey({name: getattr(devices, name) for name in ("see", "alone", "many", "echo", "wait")})
