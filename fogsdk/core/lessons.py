"""What the answer to a task teaches: how long its node and the way to it take, and what is usual for tasks like it."""

from __future__ import annotations

from fogsdk.core.entry import Entry
from fogsdk.core.hedging import Hedging
from fogsdk.core.membership import Directory
from fogsdk.wire.messages import Hop


def learn(entry: Entry, hop: Hop, wait: int | None, now: int, directory: Directory, hedging: Hedging) -> None:
    """Learn from the trace's first entry, by the node that answers; ``wait`` is what it says of its queue."""
    node, taker = hop.node, entry.taker
    sent_at = entry.sent_at if node == taker else entry.given_at(node)
    if sent_at is None:
        return
    elapsed, ran = now - sent_at, hop.action == "ran"
    if taker is not None:
        hedging.came_back(entry.task, now - entry.sent_at)
    if node == entry.second:
        hedging.won += 1
        directory.added(taker or "", now - entry.sent_at - hop.ran, now)  # it takes that long at least
    member = directory.answered(node, now, wait)
    if member is None:
        return
    experience = member.learned or member.experience
    experience.added(elapsed - (hop.ran + hop.queued if ran else hop.took), now)
    if node == taker and not entry.held:  # an answer that was asked for says nothing about the way
        experience.travelled(elapsed - hop.took)
    if ran and hop.part is None:
        experience.costs.learn(entry.task.name, hop.ran)
