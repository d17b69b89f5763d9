"""One body on its way in: its chunks, put together in order in memory that was set aside for it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Protocol

from fogsdk.core.outgoing import GIVE_UP_AFTER
from fogsdk.wire.messages import Body, Chunk, Got, Result, Task


class Buffer(Protocol):
    """Memory that was set aside; none of it is used before it is written."""

    def __len__(self) -> int: ...

    def write(self, at: int, data: Body) -> None:
        """Put bytes in from ``at`` on."""

    def view(self) -> memoryview:
        """The whole of it."""


@dataclass(slots=True)
class Incoming:
    """A task or result whose body comes in chunks into ``buffer``. ``node`` is who receives it, for the sender, if that
    is a node that takes tasks; ``announced_at`` is when its head came, ``heard_at`` when anything new of the body did.
    Times are in milliseconds.
    """

    link: str
    head: Task | Result
    tag: str
    node: str
    buffer: Buffer
    head_size: int
    announced_at: int
    heard_at: int
    upto: int = 0
    complained: bool = False

    def announced(self, link: str, head: Task | Result, now: int) -> Got:
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
        return Got(self.head.id, self.upto, again, self.tag, self.node)

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

    def message(self, now: int) -> Task | Result:
        """The whole message, with what is left of its deadline."""
        message = replace(self.head, body=self.buffer.view())
        expires = self.expires()
        if isinstance(message, Task) and expires is not None:
            message = replace(message, deadline=max(0, expires - now))
        return message
