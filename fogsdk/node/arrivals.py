"""What a message that arrives on a topic is to the node core: the event it makes, if it has a place there."""

from __future__ import annotations

from fogsdk.core.events import Asked, Carried, Event, NodeHeard, ReplicaHeard, Replied
from fogsdk.wire import topics
from fogsdk.wire.messages import (
    Beat,
    Birth,
    Gone,
    Kept,
    Malformed,
    Message,
    Piece,
    Replica,
    Reply,
    Request,
    Seek,
)


def event_of(link: str, at: topics.Topic, message: Message | Malformed, as_json: bool) -> Event | None:
    """The event that a message on a topic makes, None where it has no place there."""
    if at.kind in ("task", "any-task") and isinstance(message, (Request, Malformed)):
        return Asked(link, at.sender, message, as_json, at.kind == "any-task")
    if at.kind == "birth" and isinstance(message, (Birth, Gone)):
        return NodeHeard(link, at.node, message)
    if at.kind == "beat" and isinstance(message, Beat):
        return NodeHeard(link, at.node, message)
    if at.kind == "replica" and isinstance(message, (Replica, Seek)):
        return ReplicaHeard(link, at.sender, message)
    if at.kind in ("task", "reply", "replica") and isinstance(message, Piece):
        return Carried(link, "" if at.kind == "reply" else at.sender, message, at.kind == "replica")
    if at.kind == "reply" and isinstance(message, (Reply, Kept)):
        return Replied(link, message)
    return None
