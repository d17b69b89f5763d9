"""One record that two nodes keep: its versions, which of two of them counts, and what comes of keeping it.

A version is *firm* where it may count already: its guardian has it, or its home told somebody that it is stored. Any
other is a wish of its home, which gives way to a firm one of the same progress. So of two steps that were both taken
after the same one, the first to reach a guardian stands.
"""

from __future__ import annotations

from dataclasses import dataclass

from fogsdk.errors import WireError
from fogsdk.wire import codec
from fogsdk.wire.messages import Kept, Replica


@dataclass(slots=True, eq=False)
class Record:
    """A record as this node has it. Times are in milliseconds.

    ``number`` is that of its last write, ``written`` whether it is on the disk, ``kept`` whether the guardian has this
    version, ``told`` whether that was reported as stored, and ``safe`` whether it was before this guardian came.
    ``settling`` ones are from the journal, and the other node was not heard about them yet. ``owed`` is who waits for
    the word that it is written. ``erased`` ones are only waiting for the guardian to erase them too.
    """

    key: str
    progress: int
    epoch: int
    home: str
    guardian: str
    data: bytes
    expires: int
    safe: bool = False
    number: int = 0
    written: bool = False
    kept: bool = False
    told: bool = False
    settling: bool = False
    owed: str = ""
    erased: bool = False
    asked_at: int = 0
    interval: int = 0

    @property
    def version(self) -> tuple[int, int, str]:
        """What a copy of it says about itself."""
        return self.progress, self.epoch, self.home

    def firm(self, me: str) -> bool:
        """Whether this version may count already."""
        return self.home != me or self.told or self.safe

    def other(self, me: str) -> str:
        """The node that keeps it too, "" where there is none."""
        return self.guardian if self.home == me else self.home

    def replica(self, now: int, safe: bool = False) -> Replica:
        """The record as it crosses the network, and as it is written to the disk."""
        left = 0 if self.erased else max(1, self.expires - now)
        safe = safe or self.safe or self.told
        return Replica(self.key, self.progress, self.epoch, self.home, self.guardian, self.data, left, safe)


def beats(said: Replica, mine: Record, me: str) -> bool:
    """Whether a version that came from another node counts more than the one that is here."""
    if said.progress != mine.progress:
        return said.progress > mine.progress
    if said.data != mine.data and said.safe != mine.firm(me):
        return said.safe
    return (said.epoch, said.home) > (mine.epoch, mine.home)


def version(said: Replica | Kept) -> tuple[int, int, str]:
    """The version that a message is about."""
    return said.progress, said.epoch, said.home


def received(said: Replica, now: int) -> Record:
    """A record from what another node, or the journal, says of it."""
    expires = now + said.left
    return Record(said.key, said.progress, said.epoch, said.home, said.guardian, said.data, expires, said.safe)


def recovered(key: str, data: bytes, now: int) -> Record | None:
    """A record from the journal, None where that cannot be read."""
    try:
        match codec.decode(data):
            case [Replica() as said] if said.key == key:
                record = received(said, now)
                record.written = record.settling = True
                record.safe |= not record.guardian  # with no guardian it counted as soon as it was written
                return record
    except WireError:
        pass
    return None


@dataclass(frozen=True, slots=True)
class Stored:
    """The version of the record that is here, at its home, is as safe as can be: what waits for that can go on."""

    key: str


@dataclass(frozen=True, slots=True)
class Yielded:
    """The record, or this version of it, is no longer this node's affair: what was made of it here must stop."""

    key: str


@dataclass(frozen=True, slots=True)
class Unwritten:
    """The journal could not take the record."""

    key: str
    why: str


@dataclass(frozen=True, slots=True)
class Sought:
    """The search for a record is over: ``best`` is the latest version that another node has of it, ``answered`` are the
    nodes that said what they have."""

    key: str
    best: Kept | None
    answered: tuple[str, ...] = ()
