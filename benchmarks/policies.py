"""The workload of the FogComputing project on one and on two nodes, under each placement policy.

    python benchmarks/policies.py [--seconds 60] [--busy 0.7] [--document docs/load.md]

Every run has a broker and nodes of its own, as processes on this computer: one node with a worker for each core, or two
nodes that have half of the cores each (taskset, so that a node cannot borrow the other's). `fog load` sends the tasks.
"""

from __future__ import annotations

import argparse
import asyncio
import datetime
import json
import os
import platform
import shutil
import sys
from pathlib import Path
from typing import Any

from fogsdk.node.broker import Broker

POLICIES = ("predictive", "threshold", "queue-wait")
TASKS = "fogsdk.demo.load"


async def measure(nodes: int, policy: str, args: argparse.Namespace) -> dict[str, Any]:
    """Run one site under the workload and return what `fog load` reports."""
    broker = Broker(port=0)
    await broker.start()
    cores = sorted(os.sched_getaffinity(0))
    daemons = []
    try:
        for number in range(nodes):
            own = cores[number::nodes]
            flags = ["--node", f"n{number + 1}", "--workers", str(len(own)), "--policy", policy, "--tasks", TASKS]
            flags += ["--no-keep-journal"]
            daemons.append(
                await start(own, "fogsdk.node.main", *flags, "--brokers", broker.url, "--broker", "none", "--no-mdns")
            )
        await asyncio.sleep(3)  # heartbeats have told the nodes of each other
        work = ["--workload", "fogcomputing", "--busy", str(args.busy), "--cores", str(len(cores)), "--seed", "1"]
        load = ["load", *work, "--arrivals", "poisson", "--seconds", str(args.seconds), "--url", broker.url, "--json"]
        loader = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "fogsdk.cli.main", *load, stdout=asyncio.subprocess.PIPE
        )
        out, _ = await loader.communicate()
        report: dict[str, Any] = json.loads(out)
        return report
    finally:
        for daemon in daemons:
            daemon.terminate()
            await daemon.wait()
        await broker.stop()


async def start(cores: list[int], module: str, *arguments: str) -> asyncio.subprocess.Process:
    """Start a daemon that has only these cores."""
    pin = ["taskset", "--cpu-list", ",".join(map(str, cores))] if shutil.which("taskset") else []
    return await asyncio.create_subprocess_exec(
        *pin, sys.executable, "-m", module, *arguments, "--log-level", "warning"
    )


def rows(nodes: int, policy: str, report: dict[str, Any]) -> list[str]:
    """One row of the table for each class of tasks that was sent."""
    lines = []
    for one in report["classes"]:
        ran = ", ".join(f"{node} {count}" for node, count in sorted(one["nodes"].items()))
        cells = [
            nodes,
            policy,
            one["class"],
            one["submitted"],
            one["answered"],
            one["lost"],
            f"{one['in_time_share']:.1%}",
        ]
        times = [f"{one[key]:.1f}" for key in ("p50_ms", "p95_ms", "p99_ms")]
        lines.append("| " + " | ".join(map(str, [*cells, *times, ran])) + " |")
    return lines


def document(table: list[str], args: argparse.Namespace) -> str:
    """The page that the numbers are published on."""
    day = datetime.datetime.now(tz=datetime.timezone.utc).date()
    machine = f"{os.cpu_count()} cores, {platform.machine()}, Python {platform.python_version()}"
    command = f"python benchmarks/policies.py --seconds {args.seconds} --busy {args.busy}"
    return "\n".join([HEAD.format(day=day, machine=machine, command=command, busy=f"{args.busy:.0%}"), *table, TAIL])


HEAD = """# A workload, on one and on two nodes

The workload of the FogComputing project: light tasks (1 ms of one core, to be answered in 0.2 s) five to one with
middleweight ones (1.4 s, to be answered in 2 s), Poisson arrivals; the heavy ones (3 s) are off there by default, and
here. The rates are scaled so that the cores are {busy} busy. Two nodes have half of the cores each.

Made on {day} by `{command}` ({machine}).

| nodes | policy | class | sent | answered | lost | in time | p50 ms | p95 ms | p99 ms | where they ran |
|---|---|---|---|---|---|---|---|---|---|---|"""

TAIL = """
For comparison: the FogComputing project itself answered 319 of 478 accepted tasks within 120 s on one node, 1.5 % of
the light ones in time, and 89 of 400 pipelined ones.

A middleweight task alone takes 1.4 s of its 2 s, so at this load some are late on any policy: whoever comes while every
core is taken waits for one of them to end. Light tasks do not wait for those: each node has a worker for quick tasks
alone, which shares the cores with the others.
"""


async def main() -> None:
    """Measure every combination and write the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=int, default=60)
    parser.add_argument("--busy", type=float, default=0.7)
    parser.add_argument("--document", type=Path)
    args = parser.parse_args()
    table = []
    for nodes in (1, 2):
        for policy in POLICIES:
            lines = rows(nodes, policy, await measure(nodes, policy, args))
            print("\n".join(lines), flush=True)
            table += lines
    if args.document:
        args.document.write_text(document(table, args))


if __name__ == "__main__":
    asyncio.run(main())
