"""The nodes that share records with this one: how much is on its way to each, and whether they still answer."""

from __future__ import annotations

from dataclasses import dataclass, field

UNANSWERED = 3
"""Questions in a row without a word from a node after which it is lost."""
MOST_UNDER_WAY = 256
MOST_BYTES_UNDER_WAY = 1024 * 1024
"""Copies on their way to one node, and bytes of them: what queues on a slow link holds up the heartbeats behind it. One
that is larger travels alone."""


@dataclass(slots=True)
class _Partner:
    heard: int = 0
    unanswered: int = 0
    turn: int = 0
    under_way: dict[str, int] = field(default_factory=dict)
    bytes: int = 0
    waiting: dict[str, int] = field(default_factory=dict)


class Partners:
    """What is known of each such node. Copies go to it a few at a time, so that thousands at once do not drown it."""

    def __init__(self) -> None:
        self._partners: dict[str, _Partner] = {}

    def heard(self, node: str, now: int) -> None:
        """A node said something."""
        partner = self._partners.get(node)
        if partner is not None:
            partner.heard, partner.unanswered = now, 0

    def heard_at(self, node: str) -> int:
        """When a node was last heard."""
        partner = self._partners.get(node)
        return partner.heard if partner else 0

    def may_send(self, node: str, key: str, size: int) -> bool:
        """Whether the copy of a record may be sent now; if not, it waits for its turn."""
        partner = self._partners.setdefault(node, _Partner())
        self.done(node, key)
        if partner.under_way and (
            len(partner.under_way) >= MOST_UNDER_WAY or partner.bytes + size > MOST_BYTES_UNDER_WAY
        ):
            partner.waiting[key] = size
            return False
        partner.under_way[key] = size
        partner.bytes += size
        return True

    def done(self, node: str, key: str) -> None:
        """The copy of a record is no longer under way, nor waiting."""
        partner = self._partners.get(node)
        if partner is not None:
            partner.waiting.pop(key, None)
            partner.bytes -= partner.under_way.pop(key, 0)

    def next(self, node: str) -> str | None:
        """The record whose turn it is to be sent, None where none waits or others are still on their way."""
        partner = self._partners.get(node)
        if partner is None or not partner.waiting or len(partner.under_way) >= MOST_UNDER_WAY:
            return None
        key = next(iter(partner.waiting))
        return key if self.may_send(node, key, partner.waiting[key]) else None

    def question(self, node: str, keys: list[str]) -> str | None:
        """Which of the shared records to ask the node about now, each in turn; None where it has not answered for so
        long that it is lost."""
        partner = self._partners.setdefault(node, _Partner())
        if partner.unanswered >= UNANSWERED:
            partner.unanswered = 0
            return None
        partner.unanswered += 1
        partner.turn += 1
        return keys[partner.turn % len(keys)]

    def keep_only(self, nodes: dict[str, list[str]]) -> None:
        """Forget the nodes with which nothing is shared any more, nor is about to be."""
        for node, partner in list(self._partners.items()):
            if node not in nodes and not partner.under_way and not partner.waiting:
                del self._partners[node]
