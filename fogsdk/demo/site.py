"""The demo's fog: a fog site with its broker and three nodes, a core site with a Dask cluster, and the bridge between.

All are real processes on this computer, on ports that were free, under a site name of this run's own, so that a demo
neither finds nor disturbs another fog in the network. They end with the demo, also when that is killed.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import secrets
import signal
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path

from fogsdk.device.discovery import find_brokers
from fogsdk.errors import FogError
from fogsdk.node import broker_follow
from fogsdk.node.broker import Broker
from fogsdk.node.discovery import Discovery, Neighbour

NODES = ("pi-1", "pi-2", "pi-3")
BRIDGE = "bridge"
TASKS = "fogsdk.demo.terrain"
LOOPBACK = "127.0.0.1"

Say = Callable[[str], None]


class DemoSite:
    """The running processes. Made by :func:`open_site`."""

    def __init__(self, folder: Path, say: Say) -> None:
        self.site = f"demo-{secrets.token_hex(3)}"
        self.folder = folder
        self.found: dict[str, Neighbour] = {}
        self.urls: list[str] = []
        self._say = say
        self._processes: dict[str, asyncio.subprocess.Process] = {}

    async def start(self, name: str, module: str, *arguments: str) -> None:
        """Start one daemon; its log goes to a file of its own."""
        command = [sys.executable, "-m", module, *arguments, "--node", name, "--broker", "none"]
        follow = [sys.executable, "-I", "-S", broker_follow.__file__, str(os.getpid())]
        with (self.folder / f"{name}.log").open("wb") as log:
            self._processes[name] = await asyncio.create_subprocess_exec(
                *follow, *command, stdin=asyncio.subprocess.DEVNULL, stdout=log, stderr=log
            )

    def kill(self, name: str) -> None:
        """Kill one daemon with SIGKILL: no goodbye, no clean-up."""
        self._processes[name].send_signal(signal.SIGKILL)

    def check(self) -> None:
        """Raise FogError, with the end of its log, if a daemon ended by itself."""
        for name, process in self._processes.items():
            if process.returncode is not None and process.returncode != -signal.SIGKILL:
                log = (self.folder / f"{name}.log").read_text(errors="replace")
                raise FogError(f"{name} ended with exit code {process.returncode}:\n{log[-2000:]}")

    async def close(self) -> None:
        """End every daemon."""
        running = [process for process in self._processes.values() if process.returncode is None]
        for process in running:
            process.terminate()
        waits = [asyncio.ensure_future(process.wait()) for process in running]
        if waits:
            await asyncio.wait(waits, timeout=5)
        for process in running:
            if process.returncode is None:
                process.kill()
                await process.wait()

    async def on_node(self, neighbour: Neighbour, added: bool) -> None:
        """mDNS tells of a node."""
        if added:
            self.found[neighbour.id] = neighbour


@contextlib.asynccontextmanager
async def open_site(folder: Path, say: Say) -> AsyncIterator[DemoSite]:
    """Start everything, and end it all again at the end of the context."""
    demo = DemoSite(folder, say)
    site_broker, core_broker = Broker(LOOPBACK, 0), Broker(LOOPBACK, 0)
    discovery = Discovery(demo.site, "demo", role="device", interfaces=[LOOPBACK], on_node=demo.on_node)
    try:
        await site_broker.start()
        await core_broker.start()
        say(f"broker: {_kind(site_broker)} at {site_broker.url}; the core site has one of its own at {core_broker.url}")
        await discovery.start()
        await discovery.announce_broker(site_broker.port, host=LOOPBACK)
        await _start_daemons(demo, site_broker.url, core_broker.url)
        demo.urls = await _found_by_mdns(demo, site_broker.url)
        yield demo
    finally:
        await demo.close()
        await discovery.close()
        await core_broker.stop()
        await site_broker.stop()


def _kind(broker: Broker) -> str:
    if broker.kind == "mosquitto":
        return "mosquitto"
    return "the embedded one (amqtt), since mosquitto is not installed"


async def _start_daemons(demo: DemoSite, site_url: str, core_url: str) -> None:
    core = ["--tasks", TASKS, "--brokers", core_url, "--no-mdns", "--workers", "2", "--no-keep-journal"]
    await demo.start("core", "fogsdk.cloud.main", "core", *core, "--engine", "dask-local")
    here = ["--site", demo.site, "--mdns-interfaces", LOOPBACK]
    for name in NODES:  # they are told no broker: they find it by mDNS
        journal = str(demo.folder / f"{name}.journal")
        await demo.start(name, "fogsdk.node.main", "--tasks", TASKS, "--workers", "2", "--journal", journal, *here)
    spool = str(demo.folder / "spool.db")
    uplink = ["--core", core_url, "--spool", spool, "--brokers", site_url]
    await demo.start(BRIDGE, "fogsdk.cloud.main", "bridge", *uplink, *here)


async def _found_by_mdns(demo: DemoSite, fallback: str) -> list[str]:
    """The broker's URL as a device finds it."""
    loop = asyncio.get_running_loop()
    urls = await loop.run_in_executor(None, lambda: find_brokers(5.0, site=demo.site, interface=LOOPBACK))
    return urls or [fallback]
