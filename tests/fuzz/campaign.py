"""Fuzzed inputs by the hundred thousand at every door of a real node, and at a real device of the SDK.

    python -m tests.fuzz.campaign --inputs 1000000 --seed 7

In between come well-formed requests, each of which must be answered. At the end the node is still the same process, its
memory has not grown with what it was sent, its log holds no traceback, and it is short.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import threading
import time
from dataclasses import dataclass
from pathlib import Path

import psutil

from tests.conformance.conftest import NODE, OpenSite
from tests.fuzz.feeders import FEEDERS, Feeder

SHARES = {"mqtt": 0.5, "device": 0.2, "coap": 0.15, "http": 0.15}
"""What part of the inputs goes to each door."""
MOST_GROWTH, FOR_EACH = 16 * 1024 * 1024, 32
"""Bytes by which a node may be larger at the end than after a fifth of the inputs, and how many more for each input:
outcomes and exchanges are kept for minutes, in which a million may come. One object leaked for each would be more."""
LONGEST_LOG = 400
"""Lines."""


@dataclass
class Finding:
    """What came of a campaign. ``broken`` says what must not be; it is empty where all is well."""

    inputs: dict[str, int]
    asked: int
    broken: list[str]
    seconds: float
    grown: int


def fuzz(folder: Path, inputs: int, seed: int, limit: float) -> Finding:
    """Feed every door at once, each from a thread of its own, for ``limit`` seconds at the most."""
    site = OpenSite(folder)
    try:
        site.open()
        began = time.monotonic()
        feeders = [FEEDERS[door](site, int(inputs * share), f"{seed} {door}") for door, share in SHARES.items()]
        grown = _feed(site, feeders, began + limit)
        broken = [f"{feeder.door}: {what}" for feeder in feeders for what in feeder.broken]
        broken += _look(site)
        if grown > MOST_GROWTH + FOR_EACH * inputs:
            broken.append(f"{NODE} grew by {grown / 2**20:.1f} MiB")
        fed = {feeder.door: feeder.fed for feeder in feeders}
        return Finding(fed, sum(feeder.asked for feeder in feeders), broken, time.monotonic() - began, grown)
    finally:
        site.close()


def _feed(site: OpenSite, feeders: list[Feeder], until: float) -> int:
    """Returns by how many bytes the node has grown since a fifth of the inputs were in."""
    threads = [threading.Thread(target=feeder.run, args=(until,)) for feeder in feeders]
    for thread in threads:
        thread.start()
    warm = 0
    while any(thread.is_alive() for thread in threads):
        threads[0].join(0.2)
        done = sum(feeder.fed for feeder in feeders) / sum(feeder.inputs for feeder in feeders)
        if not warm and (done > 0.2 or time.monotonic() > until - 1):
            warm = _memory(site)
        _show(done)
    for thread in threads:
        thread.join()
    return _memory(site) - warm if warm else 0


def _memory(site: OpenSite) -> int:
    try:
        return int(psutil.Process(site.nodes[NODE].pid).memory_info().rss)
    except psutil.NoSuchProcess:
        return 0


def _show(done: float) -> None:
    if sys.stderr.isatty():
        print(f"\r{done:6.1%} ", end="", file=sys.stderr, flush=True)


def _look(site: OpenSite) -> list[str]:
    """What is wrong with the node afterwards."""
    node = site.nodes[NODE]
    if not node.running:
        return [f"{NODE} ended:\n{node.output[-3000:]}"]
    log, broken = node.output, []
    if "Traceback" in log:
        broken.append(f"a traceback in the log of {NODE}:\n{log[log.index('Traceback') :][:3000]}")
    if log.count("\n") > LONGEST_LOG:
        broken.append(f"the log of {NODE} has {log.count(chr(10))} lines, such as {log[-500:]}")
    if node.terminate() != 0:
        broken.append(f"{NODE} ended in disorder:\n{node.output[-3000:]}")
    return broken


def main() -> int:
    """Run a campaign from the command line; returns 1 where something is broken."""
    parser = argparse.ArgumentParser("python -m tests.fuzz.campaign", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--inputs", type=int, default=1_000_000, help="how many in all (default: 1000000)")
    parser.add_argument("--seed", type=int, default=int(time.time()), help="draws the inputs (default: the time)")
    parser.add_argument("--limit", type=float, default=1800.0, help="seconds after which it ends (default: 1800)")
    args = parser.parse_args()
    print(f"seed {args.seed}", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        finding = fuzz(Path(folder), args.inputs, args.seed, args.limit)
    doors = ", ".join(f"{count} to {door}" for door, count in finding.inputs.items())
    print(f"{sum(finding.inputs.values())} inputs in {finding.seconds:.0f} s: {doors}")
    print(f"{finding.asked} well-formed requests in between; the node grew by {finding.grown / 2**20:.1f} MiB")
    for what in finding.broken:
        print(f"BROKEN: {what}")
    print("no crash, no leak, every well-formed request answered" if not finding.broken else "", flush=True)
    return 1 if finding.broken else 0


if __name__ == "__main__":
    sys.exit(main())
