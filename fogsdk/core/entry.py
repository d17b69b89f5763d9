"""What a ledger writes down: an entry for each task."""

from __future__ import annotations

from dataclasses import dataclass, field

from fogsdk.core.timers import Line
from fogsdk.wire.messages import Accepted, Expired, Failed, Hop, Refused, Reply, Result, Task

FIRST_CHECK = 300
"""Milliseconds until the taker of a task is first asked what became of it."""


@dataclass(slots=True)
class Entry:
    """One task that was handed in, until it is settled: it waits while it has no ``taker``, and is ``held`` once that
    one said that it has it. Times are in milliseconds.

    It may go ``to`` one node only, if that is named; ``key`` is that of the record which it is about, if it is about
    one. ``second`` is the node that was given it too, at ``second_at``, as the taker was late; ``late`` is where it
    waits for that. ``former`` are takers that were lost and may live, and when each was given it. ``instead`` is the
    node to which one of them sent it on, and ``behind_since`` is when nodes began to say that they lack what it goes on
    from. ``lost`` is its trace so far. ``way`` is the link on which it was handed out behind large ones, and what
    ``Takers.out`` said of that then.
    """

    task: Task
    submitted: int
    expires: int | None
    to: str = ""
    taker: str | None = None
    held: bool = False
    sent_at: int = 0
    link: str = ""
    asked_at: int = -FIRST_CHECK
    interval: int = FIRST_CHECK
    second: str | None = None
    second_at: int | None = None
    former: dict[str, int] = field(default_factory=dict)
    avoid: dict[str, int] = field(default_factory=dict)
    instead: str = ""
    behind_since: int | None = None
    refusal: Refused | None = None
    lost: tuple[Hop, ...] = ()
    cost: float = 0.0
    key: str | None = None
    late: Line[str] | None = None
    way: tuple[str, int] | None = None

    def holders(self) -> list[str]:
        """The nodes that may have the task."""
        both = [self.taker] if self.taker is not None else []
        if self.second is not None:
            both.append(self.second)
        return [*both, *self.former] if self.former else both

    def given_at(self, node: str) -> int | None:
        """When a node was given the task, None if it was not."""
        if node == self.taker:
            return self.sent_at
        return self.second_at if node == self.second else self.former.get(node)

    def without_taker(self) -> Orphaned:
        """What is to be said where the task has none, and may find one now."""
        return Orphaned(self.task.id, None, self.refusal.reason if self.refusal else "no node")

    def expired(self) -> Expired:
        """What is said when its deadline has passed."""
        if self.refusal is not None and self.taker is None:
            why = f"the last answer was {self.refusal.reason}: {self.refusal.message}"
        elif self.taker is None:
            why = "no node was there to take the task"
        else:
            why = f"{self.taker} {'had accepted it' if self.held else 'had not answered'}"
        return Expired(self.task.id, f"no result within the deadline; {why}", self.lost)

    def dropped_by(self, refusal: Refused) -> None:
        """A node other than the taker does not have the task, or no longer."""
        self.former.pop(refusal.node, None)
        if refusal.node == self.second:
            self.second = None


@dataclass(frozen=True, slots=True)
class Orphaned:
    """The task needs a taker: its last one, ``node``, is gone, silent or unwilling (``why``), or there was none."""

    id: str
    node: str | None
    why: str


def answering(reply: Reply) -> str | None:
    """The node that says so, as far as the reply tells."""
    match reply:
        case Result() | Failed() | Expired():
            return reply.hops[0].node if reply.hops else None
        case Accepted() | Refused():
            return reply.node
    return None
