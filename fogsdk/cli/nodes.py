"""``fog nodes``: who is there, how busy, and how far."""

from __future__ import annotations

import argparse
from typing import Any

from fogsdk.cli.options import add_common, observe
from fogsdk.cli.output import milliseconds, note, percent, write_json, write_table
from fogsdk.cli.survey import Seen, survey

HELP = "show which nodes are there, how busy each is, and how far"
MORE = """STATE is there, draining (takes nothing new), gone (left or died) or silent
(announced, but no answer). WAIT is how long a task that comes now would queue.
FAR is the way to the node and back, as measured."""

SECONDS = 1.2
"""Time to listen: several heartbeats."""
PINGS = 5

_COLUMNS = (
    "node", "role", "state", ">cpu", ">memory", ">running", ">queued", ">wait", ">workers", ">tasks", ">far",
    "addresses",
)  # fmt: skip


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of this command."""
    add_common(parser)


def run(args: argparse.Namespace) -> int:
    """Listen for a moment and show what was heard."""
    with observe(args) as observer:
        seen = list(survey(observer, SECONDS, PINGS).values())
    if args.json:
        nodes = [describe(each) for each in seen]
        write_json({"site": observer.site, "broker": str(observer.broker), "nodes": nodes})
    elif seen:
        write_table(_COLUMNS, [_row(each) for each in seen])
    if not seen:
        note(f"no node was heard on site {observer.site!r} at {observer.broker}; `fog doctor` tells more")
    elif any(each.round_trips for each in seen) and not any(each.beat for each in seen):
        note("no load is shown: the broker's access list keeps heartbeats from this login")
    return 0


def describe(seen: Seen) -> dict[str, Any]:
    """A node for JSON."""
    birth, beat = seen.birth, seen.beat if seen.state != "gone" else None
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
        "addresses": birth and list(birth.addresses),
        "incarnation": birth and birth.incarnation,
    }


def _row(seen: Seen) -> list[str]:
    birth, beat = seen.birth, seen.beat if seen.state != "gone" else None
    return [
        seen.node,
        birth.role if birth else "-",
        seen.state,
        percent(beat.cpu if beat else None),
        percent(beat.memory if beat else None),
        str(beat.running) if beat else "-",
        str(beat.queued) if beat else "-",
        milliseconds(beat.wait if beat else None),
        str(birth.capacity) if birth else "-",
        str(len(birth.tasks)) if birth else "-",
        milliseconds(seen.round_trip),
        " ".join(birth.addresses) if birth else "",
    ]
