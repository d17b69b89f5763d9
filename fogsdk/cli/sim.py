"""``fog sim``: a whole fog in virtual time, under faults that a plan and a seed decide."""

from __future__ import annotations

import argparse
import contextlib
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fogsdk.cli.options import complete_files, number, whole_number
from fogsdk.cli.output import milliseconds, percent, terminal, write_json, write_line, write_table
from fogsdk.core.placement import POLICIES
from fogsdk.errors import not_installed

if TYPE_CHECKING:
    from fogsdk.sim.scenario import Scenario
    from fogsdk.sim.world import World

HELP = "simulate a fog of any size in virtual time, under faults"
MORE = """The same cores run that fognode and the SDK run; only the machines, links and
brokers around them are made up. The same seed gives the same run, and the same
trace hash, on every computer. The exit code is 1 when a guarantee was broken.

A plan of faults is TOML: examples/storm.toml shows all kinds.

examples:
  fog sim --nodes 3 --devices 10 --minutes 2
  fog sim --nodes 1000 --devices 5000 --minutes 10 --faults storm.toml --seed 7
  fog sim --faults storm.toml --plots pictures --policy threshold
  fog sim --replay record.cbor"""

POSTED = 0.1
"""Tasks that are posted and fetched, for each that is waited for."""
DEVICES_A_SESSION = 20

_COLUMNS = ("class", ">submitted", ">answered", ">failed", ">expired", ">refused", ">in time", ">p50", ">p95", ">p99")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of this command."""
    option, default = parser.add_argument, "(default: %(default)s)"
    option("--nodes", type=_count, default=10, metavar="N", help=f"fog nodes {default}")
    option("--devices", type=_count, default=20, metavar="N", help=f"devices that hand in tasks {default}")
    option("--brokers", type=_count, default=2, metavar="N", help=f"brokers of the site {default}")
    option("--workers", type=_count, default=2, metavar="N", help=f"workers of each node {default}")
    option("--minutes", type=_positive, default=1.0, metavar="N", help=f"how long tasks are handed in {default}")
    option("--rate", type=_positive, default=6.0, metavar="N", help=f"tasks a minute from each device {default}")
    complete_files(option("--faults", type=Path, metavar="FILE", help="the plan of faults (default: none)"))
    option("--seed", type=int, default=0, metavar="N", help=f"what makes chance repeatable {default}")
    option("--policy", choices=sorted(POLICIES), default="predictive", help=f"where tasks run {default}")
    option("--codec", action="store_true", help="encode and decode every message on its way")
    complete_files(option("--plots", type=Path, metavar="DIR", help="draw latency and throughput into this directory"))
    complete_files(
        option("--replay", type=Path, metavar="FILE", help="instead: feed a fresh core what `fognode --record` wrote")
    )
    option("--json", action="store_true", help="write JSON to stdout, for other programs")


def _count(text: str) -> int:
    return whole_number(text, 1, 1_000_000)


def _positive(text: str) -> float:
    return number(text, "a number", above=True, below=1_000_000)


def run(args: argparse.Namespace) -> int:
    """Simulate, and report."""
    if args.replay:
        return _replay(args)
    from fogsdk.sim.report import report
    from fogsdk.sim.world import World

    world = World(_scenario(args))
    plots = _plots() if args.plots else None
    with _progress("virtual time") as tell, _no_garbage():
        world.run(tell)
    said = report(world)
    if plots is not None:
        said["plots"] = [str(path) for path in plots(world, args.plots)]
    if args.json:
        write_json(said)
    else:
        _show(said)
    return 1 if said["broken"] else 0


def _plots() -> Callable[[World, Path], list[Path]]:
    try:
        from fogsdk.sim.plots import draw
    except ImportError as error:
        raise not_installed("fog sim --plots", "sim", error) from error
    return draw


def _scenario(args: argparse.Namespace) -> Scenario:
    from fogsdk.sim import plan
    from fogsdk.sim.scenario import Scenario

    return Scenario(
        nodes=args.nodes,
        devices=args.devices,
        brokers=args.brokers,
        workers=args.workers,
        seconds=args.minutes * 60,
        rate=args.rate,
        seed=args.seed,
        policy=args.policy,
        posts=args.rate * POSTED,
        sessions=max(1, args.devices // DEVICES_A_SESSION),
        codec=args.codec,
        faults=plan.load(args.faults) if args.faults else plan.Plan(),
    )


@contextlib.contextmanager
def _no_garbage() -> Iterator[None]:
    """Millions of objects live through a large run and few die in cycles: looking for those would take most of the
    time."""
    import gc

    gc.disable()
    try:
        yield
    finally:
        gc.enable()


@contextlib.contextmanager
def _progress(what: str) -> Iterator[Callable[[float, float], None]]:
    """A bar on stderr, gone at the end; on a terminal only."""
    console = terminal(sys.stderr)
    if console is None:
        yield lambda _done, _whole: None
        return
    from rich.progress import Progress

    with Progress(console=console, transient=True) as progress:
        bar = progress.add_task(what, total=None)
        yield lambda done, whole: progress.update(bar, completed=min(done, whole or done), total=whole or None)


def _replay(args: argparse.Namespace) -> int:
    from fogsdk.sim.replay import replay

    with _progress("events") as tell:
        lives = replay(args.replay, lambda number: tell(number, 0.0))
    if args.json:
        write_json([life.told() for life in lives])
    else:
        for life in lives:
            _show_life(life.told())
    return 1 if any(life.divergence for life in lives) else 0


# ---------------------------------------------------------------- for people


def _show_life(told: dict[str, Any]) -> None:
    write_line(f"{told['node']} ({told['role']}): {told['events']} events in {told['seconds']:.3f} s")
    for title in ("kinds", "tasks", "outcomes"):
        if told[title]:
            write_line(f"  {title}: " + ", ".join(f"{count} {name}" for name, count in told[title].items()))
    for at, what in told["history"]:
        write_line(f"  {at:10.3f} s  {what}")
    if told["more"]:
        write_line(f"  and {told['more']} more of this kind")
    if told["same"]:
        write_line("the core gives the same answers again")
        return
    write_line("THE CORE ANSWERS OTHERWISE:")
    for line in told["divergence"].splitlines():
        write_line(f"  {line}")


def _show(said: dict[str, Any]) -> None:
    scenario = said["scenario"]
    write_line(
        f"{scenario['nodes']} nodes, {scenario['devices']} devices, {scenario['brokers']} brokers, "
        f"{scenario['seconds']:g} s, policy {scenario['policy']}, seed {scenario['seed']}"
    )
    write_table(_COLUMNS, [_row(kind, told) for kind, told in said["tasks"].items()])
    faults = ", ".join(f"{count} {kind}" for kind, count in said["faults"].items())
    write_line(f"faults: {faults or 'none'}")
    traffic, decision, memory = said["traffic"], said["decision_us"], said["memory"]
    write_line(
        f"traffic of a node: {traffic['messages_per_s']:.1f} messages/s, {_bytes(traffic['bytes_per_s'])}/s; at most "
        f"{traffic['most_messages_per_s']:.1f} messages/s, {_bytes(traffic['most_bytes_per_s'])}/s"
    )
    if decision["p50"] is not None:
        write_line(f"decision on a task, here: p50 {decision['p50']:.0f} µs, p99 {decision['p99']:.0f} µs")
    write_line(f"memory of a node's core: {_bytes(memory['node'])}, of a device's: {_bytes(memory['device'])}")
    write_line(f"trace: {said['hash']} over {said['deliveries']} deliveries")
    write_line(f"{said['lost']} lost, {said['duplicated']} delivered twice, of {said['submitted']} tasks")
    for guarantee, count in said["broken"].items():
        write_line(f"BROKEN: {guarantee}, {count} times")
    for story in said["stories"]:
        write_line(f"  {story}")


def _row(kind: str, told: dict[str, Any]) -> list[str]:
    counts = [str(told.get(outcome, 0)) for outcome in ("Result", "Failed", "Expired", "Refused")]
    times = [milliseconds(told[name]) for name in ("p50", "p95", "p99")]
    return [kind, str(told["submitted"]), *counts, percent(told["in_time"]), *times]


def _bytes(amount: float) -> str:
    for unit in ("B", "KB"):
        if amount < 1000:
            return f"{amount:.3g} {unit}"
        amount /= 1000
    return f"{amount:.3g} MB"
