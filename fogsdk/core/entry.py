"""What a ledger writes down: an entry for each task, and what it knows of each taker."""

from __future__ import annotations

from dataclasses import dataclass, field

from fogsdk.wire.messages import Hop, Refused, Task

FIRST_CHECK = 300
"""Milliseconds until the taker of a task is first asked what became of it."""


@dataclass(slots=True)
class Entry:
    """One task that was handed in, until it is settled. Times are in milliseconds."""

    task: Task
    submitted: int
    expires: int | None
    taker: str | None = None
    held: bool = False
    sent_at: int = 0
    link: str = ""
    interval: int = FIRST_CHECK
    former: dict[str, None] = field(default_factory=dict)
    avoid: dict[str, int] = field(default_factory=dict)
    refusal: Refused | None = None
    lost: tuple[Hop, ...] = ()
    cost: float = 0.0


@dataclass(frozen=True, slots=True)
class Orphaned:
    """The task needs a taker: its last one, ``node``, is gone, silent or unwilling (``why``), or there was none."""

    id: str
    node: str | None
    why: str


@dataclass(slots=True)
class Taker:
    """What the ledger knows of one that holds tasks for it: when it was last heard, since when it owes an answer."""

    ids: dict[str, None] = field(default_factory=dict)
    heard: int = 0
    owing_since: int | None = None
