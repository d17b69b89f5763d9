"""``fog tasks``: what the nodes of a site can run."""

from __future__ import annotations

import argparse
from dataclasses import asdict
from typing import Any

from fogsdk.cli.options import add_common, observe
from fogsdk.cli.output import note, write_json, write_table
from fogsdk.cli.survey import survey
from fogsdk.wire.messages import TaskInfo

HELP = "show which tasks the site offers"
MORE = """A task in several versions has a line for each. SPLIT says that it can be shared
out in parts."""

SECONDS = 0.6
"""Time to listen: brokers send at once what nodes announced."""

_COLUMNS = ("task", "weight", "version", "split", "nodes", "summary")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of this command."""
    add_common(parser)


def run(args: argparse.Namespace) -> int:
    """Listen for a moment and show what was heard."""
    with observe(args) as observer:
        seen = survey(observer, SECONDS, pings=0).values()
    offers: dict[tuple[str, str], tuple[TaskInfo, list[str]]] = {}
    for each in seen:
        for info in each.birth.tasks if each.birth and each.state != "gone" else ():
            offers.setdefault((info.name, info.version), (info, []))[1].append(each.node)
    found = [offers[key] for key in sorted(offers)]
    if args.json:
        write_json({"site": observer.site, "tasks": [_describe(info, nodes) for info, nodes in found]})
    elif found:
        write_table(_COLUMNS, [_row(info, nodes) for info, nodes in found])
    if not found:
        note(f"no task is offered on site {observer.site!r} at {observer.broker}: {_why(len(seen))}")
    return 0


def _why(nodes: int) -> str:
    if nodes:
        return "its nodes were started without any; give them some with `fognode --tasks MODULE`"
    return "no node was heard; `fog doctor` tells more"


def _describe(info: TaskInfo, nodes: list[str]) -> dict[str, Any]:
    described = asdict(info)
    described["timeout_ms"] = described.pop("timeout")
    described["memory_bytes"] = described.pop("memory")
    return {**described, "nodes": nodes}


def _row(info: TaskInfo, nodes: list[str]) -> list[str]:
    weight = f"{info.weight}, or {info.fallback}" if info.fallback else info.weight
    return [
        f"{info.name}{info.signature}",
        weight,
        info.version,
        "yes" if info.split else "no",
        " ".join(nodes),
        info.summary,
    ]
