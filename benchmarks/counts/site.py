"""The counted site: a mosquitto, a node and a device, each a process of its own."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from types import TracebackType

import psutil

from benchmarks.counts.counted import FOLDER
from benchmarks.harness.orders import ROOT, Servant
from tests.support.broker import Mosquitto
from tests.support.processes import Processes
from tests.support.waiting import eventually

WORKERS = 2


class Site:
    """Use it in a ``with`` block. With ``calls`` its processes count the functions that they call, which makes them
    slow."""

    def __init__(self, folder: Path, *, calls: bool = False) -> None:
        self.broker = Mosquitto(folder, "sys_interval 1", "max_queued_messages 100000")
        self.folder = folder
        self._processes = Processes(folder)
        environ = {
            "MALLOC_MMAP_THRESHOLD_": "65536",  # large memory is given back at once, so that a peak is one
            "PYTHONPATH": os.environ.get("PYTHONPATH", ""),
        }
        if calls:
            environ[FOLDER] = str(folder)
        runner = ("benchmarks.counts.counted",) if calls else ()
        # How often a node polls depends on how fast the machine is, and is not counted.
        where = ("--brokers", self.broker.url, "--broker", "none", "--no-mdns", "--no-keep-journal", "--no-busy-poll")
        node = ("fogsdk.node.main", "--node", "n1", "--tasks", "benchmarks.counts.jobs", "--workers", str(WORKERS))
        self.node = self._processes.start_python("-m", *runner, *node, *where, environ=environ, cwd=ROOT)
        self._device = Servant(*runner, "benchmarks.counts.device", self.broker.url, environ=environ)

    def do(self, *order: str | int) -> None:
        """Have the device do something, and wait until it has."""
        self._device.do(*order)

    def pids(self) -> dict[str, list[int]]:
        """The processes of each kind."""
        server = psutil.Process(self.node.pid).children()[0]
        return {
            "device": [self._device.pid],
            "node": [self.node.pid],
            "workers": sorted(worker.pid for worker in server.children()),
        }

    def calls(self) -> dict[str, int]:
        """Functions called so far by each kind of process."""
        pids = self.pids()
        before = {pid: self._said(pid) for of_kind in pids.values() for pid in of_kind}
        for pid in before:
            psutil.Process(pid).send_signal(signal.SIGUSR1)
        eventually(lambda: all(len(self._said(pid)) > len(said) for pid, said in before.items()), what="the counts")
        return {kind: sum(int(self._said(pid)[-1]) for pid in of_kind) for kind, of_kind in pids.items()}

    def _said(self, pid: int) -> list[str]:
        path = self.folder / str(pid)
        return path.read_text().splitlines() if path.exists() else []

    def __enter__(self) -> Site:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._device.close()
        self._processes.kill()
        self.broker.kill()
