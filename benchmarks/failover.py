"""How much longer a user waits when something dies under their task.

    python -m benchmarks.failover [--repeats 20] [--only node,broker] [--document docs/failover.md]

Real brokers, nodes and a core site, each on a computer of its own (a network namespace: needs root, iproute2 and
nftables). In each repeat one task of 0.3 s runs and the fault strikes at another moment of its run; another task is
handed in at the moment of the fault. The slower of the two counts.
"""

from __future__ import annotations

import argparse
import os
import signal
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rich.progress import Progress

from benchmarks.machine import machine, today
from fogsdk import Fog
from tests.e2e.journal import Entry, Journal
from tests.e2e.site import TASKS, wait_for_nodes
from tests.network.site import Site
from tests.support.waiting import eventually

NODES = ("n1", "n2")
SECONDS = 0.3
"""What the task under test takes."""
PATIENCE = 30.0


@dataclass(frozen=True)
class Fault:
    """One kind of fault: what strikes the node and process that run the task, and what mends it afterwards."""

    title: str
    goal: float  # seconds
    strike: Callable[[Site, Entry], None]
    mend: Callable[[Site, Entry], None] = lambda _site, _entry: None
    brokers: int = 1
    cloud: bool = False


def kill_worker(_: Site, entry: Entry) -> None:
    """The process that runs the task."""
    os.kill(entry.pid, signal.SIGKILL)


def kill_node(site: Site, entry: Entry) -> None:
    """The daemon whose worker runs the task."""
    site.nodes[entry.node].kill()


def kill_nodes(site: Site, _: Entry) -> None:
    """Every node of the fog."""
    for node in NODES:
        site.nodes[node].kill()


FAULTS = {
    "worker": Fault("the worker is killed", 0.05, kill_worker),
    "node": Fault("the node is killed", 0.1, kill_node, lambda site, entry: site.start(entry.node)),
    "node-cable": Fault(
        "the node's cable is pulled",
        1.0,
        lambda site, entry: site.network[entry.node].pull_cable(),
        lambda site, entry: site.network[entry.node].plug_in(),
    ),
    "broker": Fault(
        "the broker is killed, another is there",
        1.0,
        lambda site, _: site.brokers["b1"].kill(),
        lambda site, _: site.start_broker("b1"),
        brokers=2,
    ),
    "broker-cable": Fault(
        "the broker's cable is pulled, another is there",
        1.0,
        lambda site, _: site.network["b1"].pull_cable(),
        lambda site, _: site.network["b1"].plug_in(),
        brokers=2,
    ),
    "fog": Fault(
        "all fog nodes are killed, the core takes over",
        1.0,
        kill_nodes,
        lambda site, _: site.start(*NODES),
        cloud=True,
    ),
}


@dataclass
class Measured:
    """Seconds, one for each repeat. ``extra`` is without the work that was lost with the victim, ``in_all`` with it."""

    extra: list[float] = field(default_factory=list)
    in_all: list[float] = field(default_factory=list)


# ------------------------------------------------------------ one fault


def measure(fault: Fault, repeats: int, folder: Path, done: Callable[[], None]) -> Measured:
    """Let a fault strike so many times and see what a user sees of it."""
    others = ("device", "bridge", "core", "core-broker") if fault.cloud else ("device",)
    site = Site(folder, NODES, fault.brokers, others)
    measured = Measured()
    try:
        if fault.cloud:
            start_cloud(site)
        site.start(*NODES)
        for number in range(repeats):
            moment = SECONDS * (number + 0.5) / repeats
            site.wait_until_heard(*NODES)
            with site.connect() as fog:
                wait_for_nodes(fog, *NODES, *(["bridge"] if fault.cloud else []))
                entry = strike(fault, site, fog, moment, measured)
            fault.mend(site, entry)
            done()
    finally:
        site.close()
    return measured


def start_cloud(site: Site) -> None:
    """Start a core site with a Dask cluster, and the bridge to it."""
    broker = site.network["core-broker"]
    config = site.folder / "core-broker.conf"
    config.write_text(f"listener 1883 {broker.address}\nallow_anonymous true\nuser root\n")
    site.run(broker, "mosquitto", "-c", str(config)).wait_for("running")
    core_url = f"mqtt://{broker.address}"
    fogcloud = (sys.executable, "-m", "fogsdk.cloud.main")
    core = ("core", "--node", "core-1", "--tasks", TASKS, "--workers", "2", "--brokers", core_url, "--no-mdns")
    site.run(site.network["core"], *fogcloud, *core)
    bridge = ("bridge", "--node", "bridge", "--core", core_url, "--brokers", ",".join(site.urls), "--no-mdns")
    site.run(site.network["bridge"], *fogcloud, *bridge, "--spool", str(site.folder / "spool.db"))
    with site.connect() as fog:
        eventually(lambda: offers_work(fog), PATIENCE, what="the bridge with the tasks of the core site")


def offers_work(fog: Fog) -> bool:
    """Whether a device sees what the core site offers."""
    bridge = fog.nodes().get("bridge")
    return bridge is not None and any(info.name == "work" for info in bridge.tasks)


def strike(fault: Fault, site: Site, fog: Fog, moment: float, measured: Measured) -> Entry:
    """Let the fault strike ``moment`` seconds after a task has begun; returns where that ran."""
    journal = Journal(site.folder / "journal")
    own = [timed(fog, "work", journal.path, "own", SECONDS) for _ in range(3)]
    own_light = [timed(fog, "increment", 1) for _ in range(3)]

    name = f"task-{len(measured.extra)}"
    task = Stopwatch(fog, "work", journal.path, name, SECONDS)
    entry = begun(journal, name)
    began = time.monotonic()
    time.sleep(moment)
    struck = time.monotonic()
    fault.strike(site, entry)
    light = Stopwatch(fog, "increment", 1)
    in_all = task.wait() - statistics.median(own)
    lost = struck - began if len(journal.begun(name)) > 1 else 0.0
    measured.in_all.append(in_all)
    measured.extra.append(max(in_all - lost, light.wait() - statistics.median(own_light)))
    return entry


def begun(journal: Journal, name: str) -> Entry:
    """Wait until a task runs; returns where."""
    by = time.monotonic() + PATIENCE
    while not (entries := journal.begun(name)):
        if time.monotonic() > by:
            raise RuntimeError(f"{name} did not begin")
        time.sleep(0.0005)
    return entries[0]


class Stopwatch:
    """A task handed in, and the time until its result is there."""

    def __init__(self, fog: Fog, *call: Any) -> None:
        self._ended = 0.0
        self._begun = time.monotonic()
        self._future = fog.submit(*call)
        self._future.add_done_callback(self._stop)

    def _stop(self, _: object) -> None:
        self._ended = time.monotonic()

    def wait(self) -> float:
        """The seconds it took."""
        self._future.result(PATIENCE)
        while not self._ended:  # a future wakes who waits for it before it calls back
            time.sleep(0.0001)
        return self._ended - self._begun


def timed(fog: Fog, *call: Any) -> float:
    """Run a task; returns the seconds it took."""
    return Stopwatch(fog, *call).wait()


# ------------------------------------------------------------ the page

HEAD = """# What a user notices when something dies

A task of {seconds:.1f} s runs, and something dies under it. The table says how much longer than the task's own time the
user waits: the median and the worst of {repeats} repeats, in milliseconds. The fault strikes at another moment of the
run in each, spread evenly over it; a second task is handed in at the moment of the fault, and the slower one counts.

The task's own time is measured in the same minute, undisturbed, and taken off. Where the task was lost with its victim
it runs again from its beginning; the work of the first run, gone by then, is not part of the first two numbers and is
part of the last two. It grows with the task, whatever the fog does. The goal is held against the first two.

Made on {day} by `python -m benchmarks.failover --repeats {repeats}` ({machine}). Each broker, node and device has a
network namespace of its own and a cable to one switch; a pulled cable resets no connection.

| what happens | goal | median | worst | | with the work lost: median | worst |
|---|---|---|---|---|---|---|"""

TAIL = """
For comparison: Mir et al. (Sensors 2022, 22, 8778) published 1000 ms from node to node and 2000 ms from the fog to the
core, with a heartbeat of 5 s.
"""


def row(fault: Fault, measured: Measured) -> str:
    """One row of the table."""
    met = "met" if max(measured.extra) < fault.goal else "missed"
    numbers = [
        f"{1000 * value:.0f}"
        for times in (measured.extra, measured.in_all)
        for value in (statistics.median(times), max(times))
    ]
    cells = [fault.title, f"under {1000 * fault.goal:.0f}", *numbers[:2], met, *numbers[2:]]
    return "| " + " | ".join(cells) + " |"


def main(argv: Sequence[str] | None = None) -> None:
    """Measure the faults and write the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=20)
    parser.add_argument("--only", default=",".join(FAULTS), help=f"some of {', '.join(FAULTS)}")
    parser.add_argument("--document", type=Path)
    args = parser.parse_args(argv)
    results: dict[str, Measured] = {}
    with tempfile.TemporaryDirectory() as folder, Progress() as progress:
        for name in args.only.split(","):
            fault = FAULTS[name]
            bar = progress.add_task(fault.title, total=args.repeats)
            own = Path(folder) / name
            own.mkdir()
            results[name] = measure(fault, args.repeats, own, lambda bar=bar: progress.advance(bar))  # type: ignore[misc]
            progress.console.print(row(fault, results[name]), soft_wrap=True)
    if args.document:
        head = HEAD.format(seconds=SECONDS, repeats=args.repeats, day=today(), machine=machine())
        table = [row(FAULTS[name], measured) for name, measured in results.items()]
        args.document.write_text("\n".join([head, *table, TAIL]))


if __name__ == "__main__":
    main()
