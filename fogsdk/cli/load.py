"""``fog load``: puts a known load on a site and reports how it bears it."""

from __future__ import annotations

import argparse
import csv
import random
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fogsdk.cli.loadgen import Generator, Kind, schedule
from fogsdk.cli.options import add_common, complete_files, connect, number, seconds
from fogsdk.cli.output import live_table, milliseconds, note, percent, write_json, write_table
from fogsdk.errors import ConfigError, TaskRefused

if TYPE_CHECKING:
    from fogsdk.device.fog import Fog

HELP = "put a known load on the site and report how it bears it"
MORE = """RATE is 200/min, 3.3/s or 10/h. Tasks are sent when they are due, whatever
became of those before. A task that is answered past its deadline is late; one
that is not answered --grace seconds after the last was sent is lost. Latency
counts from the moment that a task was due. The exit code is 1 when a task
failed or was lost.

The nodes have to offer the tasks: fognode --tasks fogsdk.demo.load

examples:
  fog load --workload fogcomputing --seconds 60
  fog load --workload fogcomputing --busy 0.7 --cores 2 --arrivals poisson --seed 1
  fog load --light 20/s --middle 30/min --seconds 10 --csv report.csv"""

LABELS = ("light", "middle", "heavy")
DEADLINES = {"light": 0.2, "middle": 2.0, "heavy": 5.0}
SIZES = {"light": 1.0, "middle": 1400.0, "heavy": 3000.0}
WORKLOADS = {"fogcomputing": {"light": 200 / 60, "middle": 40 / 60, "heavy": 0.0}}
"""Rates a second. ``fogcomputing`` is what github.com/Dongfeng-He/FogComputing was measured with."""
MOST_LAG = 0.02
"""Seconds behind its own plan from which the generator's computer is said to be too slow for it."""

_UNITS = {"s": 1.0, "min": 60.0, "h": 3600.0}
_COLUMNS = (
    "class", ">submitted", ">answered", ">in time", ">late", ">lost", ">refused", ">failed",
    ">p50", ">p95", ">p99", "where",
)  # fmt: skip
_LIVE = tuple(">open" if title == ">lost" else title for title in _COLUMNS)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of this command."""
    option = parser.add_argument
    known = "known rates: light 200/min, middle 40/min, heavy off"
    option("--workload", choices=sorted(WORKLOADS), help=known)
    option("--seconds", type=seconds, default=60.0, metavar="N", help="how long to send (default: 60)")
    option("--grace", type=seconds, default=30.0, metavar="N", help="how long to wait for the rest (default: 30)")
    option("--arrivals", choices=("fixed", "poisson"), default="fixed", help="evenly, or by chance")
    option("--seed", type=int, metavar="N", help="makes chance repeatable")
    scale = parser.add_mutually_exclusive_group()
    scale.add_argument("--scale", type=_positive, default=1.0, metavar="X", help="multiply all rates")
    busy = "scale the rates so that they keep this share of --cores busy"
    scale.add_argument("--busy", type=_positive, metavar="SHARE", help=busy)
    option("--cores", type=_positive, metavar="N", help="cores of all nodes together, for --busy")
    enforce = "send the deadlines along: what is late is given up"
    option("--enforce-deadlines", action="store_true", help=enforce)
    complete_files(option("--csv", type=Path, metavar="FILE", help="write the report to a file, too"))
    for label in LABELS:
        _add_class(parser.add_argument_group(f"{label} tasks"), label)
    add_common(parser)


def _add_class(group: argparse._ArgumentGroup, label: str) -> None:
    option, default = group.add_argument, "(default: %(default)s)"
    option(f"--{label}", metavar="RATE", type=rate, help="how many are sent (default: none)")
    option(f"--{label}-task", metavar="NAME", default=f"load_{label}", help=default)
    size = f"their one argument: milliseconds of CPU time {default}"
    option(f"--{label}-size", metavar="MS", type=_size, default=SIZES[label], help=size)
    deadline = f"answered within this they are in time {default}"
    option(f"--{label}-deadline", metavar="SECONDS", type=seconds, default=DEADLINES[label], help=deadline)


def rate(text: str) -> float:
    """Tasks a second, from text such as ``200/min``; for argparse."""
    count, _, unit = text.partition("/")
    try:
        value = float(count) / (1.0 if text == "0" else _UNITS[unit])
    except (ValueError, LookupError):
        raise argparse.ArgumentTypeError(f"must be a rate such as 200/min, 3.3/s or 10/h, not {text}") from None
    if not 0 <= value <= 1e5:
        raise argparse.ArgumentTypeError(f"must be 0/s to 100000/s, not {text}")
    return value


def _positive(text: str) -> float:
    return number(text, "a number", above=True)


def _size(text: str) -> float:
    return number(text, "a number of milliseconds")


def run(args: argparse.Namespace) -> int:
    """Send the load, and report."""
    kinds = plan(args)
    seed = None
    if args.arrivals == "poisson":
        seed = random.randrange(2**32) if args.seed is None else args.seed
    with connect(args) as fog:
        await_tasks(fog, {kind.task for kind in kinds}, args.timeout, "--light-task and its like")
        with live_table(_LIVE) as show:
            generator = Generator(fog, kinds, args.enforce_deadlines, lambda: show([_row(kind) for kind in kinds]))
            generator.run(schedule(kinds, args.seconds, seed), args.grace)
    if generator.lag > MOST_LAG:
        late = f"tasks were sent up to {generator.lag * 1000:.0f} ms after they were due"
        note(f"fog: {late}: this computer is busy itself, and its delays are part of the latencies")
    for kind in kinds:
        for error, count in kind.errors.most_common(3):
            note(f"fog: {count} {kind.label}: {error}")
    _report(args, kinds, seed)
    return 1 if any(kind.failed or kind.lost for kind in kinds) else 0


def plan(args: argparse.Namespace) -> list[Kind]:
    """The classes that are sent, with their rates. Raises ConfigError for options that do not go together."""
    preset = WORKLOADS.get(args.workload, {})
    kinds = []
    for label in LABELS:
        given = getattr(args, label)
        rate = preset.get(label, 0.0) if given is None else given
        task, size, deadline = (getattr(args, f"{label}_{what}") for what in ("task", "size", "deadline"))
        if rate > 0:
            kinds.append(Kind(label, task, size, rate * args.scale, deadline))
    if not kinds:
        raise ConfigError("nothing to send: say for example --light 200/min, or --workload fogcomputing")
    if (args.busy is None) != (args.cores is None):
        raise ConfigError("--busy and --cores go together: --busy 0.7 --cores 2")
    if args.busy is not None:
        needed = sum(kind.rate * kind.milliseconds / 1000 for kind in kinds)
        if not needed:
            raise ConfigError("--busy needs tasks of a size above 0")
        for kind in kinds:
            kind.rate *= args.busy * args.cores / needed
    return kinds


def await_tasks(fog: Fog, wanted: set[str], timeout: float, option: str) -> None:
    """Wait until the tasks are offered; a load on a site that has not got them says nothing. TaskRefused says which
    ``option`` names others."""
    until = time.monotonic() + timeout
    while True:
        nodes = fog.nodes().values()
        missing = wanted - {info.name for birth in nodes for info in birth.tasks}
        if not missing:
            return
        if time.monotonic() > until:
            raise TaskRefused(
                "unknown-task",
                f"no node offers {', '.join(sorted(missing))} ({len(nodes)} are there); start some with "
                f"`fognode --tasks fogsdk.demo.load`, or name other tasks with {option}",
            )
        time.sleep(0.05)


# ---------------------------------------------------------------- the report


def _report(args: argparse.Namespace, kinds: list[Kind], seed: int | None) -> None:
    classes = [describe(kind) for kind in kinds]
    if args.csv:
        try:
            with args.csv.open("w", newline="", encoding="utf-8") as file:
                writer = csv.DictWriter(file, list(classes[0]))
                writer.writeheader()
                writer.writerows({**each, "nodes": _where(each["nodes"])} for each in classes)
        except OSError as error:
            raise ConfigError(f"cannot write {args.csv}: {error}") from error
    if args.json:
        write_json({"seconds": args.seconds, "arrivals": args.arrivals, "seed": seed, "classes": classes})
    else:
        write_table(_COLUMNS, [_row(kind) for kind in kinds])


def describe(kind: Kind) -> dict[str, Any]:
    """What became of one class, for JSON and CSV."""
    return {
        "class": kind.label,
        "task": kind.task,
        "size_ms": kind.milliseconds,
        "rate_per_second": kind.rate,
        "deadline_s": kind.deadline,
        "submitted": kind.submitted,
        "answered": kind.answered,
        "in_time": kind.in_time,
        "in_time_share": kind.in_time / kind.submitted if kind.submitted else None,
        "late": kind.late,
        "expired": kind.expired,
        "lost": kind.lost,
        "refused": kind.refused,
        "failed": kind.failed,
        "p50_ms": kind.percentile(0.50),
        "p95_ms": kind.percentile(0.95),
        "p99_ms": kind.percentile(0.99),
        "nodes": dict(kind.nodes.most_common()),
    }


def _row(kind: Kind) -> list[str]:
    share = percent(kind.in_time / kind.submitted) if kind.submitted else "-"
    counts = (kind.late, kind.lost, kind.refused, kind.failed)
    times = (kind.percentile(share) for share in (0.50, 0.95, 0.99))
    return [
        kind.label,
        str(kind.submitted),
        str(kind.answered),
        share,
        *(str(count) for count in counts),
        *(milliseconds(value) for value in times),
        _where(kind.nodes),
    ]


def _where(nodes: dict[str, int]) -> str:
    most = sorted(nodes.items(), key=lambda item: -item[1])
    return " ".join(f"{node}:{count}" for node, count in most)
