"""The report of a run: what became of the tasks, how soon, and what it cost."""

from __future__ import annotations

import gc
import sys
from collections import Counter
from collections.abc import Sequence
from types import FunctionType, ModuleType
from typing import Any

from fogsdk.core.client import Client
from fogsdk.core.node import Node
from fogsdk.sim.agenda import MILLISECOND
from fogsdk.sim.series import percentile
from fogsdk.sim.workload import KINDS
from fogsdk.sim.world import World

IN_TIME = 1000.0
"""Milliseconds within which a call about what is kept is answered in time."""
_SAMPLE = 5
"""Nodes, and devices, whose memory is counted."""


def report(world: World) -> dict[str, Any]:
    """What is to be said about a run that has ended. Times are in milliseconds unless their name says otherwise.

    ``decision_us`` and ``memory`` are of this computer, and may differ from run to run; nothing else does.
    """
    scenario, oracle = world.scenario, world.oracle
    return {
        "scenario": {
            "nodes": scenario.nodes,
            "devices": scenario.devices,
            "brokers": scenario.brokers,
            "seconds": scenario.seconds,
            "seed": scenario.seed,
            "policy": scenario.policy,
        },
        "tasks": {kind: _kind(world, kind) for kind in _kinds(world)},
        "submitted": len(oracle.records),
        "given_up": sum(record.given_up for record in oracle.records.values()),
        "lost": oracle.broken["lost"],
        "duplicated": oracle.broken["delivered twice"],
        "broken": dict(oracle.broken),
        "stories": list(oracle.told),
        "runs": oracle.runs,
        "posted": len(world.posting.posted),
        "steps": sum(counter.told for counter in world.stepping.counters),
        "faults": dict(sorted(Counter(episode.kind for episode in world.storm.episodes).items())),
        "traffic": _traffic(world),
        "decision_us": _decisions(world),
        "memory": _memory(world),
        "deliveries": world.trace.deliveries,
        "hash": world.trace.digest(),
    }


def _kinds(world: World) -> list[str]:
    """Ordinary tasks by kind, then the calls about what is kept."""
    seen = dict.fromkeys(record.what for record in world.oracle.records.values())
    return [kind for kind in (*KINDS, "post", "fetch", "forget", "step", "look") if kind in seen]


def _kind(world: World, kind: str) -> dict[str, Any]:
    records = [record for record in world.oracle.records.values() if record.what == kind and not record.given_up]
    took = sorted((record.settled - record.at) / MILLISECOND for record in records if record.outcome)
    in_time_ms = KINDS[kind].in_time if kind in KINDS else IN_TIME
    in_time = sum(
        1
        for record in records
        if record.outcome in ("Result", "Failed") and record.settled - record.at <= in_time_ms * MILLISECOND
    )
    return {
        "submitted": len(records),
        **dict(sorted(Counter(record.outcome or "open" for record in records).items())),
        "in_time": in_time / len(records) if records else None,
        "p50": percentile(took, 0.50),
        "p95": percentile(took, 0.95),
        "p99": percentile(took, 0.99),
    }


def _traffic(world: World) -> dict[str, float]:
    seconds = world.agenda.now / 1e6
    messages = [(node.sent + node.received) / seconds for node in world.nodes]
    bytes_ = [(node.sent_bytes + node.received_bytes) / seconds for node in world.nodes]
    return {
        "messages_per_s": sum(messages) / len(messages),
        "most_messages_per_s": max(messages),
        "bytes_per_s": sum(bytes_) / len(bytes_),
        "most_bytes_per_s": max(bytes_),
    }


def _decisions(world: World) -> dict[str, float | None]:
    took = sorted(nanoseconds / 1000 for nanoseconds in world.deciding.nanoseconds)
    return {"p50": percentile(took, 0.50), "p99": percentile(took, 0.99)}


# ---------------------------------------------------------------- memory


def _memory(world: World) -> dict[str, int]:
    """Bytes that a core takes up, without the messages that all of them share."""
    shared: dict[int, None] = {}
    _size([broker.retained for broker in world.brokers.values()], shared)
    return {
        "node": _mean([node.core for node in world.nodes[:_SAMPLE]], shared),
        "device": _mean([device.core for device in world.devices[:_SAMPLE]], shared),
    }


def _mean(cores: Sequence[Node] | Sequence[Client], shared: dict[int, None]) -> int:
    return sum(_size(core, dict(shared)) for core in cores) // max(1, len(cores))


def _size(root: object, seen: dict[int, None]) -> int:
    """Bytes of everything that can be reached from an object and was not seen before."""
    total, stack = 0, [root]
    while stack:
        found = stack.pop()
        if id(found) not in seen and not isinstance(found, (type, ModuleType, FunctionType)):
            seen[id(found)] = None
            total += sys.getsizeof(found)
            stack += gc.get_referents(found)
    return total
