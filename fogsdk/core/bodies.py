"""What travels in chunks where it is large: the arguments of a task, a result, and the data of a record."""

from __future__ import annotations

from dataclasses import replace
from hashlib import blake2b

from fogsdk.wire.messages import Body, Replica, Result, Task

Large = Task | Result | Replica
"""A message with a body that may be large."""


def body_of(message: Large) -> Body:
    """What travels in chunks."""
    return message.data if isinstance(message, Replica) else message.body


def id_of(message: Large) -> str:
    """The id of its transfer: that of the task, and for a record, whose key may be longer, a digest of that."""
    return id_of_record(message.key) if isinstance(message, Replica) else message.id


def id_of_record(key: str) -> str:
    """The id under which the record of this key is transferred."""
    return blake2b(key.encode(), digest_size=16).hexdigest()


def with_body(message: Large, body: Body, waited: int) -> Large:
    """The message with this body, so many milliseconds later: its deadline, or the time for which it is kept, is so
    much nearer."""
    match message:
        case Replica():
            return replace(message, data=bytes(body), left=max(1, message.left - waited))
        case Task(deadline=int(deadline)):
            return replace(message, body=body, deadline=max(0, deadline - waited))
    return replace(message, body=body)
