"""What a message that arrives on a topic is to the node core: the event it makes, if it has a place there."""

from __future__ import annotations

from fogsdk.core.events import Asked, Carried, Event, NodeHeard, ReplicaHeard, Replied
from fogsdk.wire import topics
from fogsdk.wire.messages import (
    Accepted,
    Ask,
    Beat,
    Birth,
    Cancel,
    Cancelled,
    Chunk,
    Expired,
    Failed,
    Gone,
    Got,
    Kept,
    Malformed,
    Message,
    Progress,
    Refused,
    Replica,
    Result,
    Seek,
    Task,
    Transfer,
)

REPLIES = (Accepted, Progress, Result, Failed, Refused, Expired, Cancelled, Kept)


def event_of(link: str, at: topics.Topic, message: Message | Malformed, as_json: bool) -> Event | None:
    """The event that a message on a topic makes, None where it has no place there."""
    if at.kind in ("task", "any-task") and isinstance(message, (Task, Cancel, Ask, Malformed)):
        return Asked(link, at.sender, message, as_json, at.kind == "any-task")
    if at.kind == "birth" and isinstance(message, (Birth, Gone)):
        return NodeHeard(link, at.node, message)
    if at.kind == "beat" and isinstance(message, Beat):
        return NodeHeard(link, at.node, message)
    if at.kind == "replica" and isinstance(message, (Replica, Seek)):
        return ReplicaHeard(link, at.sender, message)
    if at.kind in ("task", "reply") and isinstance(message, (Transfer, Chunk, Got)):
        return Carried(link, at.sender if at.kind == "task" else "", message)
    if at.kind == "reply" and isinstance(message, REPLIES):
        return Replied(link, message)
    return None
