"""fogsdk beside floors and peers: the same three works, on the same computer, in interleaved rounds.

    make bench ARGS="--rounds 3 --only fog_mqtt,composed --quick"

Installs the peers into .venv-bench, measures, and writes docs/performance.md with its plots; a run of a part only
(--only, --quick) writes build/performance.md instead. All numbers also go to build/performance.json.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from benchmarks.harness import environment
from benchmarks.peers import PEERS, Peer

if TYPE_CHECKING:
    from benchmarks.harness.rounds import Findings, Plan

ROOT = Path(__file__).resolve().parents[1]
MISSING = "FOGSDK_BENCH_MISSING"
"""Tells the second half of this program, in the peers' environment, what could not be installed there."""


def main() -> None:
    """Get ready, measure, report."""
    args = _arguments()
    os.chdir(ROOT)
    peers = [peer for peer in PEERS if not args.only or peer.module in args.only]
    if MISSING not in os.environ:
        _restart_within(environment.prepare(peers))
    missing: dict[str, str] = json.loads(os.environ.pop(MISSING))
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # as orderly as Ctrl-C
    from benchmarks.harness import report  # these need packages that are here only now
    from benchmarks.harness.rounds import Plan

    plan = Plan(args.rounds, 0.5, 300) if args.quick else Plan(args.rounds, 2.0, 3000)
    findings = _measure([peer for peer in peers if peer.module not in missing], plan)
    findings.failed |= missing
    folder = ROOT / ("build" if args.quick or args.only else "docs")
    (ROOT / "build").mkdir(exist_ok=True)
    (ROOT / "build" / "performance.json").write_text(json.dumps(vars(findings)))
    others = [] if args.only else ["footprint", "large"]
    report.write(folder, peers, findings, plan, "make bench" + _as_given(), {name: _table(name) for name in others})


def _table(name: str) -> str:
    """What one of the smaller benchmarks prints."""
    command = [sys.executable, "-m", f"benchmarks.{name}"]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False)
    return done.stdout or f"not measured: it ended with exit code {done.returncode}"


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5, help="how often everything is measured (default: 5)")
    names = ", ".join(peer.module for peer in PEERS)
    parser.add_argument("--only", type=_names, default=[], metavar="A,B", help=f"measure these alone, of: {names}")
    parser.add_argument(
        "--quick", action="store_true", help="a quarter of the time for each: to try it, not to publish"
    )
    return parser.parse_args()


def _names(text: str) -> list[str]:
    known, names = {peer.module for peer in PEERS}, text.split(",")
    if unknown := [name for name in names if name not in known]:
        raise argparse.ArgumentTypeError(f"there is no {', '.join(unknown)}; there are {', '.join(sorted(known))}")
    return names


def _as_given() -> str:
    return f' ARGS="{" ".join(sys.argv[1:])}"' if sys.argv[1:] else ""


def _restart_within(missing: dict[str, str]) -> NoReturn:
    """Go on in the benchmarks' own environment."""
    python = str(environment.PYTHON)
    command = [python, "-m", "benchmarks.bench", *sys.argv[1:]]
    os.execve(python, command, os.environ | {MISSING: json.dumps(missing)})  # noqa: S606


def _measure(peers: list[Peer], plan: Plan) -> Findings:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    from benchmarks.harness.rounds import run

    columns = (BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), TextColumn("{task.description}"))
    with Progress(*columns, console=Console(stderr=True)) as progress:
        bar = progress.add_task("", total=plan.rounds * len(peers))

        def show(number: int, peer: Peer, step: str) -> None:
            done = number * len(peers) + peers.index(peer)
            progress.update(bar, completed=done, description=f"round {number + 1}: {peer.title}: {step}")

        findings = run(peers, plan, show)
        progress.update(bar, completed=plan.rounds * len(peers), description="done")
    return findings


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        sys.exit(130)
