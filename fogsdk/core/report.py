"""What a node tells of itself and of the nodes it knows: the builtins ``fog.report`` and ``fog.unquarantine``."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from fogsdk.core.commands import Command
from fogsdk.core.events import Asked
from fogsdk.core.ledger import Ledger
from fogsdk.core.membership import Directory, Member
from fogsdk.core.outcomes import Answer
from fogsdk.core.work import Work
from fogsdk.errors import TaskRefused
from fogsdk.wire import values
from fogsdk.wire.messages import Hop, Result

MOST_PEERS = 1024
"""Nodes that a report tells of."""

Reply = Callable[[Asked, Answer, int], list[Command]]


class Report:
    """Answers for ``node``, over ``reply``."""

    def __init__(self, node: str, work: Work, ledger: Ledger, directory: Directory, reply: Reply) -> None:
        self._node = node
        self._work = work
        self._ledger = ledger
        self._directory = directory
        self._reply = reply

    def ask(self, event: Asked, now: int) -> list[Command]:
        """The builtin ``fog.report``: a map of what this node does and refuses, and what it thinks of its peers."""
        work, hedging = self._work, self._ledger.hedging
        report = {
            "node": self._node,
            "held": work.admission.count,
            "queued": len(work.queue),
            "running": work.queue.busy,
            "quarantined": [
                {"task": task, "why": why, "seconds_left": left / 1000}
                for task, (why, left) in work.quarantine.serving(now).items()
            ],
            "hedges": {"sent": hedging.sent, "won": hedging.won},
            "refused": dict(work.admission.refused),
            "peers": {member.node: _describe(member, now) for member in self._peers()},
        }
        return self._answer(event, report, now)

    def unquarantine(self, event: Asked, now: int, name: str = "") -> list[Command]:
        """The builtin ``fog.unquarantine``: run a task again, or all with no name; answers what was lifted."""
        if not isinstance(name, str):
            raise TaskRefused("bad-arguments", f"fog.unquarantine takes the name of a task, not {name!r}")
        return self._answer(event, self._work.quarantine.lift(name), now)

    def _peers(self) -> list[Member]:
        known = [member for member in self._directory.members.values() if member.node != self._node]
        return known[:MOST_PEERS]

    def _answer(self, event: Asked, value: Any, now: int) -> list[Command]:
        hops = (Hop(self._node, "ran"),)
        return self._reply(event, Result(event.message.id, values.encode(value), hops), now)


def _describe(member: Member, now: int) -> dict[str, Any]:
    learned = member.learned
    measured = learned is not None and learned.extra.count > 0
    return {
        "state": member.state(now),
        "reliability": round(learned.reliability(now), 3) if learned else 1.0,
        "faults": round(learned.faults(now), 2) if learned else 0.0,
        "p50_ms": round(learned.extra.p50, 1) if learned and measured else None,
        "p95_ms": round(learned.extra.p95, 1) if learned and measured else None,
    }
