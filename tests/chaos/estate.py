"""Everything that a campaign disturbs, as real processes: a fog site with two brokers and three nodes, a core site with
its broker and a Dask cluster, and the bridge between them. All can be killed and started again."""

from __future__ import annotations

import re
from pathlib import Path

import psutil

import fogsdk
from tests.chaos import chaos_tasks
from tests.support.broker import Mosquitto
from tests.support.processes import Processes, Program
from tests.support.waiting import eventually

NODES = ("n1", "n2", "n3")
BRIDGE, CORE = "bridge", "core"
TASKS = chaos_tasks.__name__
WORKERS = 2
_BUG = re.compile(r"a bug|\basyncio: ")  # what the daemons, and asyncio, call an exception that nobody expected


class Estate:
    """The processes, gone when it is closed. ``folder`` gets their logs; ``engine`` is what the core site runs."""

    def __init__(self, folder: Path, engine: str = "dask-local") -> None:
        self.folder = folder
        self.brokers = {"b1": Mosquitto(folder), "b2": Mosquitto(folder), "core-broker": Mosquitto(folder)}
        self.daemons: dict[str, Program] = {}
        self._processes = Processes(folder)
        self._engine = engine

    @property
    def urls(self) -> list[str]:
        """The URLs of the fog site's brokers."""
        return [self.brokers[name].url for name in ("b1", "b2")]

    def start(self) -> None:
        """Start everything, and return when a device sees all of it."""
        for name in (*NODES, CORE, BRIDGE):
            self.launch(name)
        for url in self.urls:
            with fogsdk.connect(url) as fog:
                eventually(lambda fog=fog: _complete(fog), 60, what="nodes, and a bridge that leads somewhere")  # type: ignore[misc]

    def launch(self, name: str) -> None:
        """Start a daemon, for the first time or again."""
        words = self._bridge() if name == BRIDGE else self._core() if name == CORE else self._node(name)
        self.daemons[name] = self._processes.start_python(
            "-m", *words, "--node", name, "--broker", "none", "--no-mdns", cwd=self.folder
        )

    def _node(self, name: str) -> list[str]:
        site = ["--brokers", ",".join(self.urls), "--tasks", TASKS, "--workers", str(WORKERS)]
        return ["fogsdk.node.main", *site, "--journal", f"{name}.db", "--allow-chaos"]

    def _core(self) -> list[str]:
        site = ["--brokers", self.brokers["core-broker"].url, "--tasks", TASKS, "--workers", str(WORKERS)]
        return ["fogsdk.cloud.main", "core", *site, "--journal", "core.db", "--engine", self._engine]

    def _bridge(self) -> list[str]:
        way = ["--core", self.brokers["core-broker"].url, "--brokers", ",".join(self.urls)]
        return ["fogsdk.cloud.main", "bridge", *way, "--spool", "spool.db"]

    def cluster(self) -> list[psutil.Process]:
        """The processes that run tasks at the core site: leaves of its tree, or none while that is being started."""
        try:
            below = psutil.Process(self.daemons[CORE].pid).children(recursive=True)
            return [process for process in below if not process.children() and _runs_tasks(process)]
        except psutil.Error:
            return []

    def stop(self) -> list[str]:
        """Ask every daemon to end; returns those that did so in disorder."""
        for program in self.daemons.values():
            psutil.Process(program.pid).terminate()
        return [name for name, program in self.daemons.items() if program.wait() != 0]

    def complaints(self) -> list[str]:
        """The bugs that daemons wrote into their logs."""
        logs = sorted(self.folder.glob("program-*.log"))
        texts = {log.name: log.read_text(errors="replace") for log in logs}
        found = [(name, text, bug.start()) for name, text in texts.items() if (bug := _BUG.search(text))]
        return [f"{name}: {text[start:][:2000]}" for name, text, start in found]

    def close(self) -> None:
        """Kill everything."""
        self._processes.kill()
        for broker in self.brokers.values():
            broker.kill()


def _complete(fog: fogsdk.Fog) -> bool:
    nodes = fog.nodes()
    return {*NODES, BRIDGE} <= nodes.keys() and any(info.name == "mirrored" for info in nodes[BRIDGE].tasks)


def _runs_tasks(process: psutil.Process) -> bool:
    return "resource_tracker" not in " ".join(process.cmdline())
