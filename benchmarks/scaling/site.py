"""A site of real processes for a measurement: one broker, some nodes, some processes full of devices."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil

from benchmarks.harness.orders import ROOT, Servant
from tests.support.broker import Mosquitto
from tests.support.processes import Processes

MOST_DEVICES = 250
"""Devices in one process."""
INSTANT, REAL = "benchmarks.scaling.instant", "fogsdk.node.main"


class Site:
    """Made by :func:`open_site`."""

    def __init__(self, folder: Path, nodes: int, devices: int, kind: str, workers: int) -> None:
        self.broker = Mosquitto(folder, "max_queued_messages 100000")
        self._programs = Processes(folder)
        flags = ("--tasks", "benchmarks.scaling.jobs", "--workers", str(workers), "--brokers", self.broker.url)
        alone = ("--broker", "none", "--no-mdns", "--no-keep-journal", "--log-level", "warning")
        environ = {"MALLOC_MMAP_THRESHOLD_": "65536", "PYTHONPATH": os.environ.get("PYTHONPATH", "")}
        self.nodes = [
            self._programs.start_python("-m", kind, "--node", f"n{number}", *flags, *alone, environ=environ, cwd=ROOT)
            for number in range(nodes)
        ]
        sizes = [min(MOST_DEVICES, devices - first) for first in range(0, devices, MOST_DEVICES)]
        self._devices = [
            Servant("benchmarks.scaling.devices", self.broker.url, str(size), environ=environ) for size in sizes
        ]
        self.all_do("see", nodes)

    def all_do(self, *order: Any) -> list[Any]:
        """Have all processes of devices do something side by side."""
        for devices in self._devices:
            devices.begin(*order)
        return [devices.end() for devices in self._devices]

    def in_turn(self, *order: Any) -> list[Any]:
        """Have them do it one after the other."""
        return [devices.do(*order) for devices in self._devices]

    @property
    def processes(self) -> int:
        """How many processes the devices are in."""
        return len(self._devices)

    def pids(self) -> dict[str, list[int]]:
        """The processes of each kind, the daemons' workers included."""
        daemons = [node.pid for node in self.nodes]
        below = [child.pid for daemon in daemons for child in psutil.Process(daemon).children(recursive=True)]
        return {
            "device": [devices.pid for devices in self._devices],
            "broker": [self.broker.pid],
            "node": daemons,
            "workers": below,
        }

    def cpu(self) -> dict[str, float]:
        """CPU seconds of each kind of process so far."""
        return {kind: sum(map(_cpu, pids)) for kind, pids in self.pids().items()}

    def memory(self) -> dict[str, int]:
        """Resident bytes of each kind of process."""
        return {kind: sum(psutil.Process(pid).memory_info().rss for pid in pids) for kind, pids in self.pids().items()}

    def close(self) -> None:
        """Kill everything."""
        for devices in self._devices:
            devices.close()
        self._programs.kill()
        self.broker.kill()


def _cpu(pid: int) -> float:
    """Nanoseconds on a core of each thread, as seconds: ``cpu_times`` counts in hundredths."""
    threads = Path(f"/proc/{pid}/task").iterdir()
    return sum(int((thread / "schedstat").read_text().split()[0]) for thread in threads) / 1e9


@contextmanager
def open_site(nodes: int = 1, devices: int = 1, kind: str = INSTANT, workers: int = 2) -> Iterator[Site]:
    """A site in which all devices see all nodes; gone at the end of the block."""
    with tempfile.TemporaryDirectory() as folder:
        site = Site(Path(folder), nodes, devices, kind, workers)
        try:
            yield site
        finally:
            site.close()
