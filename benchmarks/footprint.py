"""What a node costs that has nothing to do, how soon it takes its first task, and how long ``import fogsdk`` takes.

    python -m benchmarks.footprint [--seconds 10]

Prints a table (Markdown). All is measured with its bytecode in place, as it is where pip installed it.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from statistics import median

import fogsdk
from benchmarks.harness import processes
from benchmarks.harness.report import figures
from benchmarks.harness.services import Services
from benchmarks.peers.fog_mqtt import start_node

DAEMON, WORKER = "fogsdk.node.main", "fogsdk.node.worker_forkserver"
STARTS = 9
_IMPORT = "import time; begin = time.perf_counter(); import fogsdk; print(time.perf_counter() - begin)"


def main() -> None:
    """Measure, and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=10.0, help="how long the idle node is watched")
    args = parser.parse_args()
    processes.adopt()
    with tempfile.TemporaryDirectory() as folder:
        os.environ["PYTHONPYCACHEPREFIX"] = folder
        os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
        _measure(args.seconds)


def _measure(seconds: float) -> None:
    print("| | measured | goal |\n|---|---|---|")
    print(f"| import fogsdk, ms | {figures(import_time() * 1000)} | under 100 |")
    try:
        with Services() as services:
            _node(services, seconds)
    finally:
        processes.end_descendants()


def import_time() -> float:
    """Seconds that a new Python takes to import the SDK, its bytecode being there already."""
    runs = [subprocess.run([sys.executable, "-c", _IMPORT], capture_output=True, check=True) for _ in range(6)]
    return median(float(run.stdout) for run in runs[1:])


def _node(services: Services, seconds: float) -> None:
    services.start_broker("mosquitto")
    starts = []
    for _ in range(1 + STARTS):
        node, took = _start(services)
        time.sleep(0.5)  # what it loads soon after has its bytecode written too
        node.terminate()
        node.wait()
        starts.append(took)
    del starts[0]  # it wrote the bytecode
    print(f"| first task done after the node's start, s | {figures(median(starts))} | 0.6 |")
    _start(services)
    time.sleep(2)  # what it does once, soon after its start, is over
    before = processes.cpu_by_name()
    time.sleep(seconds)
    after = processes.cpu_by_name()
    held = processes.memory()
    daemon, *_ = (each for each in held if each["what"] == DAEMON)
    forked = [each for each in held if each["what"] == WORKER]
    pss = median(each["pss"] for each in forked) / 1e6
    used = {what: (after[what] - before[what]) / seconds for what in (DAEMON, WORKER)}
    print(f"| daemon: RSS, MB | {figures(daemon['rss'] / 1e6)} | 40 |")
    print(f"| daemon: PSS, MB | {figures(daemon['pss'] / 1e6)} | |")
    print(f"| each of {len(forked) - 1} workers and their fork server: PSS, MB | {figures(pss)} | 12 |")
    print(f"| all of the node: PSS, MB | {figures((daemon['pss'] + sum(each['pss'] for each in forked)) / 1e6)} | |")
    print(f"| idle, all of the node: share of a core | {sum(used.values()):.2%} | 1 % |")


def _start(services: Services) -> tuple[subprocess.Popen[bytes], float]:
    """Start a node; returns it, and the seconds until its first task was done."""
    with fogsdk.connect(services.broker) as fog:
        begin = time.perf_counter()
        node = start_node(services, "--brokers", services.broker, "--workers", "2")
        fog.submit("increment", 1).result(30)
        return node, time.perf_counter() - begin


if __name__ == "__main__":
    main()
