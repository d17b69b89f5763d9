"""What can happen to a core: everything that a shell may pass to ``handle``."""

from __future__ import annotations

from fogsdk.wire.bundles import Item
from fogsdk.wire.frozen import dataclass
from fogsdk.wire.messages import (
    Body,
    Hop,
    Kept,
    Malformed,
    Piece,
    Presence,
    Replica,
    Reply,
    Request,
    Seek,
    Task,
    TaskInfo,
)


@dataclass(frozen=True, slots=True)
class LinkUp:
    """A connection to a broker stands, first time or again."""

    link: str


@dataclass(frozen=True, slots=True)
class LinkDown:
    """A connection to a broker is lost."""

    link: str


@dataclass(frozen=True, slots=True)
class NodeHeard:
    """A birth, will or beat of ``node`` came over ``link``."""

    link: str
    node: str
    message: Presence


@dataclass(frozen=True, slots=True)
class ReplicaHeard:
    """The node ``node`` wants a record kept here, or asks after one."""

    link: str
    node: str
    message: Replica | Seek


@dataclass(frozen=True, slots=True)
class Asked:
    """A sender wants something of this node, or (``any_node``) of whichever node is first to take it."""

    link: str
    sender: str
    message: Request | Malformed
    as_json: bool = False
    any_node: bool = False


@dataclass(frozen=True, slots=True)
class Replied:
    """Word of a task that this core handed out, or of a record that it has somebody keep."""

    link: str
    message: Reply | Kept


@dataclass(frozen=True, slots=True)
class Carried:
    """A piece of a large message, or word of pieces that were sent: from ``sender``, or, where that is empty, from a
    node that this core handed a task or a copy of a record (``is_copy``)."""

    link: str
    sender: str
    message: Piece
    is_copy: bool = False

    @property
    def is_reply(self) -> bool:
        """Whether it is about what this core handed out."""
        return not self.sender


@dataclass(frozen=True, slots=True)
class Moving:
    """A task that this core handed out, or a copy, is on its way to ``node`` in chunks (``up``), ``size`` bytes of it
    now, or is there (``done``); or its result is on the way back. The last that arrived ``took`` so many milliseconds.
    """

    id: str
    node: str
    up: bool = False
    size: int = 0
    done: bool = False
    took: int = 0


@dataclass(frozen=True, slots=True)
class Submit:
    """The owner of this core wants a task run: ``to`` one node and no other, if it names one."""

    task: Task
    to: str = ""


@dataclass(frozen=True, slots=True)
class Withdraw:
    """The owner of this core no longer wants a task."""

    id: str


@dataclass(frozen=True, slots=True)
class Offer:
    """What this node's executor can run has changed: these tasks, and no others."""

    tasks: tuple[TaskInfo, ...]


@dataclass(frozen=True, slots=True)
class Measured:
    """This machine's load: used fractions of CPU and memory."""

    cpu: float
    memory: float


@dataclass(frozen=True, slots=True)
class CloudReached:
    """Whether this bridge's link to its core site is ``up``, now that this has changed."""

    up: bool


@dataclass(frozen=True, slots=True)
class Congested:
    """Whether a link is ``full``, now that this has changed: what is sent over it has been waiting to leave."""

    link: str
    full: bool


@dataclass(frozen=True, slots=True)
class Delivering:
    """Whether large results are ``under_way`` to who asked for them, now that this has changed."""

    under_way: bool


@dataclass(frozen=True, slots=True)
class Drain:
    """Take nothing new, finish what runs within ``patience`` milliseconds, hand back the rest, and leave."""

    patience: int


@dataclass(frozen=True, slots=True)
class Recovered:
    """What the journal on disk holds, by key: told once, before any link is up."""

    records: tuple[tuple[str, bytes], ...]


@dataclass(frozen=True, slots=True)
class Written:
    """Everything up to the write of this ``number`` is on the disk."""

    number: int


@dataclass(frozen=True, slots=True)
class WriteFailed:
    """The write of this ``number`` could not be done, nor any before it that was not confirmed."""

    number: int
    why: str


@dataclass(frozen=True, slots=True)
class Disturbed:
    """What became of a :class:`Disturb`: ``value`` is the CBOR of its result; with an ``error`` it was not done."""

    number: int
    value: bytes
    error: str = ""


@dataclass(frozen=True, slots=True)
class Tick:
    """The time that ``deadline`` named has come."""


@dataclass(frozen=True, slots=True)
class JobDone:
    """A job returned. ``ran`` is in milliseconds; ``hops`` are there when another site ran it."""

    job: int
    value: Body
    ran: float
    hops: tuple[Hop, ...] = ()


@dataclass(frozen=True, slots=True)
class JobSplit:
    """A split job returned the arguments of its parts."""

    job: int
    parts: tuple[Body, ...]
    ran: float


@dataclass(frozen=True, slots=True)
class JobFailed:
    """The task raised, overran its timeout (TaskTimeout) or outgrew its memory limit (MemoryLimit)."""

    job: int
    type: str
    message: str
    traceback: str
    ran: float
    hops: tuple[Hop, ...] = ()


@dataclass(frozen=True, slots=True)
class JobRefused:
    """The executor will not run the job."""

    job: int
    reason: str
    message: str
    retry_after: int | None = None


@dataclass(frozen=True, slots=True)
class JobApart:
    """A job that is a bundle ends early. Its first calls are done, with these ``outcomes``, which ``ran`` so many
    milliseconds together; the rest will not be begun, but for the next one: if that is ``at_work``, it is the job from
    now on."""

    job: int
    outcomes: tuple[Item, ...]
    ran: float
    at_work: bool = True


@dataclass(frozen=True, slots=True)
class JobProgress:
    """How far a job is, from 0.0 to 1.0."""

    job: int
    fraction: float


@dataclass(frozen=True, slots=True)
class JobLost:
    """The worker died under a job; that is no answer of the task's own. ``induced`` if it was killed on purpose, to see
    what the fog makes of it."""

    job: int
    why: str
    induced: bool = False


JobEvent = JobDone | JobSplit | JobFailed | JobRefused | JobApart | JobProgress | JobLost
Event = (
    LinkUp
    | LinkDown
    | NodeHeard
    | ReplicaHeard
    | Asked
    | Replied
    | Carried
    | Moving
    | Submit
    | Withdraw
    | Offer
    | Measured
    | CloudReached
    | Congested
    | Delivering
    | Drain
    | Recovered
    | Written
    | WriteFailed
    | Disturbed
    | Tick
    | JobEvent
)
