"""The site as its clients see it at a door: which tasks there are, and which nodes, as far as this node knows."""

from __future__ import annotations

from itertools import islice
from typing import Any

from fogsdk.core.membership import Member
from fogsdk.core.node import Node
from fogsdk.wire import codec
from fogsdk.wire.messages import Beat, Birth

MOST_NODES = 1024
"""Nodes that are told of."""


def tasks(node: Node) -> list[dict[str, Any]]:
    """Each task once, as the node that answers offers it or else the first that does, with the nodes that offer it."""
    found: dict[str, dict[str, Any]] = {}
    offers = [(node.me.node, list(node.me.tasks.values()))]
    offers += [(each.node, list(each.tasks.values())) for each in _others(node) if each.present]
    for name, infos in offers:
        for info in infos:
            entry = found.setdefault(info.name, {**_defaults, **codec.fields(info, True), "nodes": []})
            entry["nodes"].append(name)
    return [found[name] for name in sorted(found)]


_defaults = {"version": "1", "weight": "auto", "split": False, "signature": "", "summary": ""}


def nodes(node: Node, now: int) -> dict[str, Any]:
    """The site, the node that answers, and every node that it knows, itself first."""
    me = node.me
    beat = node.presence.beat(now, node.work.queue, node.work.quarantine.names(now))
    known = [_describe(me.node, "draining" if beat.draining else "there", node.presence.birth(), beat)]
    known += [_describe_other(member, now) for member in islice(_others(node), MOST_NODES - 1)]
    return {"site": me.site, "node": me.node, "nodes": known}


def _others(node: Node) -> list[Member]:
    return [member for member in node.directory.members.values() if member.node != node.me.node]


def _describe_other(member: Member, now: int) -> dict[str, Any]:
    beat = member.beat if member.present else None
    learned = member.learned
    said = _describe(member.node, member.state(now), member.birth, beat)
    if learned is not None:
        said["reliability"] = round(learned.reliability(now), 3)
        said["round_trip_ms"] = None if learned.link_ms is None else round(learned.link_ms, 1)
        said["p95_ms"] = round(learned.extra.p95, 1) if learned.extra.count else None
    return said


def _describe(node: str, state: str, birth: Birth, beat: Beat | None) -> dict[str, Any]:
    """Under the names that ``fog nodes --json`` uses; what is not known is null."""
    return {
        "node": node,
        "role": birth.role,
        "state": state,
        "workers": birth.capacity,
        "cpu": beat and beat.cpu,
        "memory": beat and beat.memory,
        "running": beat and beat.running,
        "queued": beat and beat.queued,
        "wait_ms": beat and beat.wait,
        "uplink": beat and beat.uplink,
        "quarantined": list(beat.quarantined) if beat else [],
        "reliability": 1.0,
        "round_trip_ms": None,
        "p95_ms": None,
        "tasks": [info.name for info in birth.tasks],
        "addresses": list(birth.addresses),
        "keeps": birth.keeps,
        "incarnation": birth.incarnation,
    }
