"""What a core wants done: everything that ``handle`` may return for a shell to carry out."""

from __future__ import annotations

from fogsdk.wire.frozen import dataclass
from fogsdk.wire.messages import Body, Expired, Failed, Message, Refused, Result


@dataclass(frozen=True, slots=True)
class Send:
    """Publish ``message`` over ``link``. Neighbouring sends to one topic may leave as one batch."""

    link: str
    topic: str
    message: Message
    as_json: bool = False
    retain: bool = False


@dataclass(frozen=True, slots=True)
class Subscribe:
    """Hear ``topic`` on every link, now and after each reconnect."""

    topic: str


@dataclass(frozen=True, slots=True)
class Unsubscribe:
    """No longer hear ``topic``."""

    topic: str


@dataclass(frozen=True, slots=True)
class Start:
    """Run a job in the executor.

    ``kind`` is run, step, split or merge, ``bodies`` and ``shares`` are what ``tasks.perform`` takes; or it is each: to
    run each of the ``bodies``, and return :func:`fogsdk.wire.bundles.write` of what became of them. ``timeout`` and
    ``deadline`` (what is left of it) are in milliseconds, ``memory`` in bytes. ``sender`` and ``id`` name the task as
    its sender does, the same after a restart. A ``quick`` job may wait in a worker's pipe while another runs.
    """

    job: int
    kind: str
    name: str
    bodies: tuple[Body, ...]
    shares: tuple[float, ...] = ()
    timeout: int | None = None
    memory: int | None = None
    sender: str = ""
    id: str = ""
    deadline: int | None = None
    priority: int = 0
    quick: bool = False


@dataclass(frozen=True, slots=True)
class Stop:
    """Stop a job; the executor says nothing more about it."""

    job: int


@dataclass(frozen=True, slots=True)
class Write:
    """Put ``data`` under ``key`` in the journal on disk; None erases it. Writes are numbered from 1; :class:`Written`
    says when they are safe."""

    number: int
    key: str
    data: bytes | None


@dataclass(frozen=True, slots=True)
class Disturb:
    """Do to this node what ``order`` (CBOR) says, and answer with :class:`Disturbed`."""

    number: int
    order: bytes


@dataclass(frozen=True, slots=True)
class Settled:
    """The outcome of a task that this core's owner submitted: exactly one for each."""

    id: str
    outcome: Result | Failed | Refused | Expired


@dataclass(frozen=True, slots=True)
class Advanced:
    """How far a submitted task is, from 0.0 to 1.0."""

    id: str
    fraction: float


@dataclass(frozen=True, slots=True)
class Note:
    """Something for the log, counted and rate-limited by ``kind``."""

    kind: str
    text: str


@dataclass(frozen=True, slots=True)
class Reconnect:
    """Log in anew on every link: the will that the brokers have is of an earlier incarnation."""


@dataclass(frozen=True, slots=True)
class Leave:
    """Draining is over: nothing is held any more, the daemon can end."""


Command = (
    Send | Subscribe | Unsubscribe | Start | Stop | Write | Disturb | Settled | Advanced | Note | Reconnect | Leave
)
