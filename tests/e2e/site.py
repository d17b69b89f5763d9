"""A site on this computer: real brokers, real ``fognode`` daemons, and devices connected to them."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import fogsdk
from fogsdk.wire import codec, topics
from fogsdk.wire.messages import Beat
from tests.e2e.journal import NODE_VARIABLE
from tests.e2e.rawdevice import PlainClient
from tests.support.broker import Mosquitto
from tests.support.processes import Processes, Program
from tests.support.waiting import eventually

TASKS = "tests.e2e.e2e_tasks"
WORKERS = 2
WITH_SIGHUP = """
import os, signal, sys
signal.signal(signal.SIGHUP, getattr(signal, sys.argv[1]))
os.execv(sys.executable, [sys.executable, "-m", "fogsdk.node.main", *sys.argv[2:]])
"""
"""``fognode``, with SIGHUP as the first argument names it: it may be ignored where the tests are run."""

AnySite = TypeVar("AnySite", bound="Site")


class Site:
    """Brokers and nodes, gone when the site is closed. ``folder`` gets their logs. At the end of a ``with`` statement
    the nodes are asked to end first, and each has to do so in order."""

    def __init__(self, folder: Path, brokers: int = 1) -> None:
        self.folder = folder
        self.brokers = [Mosquitto(folder) for _ in range(brokers)]
        self.nodes: dict[str, Program] = {}
        self._processes = Processes(folder)

    def __enter__(self: AnySite) -> AnySite:
        return self

    def __exit__(self, error: type[BaseException] | None, *_: object) -> None:
        try:
            if error is None:
                self.stop()
        finally:
            self.close()

    @property
    def broker(self) -> Mosquitto:
        """The first broker."""
        return self.brokers[0]

    @property
    def urls(self) -> list[str]:
        """The URLs of all brokers."""
        return [broker.url for broker in self.brokers]

    def start(self, *names: str, flags: Sequence[str] = ()) -> None:
        """Start nodes side by side, and return when each is seen on every broker."""
        for name in names:
            self.nodes[name] = self.launch("--node", name, "--brokers", ",".join(self.urls), *flags, node=name)
        for url in self.urls:
            with self.connect(url) as fog:
                wait_for_nodes(fog, *names)

    def launch(self, *flags: str, node: str = "") -> Program:
        """Start ``fognode`` with the tasks of these tests and further flags; of two alike the later counts."""
        return self._processes.start_python(
            *("-m", "fogsdk.node.main", "--tasks", TASKS, "--workers", str(WORKERS)),
            *("--broker", "none", "--no-mdns", *flags),
            environ={NODE_VARIABLE: node},
            cwd=self.folder,
        )

    def connect(self, url: str | Sequence[str] | None = None, **options: Any) -> fogsdk.Fog:
        """Connect a device, to all brokers if not told otherwise."""
        return fogsdk.connect(self.urls if url is None else url, **options)

    def client(self, name: str = "observer") -> PlainClient:
        """A plain MQTT client of the first broker, to be entered with ``with``."""
        return PlainClient(self.broker.port, name)

    def wait_for_queue(self, node: str, length: int) -> None:
        """Wait until a node says that so many tasks are in its queue."""
        with self.client() as client:
            client.subscribe(topics.beat("home", node))
            eventually(lambda: _queued(client.next()[1]) == length, what=f"{length} tasks in the queue of {node}")

    def stop(self) -> None:
        """Ask every node to end, and check that each does so in order."""
        for name, node in self.nodes.items():
            assert node.terminate() == 0, f"{name} ended in disorder"

    def close(self) -> None:
        """Kill everything."""
        self._processes.kill()
        for broker in self.brokers:
            broker.kill()


StartSite = Callable[..., Site]


def wait_for_nodes(fog: fogsdk.Fog, *names: str) -> None:
    """Wait until a device sees these nodes."""
    eventually(lambda: set(names) <= fog.nodes().keys(), 30, what=f"the nodes {', '.join(names)}")


def _queued(payload: bytes) -> int:
    [beat] = codec.decode(payload)
    assert isinstance(beat, Beat)
    return beat.queued


def logs(folder: Path) -> list[tuple[str, str]]:
    """The names and the ends of the logs in a folder."""
    return [(os.fspath(log.name), log.read_text(errors="replace")[-8000:]) for log in sorted(folder.glob("*.log"))]
