"""One contender, measured once, in a process of its own.

    python -m benchmarks.harness.measure MODULE --since T --seconds S --calls N --outstanding N

Prints lines of JSON: what it does next, and at the end what it found. ``--since`` is the time of CLOCK_MONOTONIC when
this process was started, from which the time to the first result counts.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import time
from typing import Any, TextIO

from benchmarks.harness import works
from benchmarks.harness.contender import Contender, Limit
from benchmarks.harness.services import Services
from benchmarks.peers import PEERS, Peer

WARM_UP = Limit(0.3, 500)


def main() -> None:
    """Measure, and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("module")
    parser.add_argument("--since", type=float, required=True)
    parser.add_argument("--seconds", type=float, required=True)
    parser.add_argument("--calls", type=int, required=True)
    parser.add_argument("--outstanding", type=int, required=True)
    args = parser.parse_args()
    out = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)  # contenders may print
    from benchmarks.harness import processes  # imports psutil: part of nobody's start

    processes.adopt()
    peer = next(peer for peer in PEERS if peer.module == args.module)
    with Services() as services:
        try:
            found = Measurement(peer, services, args, out).run()
        except Exception as error:
            raise RuntimeError(f"{type(error).__name__}: {error}\n{services.said()}") from error
    print(json.dumps({"found": found}), file=out)


class Measurement:
    """Everything that is measured of one contender."""

    def __init__(self, peer: Peer, services: Services, args: argparse.Namespace, out: TextIO) -> None:
        self._peer, self._services, self._args, self._out = peer, services, args, out

    def run(self) -> dict[str, Any]:
        """Start the contender, measure it, and stop it."""
        from benchmarks.harness import processes

        self._say("starting")
        if self._peer.broker in ("mosquitto", "redis"):
            self._services.start_broker(self._peer.broker)
        contender = make(self._peer)
        contender.start(self._services)
        self._check(contender, "increment", Limit(1, 1))
        found: dict[str, Any] = {"first_result": time.monotonic() - self._args.since}
        for work in self._peer.works:
            self._check(contender, work, WARM_UP)
            found[work] = self._one_by_one(contender, work) | self._at_once(contender, work)
        found["memory"] = processes.memory()
        contender.stop()
        return found

    def _check(self, contender: Contender, work: str, limit: Limit) -> None:
        self._say(f"{work}, warming up")
        _, result = contender.one_by_one(work, works.ARGUMENTS[work], limit)
        wanted = works.ARGUMENTS if self._peer.is_echo else works.RESULTS
        if result != wanted[work]:
            raise RuntimeError(f"{work} returned something else")

    def _one_by_one(self, contender: Contender, work: str) -> dict[str, float]:
        self._say(f"{work}, one by one")
        limit = Limit(self._args.seconds, self._args.calls)
        (taken, _), cpu = self._with_cpu(lambda: contender.one_by_one(work, works.ARGUMENTS[work], limit))
        taken.sort()
        shares = {f"p{share}": taken[min(len(taken) - 1, len(taken) * share // 100)] for share in (50, 95, 99)}
        return {**shares, "calls": len(taken), "cpu_alone": cpu / len(taken)}

    def _at_once(self, contender: Contender, work: str) -> dict[str, float]:
        self._say(f"{work}, {self._args.outstanding} at once")
        argument, outstanding = works.ARGUMENTS[work], self._args.outstanding
        contender.at_once(work, argument, outstanding, Limit(WARM_UP.seconds))
        limit = Limit(self._args.seconds)
        (calls, taken), cpu = self._with_cpu(lambda: contender.at_once(work, argument, outstanding, limit))
        return {"per_second": calls / taken, "cpu": cpu / calls}

    def _with_cpu(self, measure: Any) -> tuple[Any, float]:
        from benchmarks.harness.processes import cpu_seconds

        before = cpu_seconds()
        result = measure()
        return result, cpu_seconds() - before

    def _say(self, step: str) -> None:
        print(json.dumps({"step": step}), file=self._out)


def make(peer: Peer) -> Contender:
    """The contender of a module: the one class of this kind that it defines."""
    module = importlib.import_module(f"benchmarks.peers.{peer.module}")
    kinds = [each for each in vars(module).values() if isinstance(each, type) and issubclass(each, Contender)]
    return next(kind for kind in kinds if kind.__module__ == module.__name__)()


if __name__ == "__main__":
    main()
