"""What a node does with the records that it keeps for others: it writes them down, and has a second node keep them.

The half of :class:`fogsdk.core.replicas.Replicas` that listens to nobody.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from fogsdk.core.commands import Note, Send
from fogsdk.core.identity import Identity
from fogsdk.core.membership import Directory
from fogsdk.core.partners import Partners
from fogsdk.core.records import Record, Stored, Unwritten, Yielded, version
from fogsdk.core.rendezvous import ranked
from fogsdk.core.routing import keepers
from fogsdk.core.store import Store
from fogsdk.core.timers import Timers
from fogsdk.wire import topics
from fogsdk.wire.messages import Kept, Replica, Seek

SEND_AGAIN = 300
"""Milliseconds until a copy that was not acknowledged is first sent again; doubled each time, up to 2 s."""
AUDIT_EVERY = 2000
"""Milliseconds between two questions to each node with which a record is shared."""
BYTES_PER_MS = 1000
"""The slowest link on which a large copy is not sent twice at once."""

Merge = Callable[[str, bytes, bytes], bytes]
"""Of two versions of a record that both count: the first, and in it what has to be kept of the second."""
Effects = list[Any]
"""Commands for the shell, and what :mod:`fogsdk.core.records` declares."""


class Copies:
    """All records that this node has, as home or as guardian."""

    def __init__(self, identity: Identity, directory: Directory, merge: Merge) -> None:
        self.me = identity.node
        self.draining = False
        self.store = Store()
        self._site = identity.site
        self._directory = directory
        self._merge = merge
        self._passed_over: dict[str, int] = {}
        self._partners = Partners()
        self._timers: Timers[tuple[str, str]] = Timers()
        self._auditing = False

    def get(self, key: str) -> Record | None:
        """The record of a key, None where it is not here."""
        record = self.store.records.get(key)
        return None if record is None or record.erased else record

    def others(self, key: str, now: int) -> list[str]:
        """The other nodes that can keep a record now, in the order in which they are to."""
        there = keepers(self._directory.members.values())
        return ranked(key, [n for n in there if n != self.me and self._passed_over.get(n, 0) <= now])

    # ------------------------------------------------------------ large copies on their way

    def wants(self, node: str, said: Replica) -> bool:
        """Whether a copy that is on its way to a node is still to get there: that version is here, and the node its
        guardian, if it was to be."""
        record = self.store.records.get(said.key)
        if record is None or record.data is not said.data:
            return False
        return said.guardian != node or record.guardian == node

    def data_of(self, said: Replica, size: int) -> bytes | None:
        """The data of a version that is announced, if it is here; None where it has to come."""
        record = self.store.records.get(said.key)
        has = record is not None and record.version == version(said) and len(record.data) == size
        return record.data if record is not None and has else None

    # ------------------------------------------------------------ what its owner does with a record

    def create(self, key: str, data: bytes, left: int, now: int, progress: int = 0) -> Effects:
        """Begin a record here, at its home; :class:`Stored` says when it is safe."""
        guardian = next(iter(self.others(key, now)), "")
        record = Record(key, progress, 0, self.me, guardian, data, now + left)
        erased = self.store.records.get(key)
        if erased is not None:
            self._stop_sending(erased)
        return [self.store.put(record, now), *self._spread(record, now)]

    def update(self, key: str, progress: int, data: bytes, now: int, left: int | None = None) -> Effects:
        """Give a record of this home its next version; :class:`Stored` says when it is safe."""
        record = self.store.records[key]
        record.progress = progress
        record.told = record.safe = False
        self.store.change(record, data, record.expires if left is None else now + left)
        return self._renew(record, now)

    def revert(self, key: str, before: tuple[int, bytes] | None) -> Effects:
        """Take an update back that was not written, and that no other node knows; the first one leaves nothing."""
        record = self.store.records[key]
        if before is None:
            return self._drop(record)
        record.progress, data = before
        self.store.change(record, data, record.expires)
        record.written = record.told = True
        return []

    def erase(self, key: str, now: int) -> Effects:
        """Forget a record of this home, here and at its guardian."""
        record = self.store.records[key]
        if not record.guardian:
            return self._bury(record)
        self.store.change(record, b"", record.expires)
        record.erased = True
        return [self.store.wipe(key), *self._spread(record, now)]

    def take_back(self, key: str, now: int) -> Effects:
        """Erase a record that nobody was told of: should another node have begun it too, that one stays."""
        record = self.store.records[key]
        record.told = record.safe = False
        return self.erase(key, now)

    def hand_over(self, key: str, now: int) -> Effects:
        """Make the guardian of a record home, and this node guardian, as far as there is one."""
        record = self.store.records[key]
        if not record.guardian:
            return []
        self._stop_sending(record)
        record.home, record.guardian = record.guardian, self.me
        record.epoch += 1
        record.safe |= record.told
        return [self.store.write(record, now), *self._tell(record.home, record.replica(now)), Yielded(key)]

    def accept(self, key: str) -> Effects:
        """Go on with a record that the journal did not take: this node has it in memory."""
        record = self.store.records[key]
        record.written = True
        return self._check(record)

    # ------------------------------------------------------------ writing and copying

    def _renew(self, record: Record, now: int) -> Effects:
        return [self.store.write(record, now), *self._spread(record, now)]

    def _spread(self, record: Record, now: int) -> Effects:
        """Have the guardian keep the version that is here; another one, where that is not there."""
        self._stop_sending(record)
        record.kept = False
        out: Effects = []
        others = self.others(record.key, now)
        if record.erased and record.guardian not in others:
            return []  # it is told when it comes back with its copy
        if record.guardian not in others and (record.guardian or others):
            record.guardian = next(iter(others), "")
            record.epoch += 1
            record.safe |= record.told
            out.append(self.store.write(record, now))
        if not record.guardian:
            self._timers.set(("lonely", ""), now + AUDIT_EVERY)
            return out + self._check(record)
        self._watch(now)
        if self._partners.may_send(record.guardian, record.key, len(record.data)):
            out += self._first(record, now)
        return out

    def _first(self, record: Record, now: int) -> Effects:
        record.asked_at, record.interval = now, SEND_AGAIN
        return self._send(record, now)

    def _send(self, record: Record, now: int) -> Effects:
        self._timers.set(("send", record.key), now + record.interval + len(record.data) // BYTES_PER_MS)
        return self._tell(record.guardian, record.replica(now))

    def _stop_sending(self, record: Record) -> None:
        self._timers.drop(("send", record.key))
        self._partners.done(record.guardian, record.key)

    def _next(self, node: str, now: int) -> Effects:
        out: Effects = []
        while (key := self._partners.next(node)) is not None:
            out += self._first(self.store.records[key], now)
        return out

    def _check(self, record: Record) -> Effects:
        """Tell when a version of this home's is as safe as can be."""
        if record.home != self.me or record.told or record.settling or not record.written or record.erased:
            return []
        if record.guardian and not record.kept:
            return []
        record.told = True
        return [Stored(record.key)]

    def _watch(self, now: int) -> None:
        """Records are shared with others: from now on these are asked about them."""
        if not self._auditing and self.store.records:
            self._auditing = True
            self._timers.set(("audit", ""), now + AUDIT_EVERY)

    def _drop(self, record: Record) -> Effects:
        self._stop_sending(record)
        return [self.store.drop(record.key)]

    def _bury(self, record: Record) -> Effects:
        if not (record.told or record.safe):
            return self._drop(record)  # it counted nowhere: another node's of this key is not to go with it
        self._stop_sending(record)
        return [self.store.bury(record.key)]

    def _tell(self, node: str, message: Replica | Seek) -> list[Send]:
        member = self._directory.members.get(node)
        if member is None or member.link is None:
            return []
        return [Send(member.link, topics.replica(self._site, node, self.me), message)]

    def _say(self, node: str, message: Kept) -> list[Send]:
        member = self._directory.members.get(node)
        if member is None or member.link is None:
            return []
        return [Send(member.link, topics.reply(self._site, node), message)]

    def _kept(self, record: Record) -> Kept:
        safe = record.told if record.home == self.me else record.written
        return Kept(record.key, self.me, record.home, record.guardian, record.progress, record.epoch, safe)

    # ------------------------------------------------------------ the journal

    def recover(self, records: tuple[tuple[str, bytes], ...], now: int) -> Effects:
        """Take in what the journal holds, before any link is up."""
        unreadable = self.store.recover(records, now)
        out: Effects = [self.store.wipe(key) for key in unreadable]
        if unreadable:
            out.append(Note("journal", f"{len(unreadable)} records of the journal cannot be read, and are dropped"))
        self._watch(now)
        return out

    def written(self, number: int) -> Effects:
        """Everything up to this write is on the disk."""
        self.store.wiped(number)
        out: Effects = []
        for record in self.store.confirmed(number):
            record.written = True
            if record.owed:
                out += self._say(record.owed, self._kept(record))
                record.owed = ""
            out += self._check(record)
        return out

    def write_failed(self, number: int, why: str, now: int) -> Effects:
        """What was not yet confirmed up to this write is not on the disk."""
        out: Effects = []
        for key in self.store.not_wiped(number):
            out.append(Note("journal", f"{key[:80]} cannot be erased from the journal, which is tried again: {why}"))
            self._timers.set(("wipe", ""), now + AUDIT_EVERY)
        for record in self.store.confirmed(number):
            out.append(Note("journal", f"{record.key[:80]} cannot be written to the journal: {why}"))
            if record.home == self.me:
                out.append(Unwritten(record.key, why))
            else:
                out += [*self._say(record.home, Kept(record.key, self.me, refuses=True)), *self._drop(record)]
        return out
