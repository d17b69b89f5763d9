"""``fog chaos``: makes things fail on purpose while users' tasks run, and reports what the users saw."""

from __future__ import annotations

import argparse
import random
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fogsdk.cli import chaos_plan, values
from fogsdk.cli.chaos_command import Commander, Done, ask
from fogsdk.cli.chaos_plan import Step, Victims
from fogsdk.cli.chaos_watch import Effect, Service, effect, longest_gap
from fogsdk.cli.load import await_tasks, rate
from fogsdk.cli.loadgen import Generator, schedule
from fogsdk.cli.options import add_common, complete_files, connect
from fogsdk.cli.output import live_table, milliseconds, note, terminal, write_json, write_table
from fogsdk.errors import ConfigError, TaskRefused
from fogsdk.node.config_kinds import Seconds, kind_of

if TYPE_CHECKING:
    from fogsdk.device.fog import Fog

HELP = "make things fail on purpose, and see what users notice"
MORE = """Only nodes that were started with `fognode --allow-chaos` are disturbed, and
only for a bounded time: each node sees to its own recovery, whatever becomes
of this command. Ctrl-C calls everything off at once; a node that is frozen or
dead at that moment comes back when its time is over, 60 seconds at the most.

what can be done, and to what:
  kill         worker  workers  node  broker      SIGKILL; a worker is replaced at
                                                  once, node and broker come back
                                                  after their time
  freeze       worker  workers  node  broker      SIGSTOP, then SIGCONT
  slow         worker  workers  node  broker      stands still most of the time
  drop, delay  links                              messages are lost, or come late
`worker` is one of the node's, at work if there is one; `broker` is the one that
the node serves. A killed node is started again as it was started, if no service
manager does so, and no longer belongs to its terminal.

A plan is a TOML file (examples/chaos.toml is one):
  for = "60s"              # how long to go on
  [[disturb]]
  at = "5s"                # or every = "10s", or both
  what = "freeze"
  target = "workers"
  node = "any"             # by chance (the default), or "all", or a node's name
  for = "3s"
  [[disturb]]              # slow takes factor; delay takes ms and jitter
  every = "10s"
  what = "drop"
  probability = 0.3

Meanwhile a device sends tasks as users do (see `fog load`). `lost` are tasks
that returned no result, `doubled` ones that returned more than one; a gap is a
time in which somebody waited and nobody was answered. p99 before and after are
of the 5 seconds around a disturbance. The exit code is 1 when a task was lost
or doubled, or a node did not come back.

examples:
  fognode --tasks fogsdk.demo.load --allow-chaos
  fog chaos --random --seed 7 --for 60s
  fog chaos --plan examples/chaos.toml --nodes pi-1,pi-2 --load 50/s
  fog chaos --random --rate 10/min --for 5m --task classify --args @photo.jpg"""

GRACE = 30.0
"""Seconds in which the last tasks must be answered."""
SETTLE = 1.0
"""Seconds in which the nodes of a site are found."""
_EVENTS = ("at", "node", "what", "state")
_COLUMNS = ("at", "node", "what", ">tasks", ">p99 before", ">during", ">after", ">longest gap")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of this command."""
    option = parser.add_argument
    how = parser.add_mutually_exclusive_group(required=True)
    complete_files(how.add_argument("--plan", type=Path, metavar="FILE", help="do what this file says"))
    how.add_argument("--random", action="store_true", help="do this and that by chance")
    option("--seed", type=int, metavar="N", help="makes chance repeatable; the same on the same nodes")
    option("--for", type=_seconds, dest="seconds", metavar="TIME", help="how long (default: as planned, or 60s)")
    option("--rate", type=rate, default=1.0, metavar="RATE", help="with --random: how often (default: 1/s)")
    option("--nodes", metavar="ID,...", help="disturb these alone (default: all that allow it)")
    option("--task", metavar="NAME", default="load_light", help="what users run (default: %(default)s)")
    option("--args", metavar="ARG", nargs="+", default=[], help=f"its arguments; {' '.join(values.HELP.split())}")
    option("--load", type=rate, default=20.0, metavar="RATE", help="how often they do (default: 20/s)")
    add_common(parser)


def _seconds(text: str) -> float:
    kind = kind_of(Seconds)
    try:
        value: float = kind.parse(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"must be {kind.expected}, not {text}") from None
    return value


def run(args: argparse.Namespace) -> int:
    """Disturb, and report."""
    if not args.load or not args.rate:
        raise ConfigError("--load and --rate must be above 0")
    rules, planned = chaos_plan.read(args.plan) if args.plan else ([], None)
    seconds = args.seconds or planned or 60.0
    seed = random.randrange(2**32) if args.seed is None else args.seed
    with connect(args) as fog:
        victims = _find(fog, args)
        if args.plan:
            steps = chaos_plan.follow(rules, victims, seconds, seed)
        else:
            steps = chaos_plan.draw(victims, seconds, args.rate, seed)
        note(f"fog: {len(steps)} disturbances of {', '.join(victims)} in {seconds:g} s; again with --seed {seed}")
        service = Service("users", args.task, 0.0, args.load, GRACE, args=tuple(map(values.argument, args.args)))
        await_tasks(fog, {args.task}, args.timeout, "--task")
        done, away = _disturb(fog, victims, steps, service, seconds)
    for error, count in service.errors.most_common(3):
        note(f"fog: {count} tasks: {error}")
    if away:
        note(f"fog: nothing was heard again of {', '.join(away)}")
    _report(args, seed, seconds, service, done, away)
    return 1 if service.without_result or service.doubled or away else 0


def _find(fog: Fog, args: argparse.Namespace) -> Victims:
    """The nodes to disturb. Raises TaskRefused where there is none."""
    time.sleep(SETTLE)
    wanted = [name.strip() for name in args.nodes.split(",")] if args.nodes else list(fog.nodes())
    if missing := [name for name in wanted if name not in fog.nodes()]:
        raise TaskRefused("unknown-task", f"there is no node {', '.join(missing)}; `fog nodes` lists those that are")
    victims, others = ask(fog, wanted)
    for node, why in others.items():
        note(f"fog: {node} {why}")
    if not victims:
        raise TaskRefused("unknown-task", "no node lets itself be disturbed; start one with: fognode --allow-chaos")
    return victims


def _disturb(
    fog: Fog, victims: Victims, steps: list[Step], service: Service, seconds: float
) -> tuple[list[Done], list[str]]:
    """Run the users' tasks and the plan side by side; returns what was done, and nodes that did not come back."""
    start = time.perf_counter()
    with _progress() as (tell, show):
        commander = Commander(fog, steps, tell)
        counts = Generator(fog, [service], False, lambda: show(commander.done, service, time.perf_counter() - start))
        commander.start()
        try:
            counts.run(schedule([service], seconds, None), GRACE)
        except KeyboardInterrupt:
            note("fog: calling everything off ...")
            commander.call_off(victims)
            raise
        return commander.done, commander.call_off(victims)


@contextmanager
def _progress() -> Iterator[tuple[Callable[[Done], None], Callable[[list[Done], Service, float], None]]]:
    """What tells of one disturbance, where there is no terminal, and what shows how it goes, where there is one."""
    import sys

    quiet = terminal(sys.stderr) is not None

    def tell(done: Done) -> None:
        if not quiet:
            note("fog: " + "  ".join(_event(done)[:3]) + (f": {done.problem}" if done.problem else ""))

    with live_table(_EVENTS) as draw:

        def show(done: list[Done], service: Service, passed: float) -> None:
            waiting = service.submitted - service.answered - service.refused - service.failed
            counts = f"{service.submitted} tasks, {service.answered} answered, {waiting} waiting"
            draw([*map(_event, done[-10:]), (f"{passed:.0f} s", "", counts, "")])

        yield tell, show


def _event(done: Done) -> tuple[str, str, str, str]:
    if done.begun is None:
        state = "refused" if done.problem else "ordered"
    else:
        state = "now" if time.perf_counter() < done.ends else "done"
    return f"{done.step.at:.1f} s", done.step.node, str(done.step.order), state


# ---------------------------------------------------------------- the report


def _report(
    args: argparse.Namespace, seed: int, seconds: float, service: Service, done: list[Done], away: list[str]
) -> None:
    effects = [None if each.begun is None else effect(service, each.begun, each.ends) for each in done]
    if args.json:
        write_json(
            {
                "seed": seed,
                "seconds": seconds,
                "tasks": _describe(service),
                "disturbances": [_entry(*each) for each in zip(done, effects, strict=True)],
                "away": away,
            }
        )
        return
    write_table(_COLUMNS, [_row(*each) for each in zip(done, effects, strict=True)])
    told = _describe(service)
    summary = ("tasks", "answered", "lost", "doubled")
    times = (milliseconds(told["p50_ms"]), milliseconds(told["p99_ms"]), milliseconds(told["longest_gap_s"] * 1000))
    print()
    write_table(
        tuple(f">{title}" for title in (*summary, "p50", "p99", "longest gap")),
        [[*(str(told[key]) for key in summary), *times]],
    )


def _describe(service: Service) -> dict[str, Any]:
    return {
        "task": service.task,
        "tasks": service.submitted,
        "answered": service.answered,
        "lost": service.without_result,
        "doubled": service.doubled,
        "longest_gap_s": longest_gap(service),
        "p50_ms": service.percentile(0.50),
        "p99_ms": service.percentile(0.99),
        "errors": dict(service.errors.most_common()),
    }


def _entry(done: Done, seen: Effect | None) -> dict[str, Any]:
    step = done.step
    entry: dict[str, Any] = {"at": step.at, "node": step.node, **step.order.write(), "problem": done.problem or None}
    del entry["id"]
    if seen is not None:
        entry |= {
            "tasks": seen.tasks,
            "p99_before_ms": seen.before,
            "p99_during_ms": seen.during,
            "p99_after_ms": seen.after,
            "longest_gap_s": seen.gap,
        }
    return entry


def _row(done: Done, seen: Effect | None) -> list[str]:
    begin = list(_event(done)[:3])
    if seen is None:
        return [*begin[:2], f"{begin[2]}: {done.problem or 'not answered'}", *["-"] * 5]
    p99s = (milliseconds(each) for each in (seen.before, seen.during, seen.after))
    return [*begin, str(seen.tasks), *p99s, milliseconds(seen.gap * 1000)]
