"""A guard against getting slower: what a task costs in things that can be counted must not exceed what is recorded.

    python -m benchmarks.guard [--record] [--show] [--only lines,calls,traffic,system,copies] [--figures FILE]

Counts, for each task, on a real broker, a real node and a real device, with one task at a time and with 256 at once:
functions called, MQTT packets and bytes, system calls; for a large body, how often it is in memory; and, in the cores
alone, the lines of Python that run on a small site and on one of a thousand nodes. Times would differ from machine to
machine and from minute to minute; these figures hardly do.

A figure that is over its bound is measured again, twice if need be, and the least of it counts. The exit code is 1 when
one rose. What is meant to cost more is recorded with --record, in benchmarks/guard.json, and committed with its cause.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from benchmarks.counts.parts import PARTS, Figures, Part

RECORDED = Path(__file__).with_suffix(".json")
PYTHON = f"Python {sys.version_info.major}.{sys.version_info.minor}"
ANY = "any Python"
TRIES = 3

Records = dict[str, dict[str, float]]


@dataclass(frozen=True)
class Row:
    """One figure: what is recorded (None: nothing yet), what it may be, and what it is."""

    name: str
    recorded: float | None
    bound: float
    now: float

    @property
    def rose(self) -> bool:
        return self.now > self.bound

    @property
    def fell(self) -> bool:
        """Whether it is as far below what is recorded as it may be above: else it could rise again unnoticed."""
        return self.recorded is not None and self.now * self.bound < self.recorded**2


def main(argv: Sequence[str] | None = None) -> int:
    """Measure, and compare or record; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--record", action="store_true", help="record the figures as they are now, in place of checking"
    )
    parser.add_argument("--show", action="store_true", help="print all figures, not only those that rose")
    parser.add_argument("--only", type=_names, default=list(PARTS), metavar="A,B", help=f"some of {', '.join(PARTS)}")
    parser.add_argument("--figures", type=Path, default=RECORDED, metavar="FILE", help="where they are recorded")
    args = parser.parse_args(argv)
    records: Records = json.loads(args.figures.read_text()) if args.figures.exists() else {}
    if args.record:
        return _record(args.only, args.figures, records)
    return _check(args.only, records, args.show)


def _names(text: str) -> list[str]:
    names = text.split(",")
    if unknown := [name for name in names if name not in PARTS]:
        raise argparse.ArgumentTypeError(f"there is no {', '.join(unknown)}; there are {', '.join(PARTS)}")
    return names


def _record(names: list[str], path: Path, records: Records) -> int:
    for name in names:
        part = PARTS[name]
        runs = [part.measure() for _ in range(TRIES)]
        for figure in runs[0]:
            value = median(run[figure] for run in runs)
            records.setdefault(_section(part), {})[figure] = round(value, 3)
            print(f"{figure}: {_number(value)}", flush=True)
    path.write_text(json.dumps(records, indent=2, sort_keys=True) + "\n")
    return 0


def _section(part: Part) -> str:
    return PYTHON if part.by_python else ANY


def _check(names: list[str], records: Records, show: bool) -> int:
    rows, notes = [], []
    for name in names:
        part = PARTS[name]
        recorded = records.get(_section(part), {})
        if part.by_python and not recorded:
            notes.append(f"nothing is recorded for {PYTHON}: {name} is not checked; record it with --record")
            continue
        try:
            rows += _rows(part, recorded)
        except RuntimeError as error:
            if os.environ.get("CI"):
                raise
            notes.append(f"{name} is not checked: {error}")
    return _report(rows, notes, show)


def _rows(part: Part, recorded: dict[str, float]) -> list[Row]:
    figures: Figures = {}
    for _ in range(TRIES):
        for name, value in part.measure().items():
            figures[name] = min(value, figures.get(name, value))
        rows = [_row(part, name, recorded.get(name), value) for name, value in figures.items()]
        if not any(row.rose for row in rows):
            break
    return rows


def _row(part: Part, name: str, recorded: float | None, now: float) -> Row:
    return Row(name, recorded, 0.0 if recorded is None else part.bound(name, recorded), now)


def _report(rows: list[Row], notes: list[str], show: bool) -> int:
    rose = [row for row in rows if row.rose]
    for note in notes:
        print(f"guard: {note}")
    if shown := rows if show else rose:
        print(_table(shown))
    if fell := [row.name for row in rows if row.fell]:
        print(f"guard: fell, and worth recording anew: {'; '.join(fell)}")
    if not rose:
        print(f"guard: {len(rows)} figures, none rose")
        return 0
    print(
        f"guard: {len(rose)} of {len(rows)} figures rose, each measured {TRIES} times. If that is wanted, record it "
        "and say why in the commit: python -m benchmarks.guard --record"
    )
    return 1


def _table(rows: list[Row]) -> str:
    """The figures side by side, for people."""
    width = max(len(row.name) for row in rows)
    lines = [f"{'for each task':{width}}  {'recorded':>9}  {'at most':>9}  {'now':>9}"]
    for row in rows:
        recorded = "-" if row.recorded is None else _number(row.recorded)
        verdict = "" if not row.rose else "  not recorded yet" if row.recorded is None else f"  {_rise(row):+.0%}"
        lines.append(f"{row.name:{width}}  {recorded:>9}  {_number(row.bound):>9}  {_number(row.now):>9}{verdict}")
    return "\n".join(lines)


def _rise(row: Row) -> float:
    return row.now / (row.recorded or row.now) - 1


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.2f}"


if __name__ == "__main__":
    sys.exit(main())
