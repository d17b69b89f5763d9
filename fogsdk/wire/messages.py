"""The messages of the protocol as frozen dataclasses. ``docs/protocol.md`` says when each is sent.

Durations are in milliseconds. ``body`` is always CBOR made by ``wire.values``: in a task the pair ``[args, kwargs]``,
in a result the value; the nodes on the way pass it on unopened.
"""

from __future__ import annotations

from fogsdk.wire.frozen import dataclass

Body = bytes | memoryview
"""Arguments or a result. Large ones are views of memory that is shared, and not copied."""


@dataclass(frozen=True, slots=True)
class Hop:
    """One entry of a trace: what one node did with the task, and why.

    ``action`` is ran, sent (handed to another node), split, merged, lost (the node died with it), or hedged (``node``
    took longer than usual, and another was asked too). ``part`` numbers the part of a split task that the entry is
    about. ``queued``, ``ran`` and ``took`` (all of its time on that node) are in milliseconds.
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
    """Run this. ``deadline`` counts from sending; ``via`` are the nodes that had it; a ``part`` is not split again.

    With ``keep`` (milliseconds) it is posted: the answer is its receipt, once it is in the journals of ``copies``
    nodes, and its outcome is kept for whoever fetches it. With ``session`` and ``step`` it is that step of the
    session, from the state whose tag is ``after``. ``state`` is the CBOR of a session's state, from its home to the
    node that runs the step. With a ``count`` above 1 it is a bundle of so many calls (:mod:`fogsdk.wire.bundles`).
    """

    id: str
    name: str
    body: Body
    deadline: int | None = None
    priority: int = 0
    weight: str | None = None
    part: int | None = None
    via: tuple[str, ...] = ()
    keep: int | None = None
    copies: int | None = None
    session: str | None = None
    step: int | None = None
    after: str = ""
    state: bytes | None = None
    count: int = 1


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
    """The task returned. ``wait`` is how long a task that comes now would queue on the node that answers; ``tag`` is
    that of a session's state after the step."""

    id: str
    body: Body
    hops: tuple[Hop, ...] = ()
    wait: int = 0
    tag: str = ""


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
    """``node`` will not run the task. An empty ``id`` means that a message could not be read at all. ``instead`` is the
    node to ask, where the reason is ``elsewhere``."""

    id: str
    node: str
    reason: str
    message: str = ""
    retry_after: int | None = None
    instead: str = ""


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

    def __hash__(self) -> int:
        """The name tells most apart; to hash every field for each birth would be felt on a site of thousands."""
        return hash(self.name)


@dataclass(frozen=True, slots=True)
class Birth:
    """A node is there. A later ``incarnation`` overrides an earlier one; ``capacity`` is its workers; one that
    ``keeps`` has a journal on its disk for posted tasks and sessions."""

    incarnation: int
    role: str
    capacity: int
    tasks: tuple[TaskInfo, ...] = ()
    addresses: tuple[str, ...] = ()
    keeps: bool = False


@dataclass(frozen=True, slots=True)
class Gone:
    """That incarnation of the node is gone: its will, or its own word when it leaves."""

    incarnation: int


@dataclass(frozen=True, slots=True)
class Beat:
    """A heartbeat: hear from me again within ``ttl`` or take me for lost.

    ``cpu`` and ``memory`` are used fractions of the machine. ``wait`` is how long a task that comes now would queue.
    ``uplink`` is on a cloud bridge: whether its link to the core site is up. A ``draining`` node takes nothing new.
    ``quarantined`` names tasks that it runs no more because they killed its workers.
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
    quarantined: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Replica:
    """Keep this: the record of ``key`` as its ``home`` has it, which ``guardian`` keeps too.

    Of two versions the one with more ``progress`` counts, then the one of the later ``epoch``, which grows when another
    node becomes home or guardian. ``left`` is how long the record is to be kept, 0 erases it. A ``safe`` version
    counted as stored before it was sent here; any other is only a wish until it is answered with ``Kept``.
    """

    key: str
    progress: int
    epoch: int
    home: str
    guardian: str
    data: bytes
    left: int
    safe: bool = False


@dataclass(frozen=True, slots=True)
class Seek:
    """Which version of the record of ``key`` do you have? The asker has the one with this ``progress`` and ``epoch``,
    or none."""

    key: str
    progress: int | None = None
    epoch: int = 0


@dataclass(frozen=True, slots=True)
class Kept:
    """``node`` has this version of the record of ``key``; with no ``home`` it has none. A ``safe`` one counts: it is on
    the disk here, and where ``node`` is its home, on that of its guardian too. It ``refuses`` to keep what it was sent
    where it has no room for it."""

    key: str
    node: str
    home: str = ""
    guardian: str = ""
    progress: int = 0
    epoch: int = 0
    safe: bool = False
    refuses: bool = False


@dataclass(frozen=True, slots=True)
class Transfer:
    """A task or result is to come whose body, of ``size`` bytes, travels in chunks: ``head`` is the rest of the
    message, in CBOR, its body empty. Answered with :class:`Got`, which says from where on the body is needed.

    ``id`` is the task's. Who sends another body under the same id gives it another ``tag``. ``node`` is who sends it,
    where that is a node that answers.
    """

    id: str
    size: int
    head: bytes
    tag: str = ""
    node: str = ""


@dataclass(frozen=True, slots=True)
class Chunk:
    """The bytes of a body from ``at`` on."""

    id: str
    at: int
    data: Body
    tag: str = ""
    node: str = ""


@dataclass(frozen=True, slots=True)
class Got:
    """The first ``upto`` bytes of a body are there; with ``again``, send from there on whatever was sent before."""

    id: str
    upto: int
    again: bool = False
    tag: str = ""
    node: str = ""


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
Copy = Replica | Seek | Kept
Piece = Transfer | Chunk | Got
Message = Request | Reply | Presence | Copy | Piece
