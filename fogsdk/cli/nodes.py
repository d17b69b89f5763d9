"""``fog nodes``: who is there, how busy, how far, and how far it can be relied on."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from typing import Any

from fogsdk.cli.options import add_common, observe
from fogsdk.cli.output import milliseconds, note, percent, write_json, write_line, write_table
from fogsdk.cli.reports import standing
from fogsdk.cli.survey import Seen, survey

HELP = "show which nodes are there, how busy each is, and how far it can be relied on"
MORE = """STATE is there, draining (takes nothing new), gone (left or died) or silent
(announced, but no answer). BUSY is how many workers of how many, and how many
tasks wait for one; WAIT is how long a task that comes now would queue. FAR is
the way to the node and back, as measured. TRUST is how reliable the node is by
the experience of the others: 100 % if it never failed them lately. P95 is what
it and the way to it add to the time of one task in twenty, for the others.

Below are the tasks in quarantine, because they killed workers (`fog
unquarantine` lifts that), and how many tasks a node gave to a second one too,
because the first was late. With --json there is more."""

SECONDS = 1.2
"""Time to listen: several heartbeats."""
PINGS = 5

_COLUMNS = ("node", "role", "state", ">cpu", ">mem", ">busy", ">wait", ">far", ">trust", ">p95")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of this command."""
    add_common(parser)


def run(args: argparse.Namespace) -> int:
    """Listen for a moment and show what was heard."""
    with observe(args) as observer:
        seen = list(survey(observer, SECONDS, PINGS, ask_reports=True).values())
    if args.json:
        nodes = [describe(each, seen) for each in seen]
        write_json({"site": observer.site, "broker": str(observer.broker), "nodes": nodes})
    elif seen:
        write_table(_COLUMNS, [_row(each, seen) for each in seen])
        for line in _remarks(seen):
            write_line(line)
    if not seen:
        note(f"no node was heard on site {observer.site!r} at {observer.broker}; `fog doctor` tells more")
    elif any(each.round_trips for each in seen) and not any(each.beat for each in seen):
        note("no load is shown: the broker's access list keeps heartbeats from this login")
    return 0


def describe(seen: Seen, everybody: Sequence[Seen]) -> dict[str, Any]:
    """A node for JSON: ``reliability`` and ``p95_ms`` as the others find it, ``report`` as it tells itself."""
    birth, beat = seen.birth, seen.beat if seen.state != "gone" else None
    reliability, p95 = standing(seen.node, [each.report for each in everybody])
    return {
        "node": seen.node,
        "role": birth and birth.role,
        "state": seen.state,
        "cpu": beat and beat.cpu,
        "memory": beat and beat.memory,
        "running": beat and beat.running,
        "queued": beat and beat.queued,
        "wait_ms": beat and beat.wait,
        "uplink": beat and beat.uplink,
        "workers": birth and birth.capacity,
        "tasks": birth and [task.name for task in birth.tasks],
        "round_trip_ms": seen.round_trip,
        "reliability": reliability,
        "p95_ms": p95,
        "quarantined": beat and list(beat.quarantined),
        "report": seen.report and asdict(seen.report),
        "addresses": birth and list(birth.addresses),
        "incarnation": birth and birth.incarnation,
    }


def _row(seen: Seen, everybody: Sequence[Seen]) -> list[str]:
    birth, beat = seen.birth, seen.beat if seen.state != "gone" else None
    reliability, p95 = standing(seen.node, [each.report for each in everybody])
    waiting = f"+{beat.queued}" if beat and beat.queued else ""
    return [
        seen.node,
        birth.role if birth else "-",
        seen.state,
        percent(beat.cpu if beat else None),
        percent(beat.memory if beat else None),
        f"{beat.running if beat else '-'}/{birth.capacity if birth else '-'}{waiting}",
        milliseconds(beat.wait if beat else None),
        milliseconds(seen.round_trip),
        percent(reliability),
        milliseconds(p95),
    ]


def _remarks(everybody: Sequence[Seen]) -> Iterator[str]:
    for seen in everybody:
        if seen.cut_off:
            yield f"{seen.node} does not reach its core site: heavy tasks wait, or run in the fog where they may"
        told = seen.report
        for locked in told.quarantined if told else ():
            yield f"{seen.node} does not run {locked.task} for {locked.seconds_left / 60:.1f} minutes: {locked.why}"
        if told and told.hedges_sent:
            first = f"{told.hedges_won:g} of them were done there first"
            yield f"{seen.node} gave {told.hedges_sent:g} late tasks to a second node too; {first}"
