"""What a task costs as a site grows: nodes, devices and bodies on real processes, and up to 10,000 nodes simulated.

    python -m benchmarks.scale [--quick] [--rounds 3] [--only nodes,devices] [--document docs/scale.md]

Every size is measured once, then every size again, each in a process of its own. What was found is kept in
build/scale.json: after a run of some sections only, the page shows the others as they were measured last.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from rich.progress import Progress

from benchmarks.scaling import page
from benchmarks.scaling.sections import SECTIONS, Found

ROOT = Path(__file__).resolve().parents[1]
KEPT = ROOT / "build" / "scale.json"
PATIENCE = 900.0
"""Seconds that one measurement may take."""


def main(argv: Sequence[str] | None = None) -> None:
    """Measure the sections, print them, and write the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", type=_names, default=list(SECTIONS), metavar="A,B", help=", ".join(SECTIONS))
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--quick", action="store_true", help="one round of few sizes: to try it, not to publish")
    parser.add_argument("--document", type=Path, help="the page to write, with a plot beside it")
    parser.add_argument("--one", nargs=2, metavar=("SECTION", "SIZE"), help=argparse.SUPPRESS)
    args = parser.parse_args(argv)
    if args.one:
        print(json.dumps(SECTIONS[args.one[0]].find()(int(args.one[1]))))
        return
    measured: dict[str, page.Rounds] = {} if args.quick or not KEPT.exists() else json.loads(KEPT.read_text())
    for name in args.only:
        measured[name] = measure(name, 1 if args.quick else args.rounds, quick=args.quick)
        print(page.section(SECTIONS[name], measured[name]), flush=True)
    measured = {name: measured[name] for name in SECTIONS if name in measured}
    if not args.quick:
        KEPT.parent.mkdir(exist_ok=True)
        KEPT.write_text(json.dumps(measured))
    print(page.goals(measured))
    if args.document:
        page.write(args.document, measured, "python -m benchmarks.scale")


def _names(text: str) -> list[str]:
    names = text.split(",")
    if unknown := [name for name in names if name not in SECTIONS]:
        raise argparse.ArgumentTypeError(f"there is no {', '.join(unknown)}; there are {', '.join(SECTIONS)}")
    return names


def measure(name: str, rounds: int, *, quick: bool) -> page.Rounds:
    """Every size of a section, so many times in turn."""
    section = SECTIONS[name]
    sizes = section.quick if quick else section.sizes
    found: page.Rounds = {str(size): [] for size in sizes}
    with Progress(transient=True) as progress:
        bar = progress.add_task(section.title, total=min(rounds, section.rounds) * len(sizes))
        for _ in range(min(rounds, section.rounds)):
            for size in sizes:
                found[str(size)].append(one(name, size))
                progress.advance(bar)
    return found


def one(name: str, size: int) -> Found:
    """One measurement. Raises RuntimeError with what it said where it fails."""
    command = [sys.executable, "-m", "benchmarks.scale", "--one", name, str(size)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=PATIENCE, check=False)
    if done.returncode:
        raise RuntimeError(f"{name} of {size}:\n{done.stderr[-4000:]}")
    found: Found = json.loads(done.stdout.splitlines()[-1])
    return found


if __name__ == "__main__":
    main()
