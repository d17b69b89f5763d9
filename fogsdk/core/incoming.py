"""One body on its way in: its chunks, put together in order in memory that was set aside for it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from fogsdk.core.bodies import Large, body_of, id_of, with_body
from fogsdk.core.events import Asked, Carried, Event, ReplicaHeard, Replied
from fogsdk.core.outgoing import GIVE_UP_AFTER
from fogsdk.errors import WireError
from fogsdk.wire import codec
from fogsdk.wire.limits import RECORD_SIZE
from fogsdk.wire.messages import Body, Chunk, Got, Malformed, Replica, Result, Task, Transfer

Key = tuple[type[Large], str, str, str]
"""What a body belongs to, who sends it, the transfer's id, and the tag."""


class Buffer(Protocol):
    """Memory that was set aside; none of it is used before it is written."""

    def __len__(self) -> int: ...

    def write(self, at: int, data: Body) -> None:
        """Put bytes in from ``at`` on."""

    def view(self) -> memoryview:
        """The whole of it."""


MOST_INCOMING = 256
"""Arguments on their way in at once, of which one sender may have a quarter; as many results, and as many copies."""


@dataclass(slots=True)
class Incoming:
    """A message whose body comes in chunks into ``buffer``. ``node`` is who receives it, for the sender, if that
    is a node that takes tasks; ``announced_at`` is when its head came, ``heard_at`` when anything new of the body did.
    Times are in milliseconds.
    """

    link: str
    head: Large
    tag: str
    node: str
    buffer: Buffer
    head_size: int
    announced_at: int
    heard_at: int
    upto: int = 0
    complained: bool = False

    def announced(self, link: str, head: Large, now: int) -> Got:
        """It was announced, for the first time or again; returns what is here."""
        self.link, self.head, self.announced_at = link, head, now
        self.complained = True
        return self.got(again=True)

    def take(self, chunk: Chunk, now: int) -> Got | None:
        """Take in a chunk; returns what is to be said of it. One that does not continue what is here is dropped, and
        the first of those complained of."""
        end = chunk.at + len(chunk.data)
        if chunk.at > self.upto or end > len(self.buffer):
            complained, self.complained = self.complained, True
            return None if complained else self.got(again=True)
        if end > self.upto:
            self.heard_at = now
            self.buffer.write(self.upto, memoryview(chunk.data)[self.upto - chunk.at :])
            self.upto, self.complained = end, False
        return self.got()

    def got(self, again: bool = False) -> Got:
        """What is here."""
        return Got(id_of(self.head), self.upto, again, self.tag, self.node)

    @property
    def size(self) -> int:
        """Bytes of memory that it takes."""
        return len(self.buffer) + self.head_size

    @property
    def is_whole(self) -> bool:
        """Whether everything is here."""
        return self.upto == len(self.buffer)

    def expires(self) -> int | None:
        """When its deadline passes, None for never."""
        deadline = self.head.deadline if isinstance(self.head, Task) else None
        return None if deadline is None else self.announced_at + deadline

    def over_at(self) -> int:
        """When it is over, whole or not: nothing more came for long, or nobody wants the result any more."""
        over_at, expires = self.heard_at + GIVE_UP_AFTER, self.expires()
        return over_at if expires is None else min(over_at, expires)

    def message(self, now: int) -> Large:
        """The whole message, with what is left of its time."""
        return with_body(self.head, self.buffer.view(), now - self.announced_at)


def kind_of(event: Carried) -> type[Large]:
    """Of what it is a piece that comes."""
    if event.is_reply:
        return Result
    return Replica if event.is_copy else Task


def key_of(event: Carried) -> Key:
    """To which body it belongs."""
    message = event.message
    return kind_of(event), message.node if event.is_reply else event.sender, message.id, message.tag


def head_of(event: Carried, transfer: Transfer) -> Large | Malformed:
    """The message that is announced, its body still empty."""
    try:
        [head] = codec.decode(transfer.head)
    except (WireError, ValueError) as error:
        return Malformed(transfer.id, "malformed", f"head: {error}")
    wanted = kind_of(event)
    if isinstance(head, Malformed):
        return head
    if not isinstance(head, wanted) or id_of(head) != transfer.id or body_of(head):
        return Malformed(
            transfer.id, "malformed", f"head: must be a {wanted.__name__.lower()} of this id, its body empty"
        )
    if wanted is Replica and transfer.size > RECORD_SIZE:
        return Malformed(transfer.id, "too-large", f"{transfer.size} bytes; a record has {RECORD_SIZE} at the most")
    return head


def arrived(event: Carried, message: Large) -> Event:
    """What the core hears of a message whose last piece came with this event."""
    match message:
        case Task():
            return Asked(event.link, event.sender, message)
        case Replica():
            return ReplicaHeard(event.link, event.sender, message)
    return Replied(event.link, message)


def no_room(event: Carried, size: int, room: int, me: str, incoming: Mapping[Key, Incoming]) -> tuple[str, str] | None:
    """Why a body cannot come now to ``me``, which has so much ``room``, as a reason and in words; None where it can.
    Copies, which other nodes send, have as much of their own: those who upload tasks cannot keep them away."""
    if size > room:
        return "no-room", f"{size} bytes; {me} takes {room} bytes of large data"
    wanted = kind_of(event)
    alike = [(key[1], each.size) for key, each in incoming.items() if key[0] is wanted]
    counted = [each.size for key, each in incoming.items() if (key[0] is Replica) == (wanted is Replica)]
    taken = sum(counted)
    full = taken + size > room or len(alike) >= MOST_INCOMING
    if wanted is Task:  # one sender is to leave some to the others
        own = [length for sender, length in alike if sender == event.sender]
        full |= bool(own) and (sum(own) + size > room // 2 or len(own) >= MOST_INCOMING // 4)
    if not full:
        return None
    return "overloaded", f"{taken} bytes of {room}, of {len(alike)} bodies, are on their way to {me}"
