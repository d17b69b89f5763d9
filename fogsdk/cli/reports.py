"""What nodes answer to ``fog.report``: read as it comes from a network, whatever else may be in it."""

from __future__ import annotations

import statistics
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from fogsdk.errors import WireError
from fogsdk.wire import values
from fogsdk.wire.messages import Result, Task

CALL = "fog.report"


@dataclass(frozen=True)
class Peer:
    """How a node finds another: ``reliability`` from 0 to 1, ``p95_ms`` what that one and the way to it add to one task
    in twenty."""

    state: str
    reliability: float
    faults: float
    p50_ms: float | None
    p95_ms: float | None


@dataclass(frozen=True)
class Quarantined:
    """A task that a node does not run: NAME, or NAME#HASH with these arguments alone."""

    task: str
    why: str
    seconds_left: float


@dataclass(frozen=True)
class Report:
    """What one node tells."""

    held: float = 0
    hedges_sent: float = 0
    hedges_won: float = 0
    refused: dict[str, float] = field(default_factory=dict)
    quarantined: tuple[Quarantined, ...] = ()
    peers: dict[str, Peer] = field(default_factory=dict)


def call(id: str) -> Task:
    """The question."""
    return Task(id, CALL, values.encode([[], {}]))


def read(answer: Result) -> Report | None:
    """The answer, None if it is none."""
    try:
        told = values.decode(answer.body)
    except WireError:
        return None
    if not isinstance(told, dict):
        return None
    hedges = _map(told.get("hedges"))
    locked = told.get("quarantined")
    return Report(
        held=_number(told.get("held")) or 0,
        hedges_sent=_number(hedges.get("sent")) or 0,
        hedges_won=_number(hedges.get("won")) or 0,
        refused={cause: _number(count) or 0 for cause, count in _map(told.get("refused")).items()},
        quarantined=tuple(_quarantined(_map(each)) for each in (locked if isinstance(locked, list) else [])),
        peers={node: _peer(_map(peer)) for node, peer in _map(told.get("peers")).items()},
    )


def _quarantined(told: dict[str, Any]) -> Quarantined:
    return Quarantined(str(told.get("task")), str(told.get("why")), _number(told.get("seconds_left")) or 0)


def _peer(told: dict[str, Any]) -> Peer:
    reliability = _number(told.get("reliability"))
    return Peer(
        str(told.get("state")),
        1.0 if reliability is None else reliability,
        _number(told.get("faults")) or 0,
        _number(told.get("p50_ms")),
        _number(told.get("p95_ms")),
    )


def _map(value: Any) -> dict[str, Any]:
    return {str(key): each for key, each in value.items()} if isinstance(value, dict) else {}


def _number(value: Any) -> float | None:
    return value if isinstance(value, (int, float)) and not isinstance(value, bool) else None


def standing(node: str, reports: Iterable[Report | None]) -> tuple[float | None, float | None]:
    """A node as its peers see it: its reliability, which is their mean, and its p95 in milliseconds, their median."""
    peers = [report.peers[node] for report in reports if report is not None and node in report.peers]
    measured = [peer.p95_ms for peer in peers if peer.p95_ms is not None]
    reliability = statistics.fmean(peer.reliability for peer in peers) if peers else None
    return reliability, statistics.median(measured) if measured else None
