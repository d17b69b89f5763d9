"""The messages of the protocol as frozen dataclasses. ``docs/protocol.md`` says when each is sent.

Durations are in milliseconds. ``body`` is always CBOR made by ``wire.values``: in a task the pair ``[args, kwargs]``,
in a result the value; the nodes on the way pass it on unopened.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Hop:
    """One entry of a trace: what one node did with the task, and why.

    ``action`` is ran, sent (handed to another node), split, merged, or lost (the node died with it). ``part`` numbers
    the part of a split task that the entry is about. ``queued``, ``ran`` and ``took`` (all of its time on that node)
    are in milliseconds.
    """

    node: str
    action: str
    why: str = ""
    part: int | None = None
    queued: float = 0.0
    ran: float = 0.0
    took: float = 0.0


@dataclass(frozen=True, slots=True)
class Task:
    """Run this. ``deadline`` counts from sending; ``via`` are the nodes that had it; a ``part`` is not split again."""

    id: str
    name: str
    body: bytes
    deadline: int | None = None
    priority: int = 0
    weight: str | None = None
    part: int | None = None
    via: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Cancel:
    """Stop the task with this id."""

    id: str


@dataclass(frozen=True, slots=True)
class Ask:
    """What became of the task with this id? Answered like the task itself, or with refused: unknown-id."""

    id: str


@dataclass(frozen=True, slots=True)
class Accepted:
    """``node`` has the task. ``wait`` is its guess at the time until the result."""

    id: str
    node: str
    wait: int | None = None


@dataclass(frozen=True, slots=True)
class Progress:
    """How far the running task is, from 0.0 to 1.0."""

    id: str
    fraction: float


@dataclass(frozen=True, slots=True)
class Result:
    """The task returned. ``wait`` is how long a task that comes now would queue on the node that answers."""

    id: str
    body: bytes
    hops: tuple[Hop, ...] = ()
    wait: int = 0


@dataclass(frozen=True, slots=True)
class Failed:
    """The task raised: ``error`` is the exception's type."""

    id: str
    error: str
    message: str
    traceback: str = ""
    hops: tuple[Hop, ...] = ()


@dataclass(frozen=True, slots=True)
class Refused:
    """``node`` will not run the task. An empty ``id`` means that a message could not be read at all."""

    id: str
    node: str
    reason: str
    message: str = ""
    retry_after: int | None = None


@dataclass(frozen=True, slots=True)
class Expired:
    """The task's deadline passed before it was done."""

    id: str
    message: str = ""
    hops: tuple[Hop, ...] = ()


@dataclass(frozen=True, slots=True)
class Cancelled:
    """The task was stopped because its sender said so."""

    id: str


@dataclass(frozen=True, slots=True)
class TaskInfo:
    """A task as its node announces it; ``timeout`` in milliseconds, ``signature`` and ``summary`` for people."""

    name: str
    version: str = "1"
    weight: str = "auto"
    timeout: int | None = None
    memory: int | None = None
    split: bool = False
    fallback: str | None = None
    signature: str = ""
    summary: str = ""


@dataclass(frozen=True, slots=True)
class Birth:
    """A node is there. A later ``incarnation`` overrides an earlier one; ``capacity`` is its workers."""

    incarnation: int
    role: str
    capacity: int
    tasks: tuple[TaskInfo, ...] = ()
    addresses: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Gone:
    """That incarnation of the node is gone: its will, or its own word when it leaves."""

    incarnation: int


@dataclass(frozen=True, slots=True)
class Beat:
    """A heartbeat: hear from me again within ``ttl`` or take me for lost.

    ``cpu`` and ``memory`` are used fractions of the machine. ``wait`` is how long a task that comes now would queue.
    ``uplink`` is on a cloud bridge: whether its link to the core site is up. A ``draining`` node takes nothing new.
    """

    incarnation: int
    seq: int
    ttl: int
    running: int = 0
    queued: int = 0
    wait: int = 0
    cpu: float = 0.0
    memory: float = 0.0
    uplink: bool | None = None
    draining: bool = False


@dataclass(frozen=True, slots=True)
class Malformed:
    """A message that could not be read; never sent. ``id`` is there when that much could be read, else empty.

    ``reason`` is malformed or too-large.
    """

    id: str
    reason: str
    message: str


Request = Task | Cancel | Ask
Outcome = Result | Failed | Refused | Expired | Cancelled
Reply = Accepted | Progress | Outcome
Presence = Birth | Gone | Beat
Message = Request | Reply | Presence
