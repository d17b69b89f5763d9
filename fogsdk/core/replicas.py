"""Records that two nodes keep, so that no one node's death loses them: the layer below posted tasks and sessions.

The *home* of a record acts on it, the *guardian* has a copy. The home writes a new version to its journal and sends it
to the guardian at the same time; it is stored when both say that it is on their disks. A guardian that is lost is
replaced by the next node in the order of the key, and where there is none the home goes on alone. When the home is
lost, the guardian asks the other nodes, and makes itself home if none of them knows better. Each such change begins a
new epoch. Whoever hears of an older version than its own answers with its own.

A node that was started again first hears what the others have before it acts on what its journal says.
"""

from __future__ import annotations

from collections.abc import Iterable

from fogsdk.core.commands import Note, Send
from fogsdk.core.copies import BYTES_PER_MS, Copies, Effects, Merge
from fogsdk.core.identity import Identity
from fogsdk.core.membership import Directory
from fogsdk.core.records import Record, Sought, Yielded, beats, received, version
from fogsdk.core.seeking import Seeking
from fogsdk.core.timers import earliest
from fogsdk.wire.messages import Kept, Replica, Seek

LAST_AGAIN = 2000
"""Milliseconds between two sendings of one copy at the most."""
GUARDIAN_WITHIN = 2000
"""Milliseconds without a word from a guardian that owes one after which it is replaced."""
PASS_OVER = 5000
"""Milliseconds for which a node that did not answer, or had no room, is given nothing to keep."""
RECOVER_WITHIN = 2000
"""Milliseconds after the first link of a restarted node within which the other node of each record is to be heard."""


class Replicas(Copies):
    """All records that this node has, as home or as guardian, and what other nodes say of them."""

    def __init__(self, identity: Identity, directory: Directory, merge: Merge) -> None:
        super().__init__(identity, directory, merge)
        self._seeking = Seeking(self._tell)

    def deadline(self) -> int | None:
        """When ``tick`` has something to do."""
        return earliest(self._timers.next(), self._seeking.deadline(), self.store.deadline())

    def seek(self, key: str, now: int) -> Effects:
        """Ask the other nodes for a key; :class:`Sought` tells what came of it."""
        return self._found(self._seeking.begin(self._question(key), self.others(key, now), now), now)

    def _question(self, key: str) -> Seek:
        record = self.get(key)
        return Seek(key, record.progress, record.epoch) if record else Seek(key)

    # ------------------------------------------------------------ what other nodes say

    def heard(self, node: str, message: Replica | Seek, now: int) -> Effects:
        """Another node wants a record kept, or asks after one."""
        self._partners.heard(node, now)
        if isinstance(message, Seek):
            return self._asked(node, message, now)
        return self._offered(node, message, now)

    def moving(self, node: str, now: int) -> None:
        """A large copy on its way to another node gets on there."""
        self._partners.heard(node, now)

    def _asked(self, node: str, question: Seek, now: int) -> Effects:
        record = self.store.records.get(question.key)
        if record is None and self.store.buried(question.key):
            gone = Replica(question.key, 0, 0, self.me, "", b"", 0, safe=True)
            return [*self._tell(node, gone), *self._say(node, Kept(question.key, self.me))]
        if record is None:
            return [*self._say(node, Kept(question.key, self.me))]
        if record.erased:
            return [*self._tell(node, record.replica(now)), *self._say(node, Kept(question.key, self.me))]
        older = question.progress is not None and (question.progress, question.epoch) < record.version[:2]
        if older and node in (record.home, record.guardian) and record.firm(self.me):
            return [*self._tell(node, record.replica(now, safe=True))]
        return [*self._say(node, self._kept(record))]

    def _offered(self, node: str, said: Replica, now: int) -> Effects:
        mine = self.store.records.get(said.key)
        if said.left == 0:
            return self._told_to_erase(node, said, mine, now)
        if mine is not None and mine.erased:
            return [*self._tell(node, mine.replica(now))]
        if mine is not None and not beats(said, mine, self.me):
            return self._no_news(node, said, mine, now)
        if self.me not in (said.home, said.guardian):
            return self._give_up(mine) if mine else []
        if mine is None and (self.draining or self.store.full(len(said.data))):
            return [*self._say(node, Kept(said.key, self.me, refuses=True))]
        if mine is not None and said.home != self.me and self._would_lose(said, mine):
            return [*self._tell(said.home, mine.replica(now, safe=True))]  # it is to take in what counts here first
        return self._adopt(node, said, mine, now)

    def _both_count(self, said: Replica, mine: Record) -> bool:
        return said.progress == mine.progress and said.data != mine.data and said.safe and mine.firm(self.me)

    def _would_lose(self, said: Replica, mine: Record) -> bool:
        return self._both_count(said, mine) and self._merge(said.key, said.data, mine.data) != said.data

    def _told_to_erase(self, node: str, said: Replica, mine: Record | None, now: int) -> Effects:
        out: Effects = [*self._say(node, Kept(said.key, self.me))]
        if mine is None or (not said.safe and said.home != mine.home):
            return out  # a home takes back what counted nowhere: this one was begun by another, and stays
        if mine.home == self.me and not mine.erased:
            return [*out, *self.erase(said.key, now), Yielded(said.key)]
        return out + self._give_up(mine)

    def _give_up(self, mine: Record) -> Effects:
        return [*self._drop(mine), Yielded(mine.key)]

    def _no_news(self, node: str, said: Replica, mine: Record, now: int) -> Effects:
        if version(said) == mine.version:
            return self._has_mine(node, mine, now)
        if mine.home == self.me and self._both_count(said, mine):
            merged = self._merge(said.key, mine.data, said.data)
            if merged != mine.data:
                self.store.change(mine, merged, mine.expires)
                mine.epoch = max(mine.epoch, said.epoch) + 1
                mine.safe, mine.told = True, False
                return self._renew(mine, now)
        return [*self._tell(node, mine.replica(now, safe=True))] if mine.firm(self.me) else []

    def _has_mine(self, node: str, mine: Record, now: int) -> Effects:
        if mine.home == self.me:
            return self._acknowledged(mine, now) if node == mine.guardian else []
        if mine.written:
            return [*self._say(node, self._kept(mine))]
        mine.owed = node
        return []

    def _adopt(self, node: str, said: Replica, mine: Record | None, now: int) -> Effects:
        if mine is not None:
            self._stop_sending(mine)
        record = received(said, now)
        out: Effects = [self.store.put(record, now)]
        self._seeking.end(record.key)
        self._watch(now)
        if record.home == self.me:
            out += self._spread(record, now)
        elif node == record.home:
            record.owed = node
        return [*out, Yielded(record.key)]

    # ------------------------------------------------------------ what they answer

    def kept(self, said: Kept, now: int) -> Effects:
        """Another node says which version of a record it has."""
        self._partners.heard(said.node, now)
        out = self._found(self._seeking.answered(said), now)
        record = self.store.records.get(said.key)
        if record is None or said.node != record.other(self.me):
            return out
        if record.erased:
            return out + self._bury(record) + self._next(said.node, now) if not said.home else out
        if said.safe and self._superseded(said, record):
            return out + self._give_up(record)
        return out + (self._guardian_has if record.home == self.me else self._home_has)(record, said, now)

    def _superseded(self, said: Kept, record: Record) -> bool:
        return version(said) > record.version and self.me not in (said.home, said.guardian)

    def _guardian_has(self, record: Record, said: Kept, now: int) -> Effects:
        if said.home and version(said) == record.version:
            return self._acknowledged(record, now) if said.safe else []
        if record.kept:  # it had it, and lost it
            return self._spread(record, now)
        if not said.refuses:
            return []
        self._passed_over[said.node] = now + PASS_OVER
        return [*self._spread(record, now), *self._next(said.node, now)]

    def _home_has(self, record: Record, said: Kept, now: int) -> Effects:
        if not said.home:
            return self.seek(record.key, now)
        if version(said) < record.version:
            return [*self._tell(said.node, record.replica(now, safe=True))]
        return []

    def _acknowledged(self, record: Record, now: int) -> Effects:
        self._stop_sending(record)
        record.kept, record.settling = True, False
        return [*self._check(record), *self._next(record.guardian, now)]

    # ------------------------------------------------------------ searches

    def _found(self, effects: Iterable[Send | Sought], now: int) -> Effects:
        out: Effects = []
        for effect in effects:
            if isinstance(effect, Sought):
                out += self._decide(effect, now)
            out.append(effect)
        return out

    def _decide(self, sought: Sought, now: int) -> Effects:
        """What a search says about the copy that is here: it may be the latest, and nobody else may act on it."""
        record, best = self.get(sought.key), sought.best
        if record is None:
            return []
        if best is not None and version(best) > record.version:
            if best.safe and self._superseded(best, record):
                return self._give_up(record)
            if record.settling:  # what is newer does not count yet
                self._timers.set(("recover", ""), now + RECOVER_WITHIN)
            return []
        settling, record.settling = record.settling, False
        if record.home == self.me:
            return self._spread(record, now) if settling else []
        if best is not None and best.node == record.home:
            return []
        return self._take_over(record, now)

    def _take_over(self, record: Record, now: int) -> Effects:
        note = Note("takeover", f"{record.key[:80]}: {record.home} is lost, and this node takes its place")
        record.home, record.guardian = self.me, next(iter(self.others(record.key, now)), "")
        record.epoch += 1
        record.safe = True
        return [note, *self._renew(record, now)]

    # ------------------------------------------------------------ who comes and goes

    def node_gone(self, node: str, now: int) -> Effects:
        """A node is lost, or was started anew: what it was home of is looked for, what it guarded is copied again."""
        out = self._found(self._seeking.node_gone(node), now)
        for record in list(self.store.records.values()):
            if record.home == node:
                out += self.seek(record.key, now)
            elif record.home == self.me and record.guardian == node and not record.settling:
                out += self._spread(record, now)
        return out

    def _silent(self, node: str, now: int) -> Effects:
        self._passed_over[node] = now + PASS_OVER
        note = Note("silent", f"{node} keeps records with this node, and does not answer")
        return [note, *self.node_gone(node, now)]

    def node_came(self, node: str, now: int) -> Effects:
        """A node is there (again): what is shared with it is settled, and it may guard what nobody guards."""
        out: Effects = []
        for record in list(self.store.records.values()):
            awaited = record.guardian == node if record.settling or record.erased else not record.guardian
            if record.home == self.me and awaited:
                out += self._spread(record, now)
            elif record.home == node and record.settling:
                out += self._tell(node, self._question(record.key))
        return out

    def link_up(self, now: int) -> None:
        """A link is up: the others can be heard from now on."""
        if any(record.settling for record in self.store.records.values()):
            self._timers.set(("recover", ""), now + RECOVER_WITHIN)

    # ------------------------------------------------------------ time

    def tick(self, now: int) -> Effects:
        """Do what is due: copies are sent again, records are audited, their time ends."""
        out = self._found(self._seeking.tick(now), now)
        for record in self.store.expired(now):
            out += self._give_up(record)
        for what, key in self._timers.pop_due(now):
            if what == "send":
                due = self.store.records.get(key)  # what was due before it may have ended it
                out += self._send_again(due, now) if due is not None else []
            elif what == "audit":
                out += self._audit(now)
            elif what == "wipe":
                out += self.store.wipe_again()
            else:
                out += self._look_after(what, now)
        return out

    def _send_again(self, record: Record, now: int) -> Effects:
        guardian = record.guardian
        quiet = now - max(record.asked_at, self._partners.heard_at(guardian))
        if quiet >= GUARDIAN_WITHIN + len(record.data) // BYTES_PER_MS and self._directory.links:
            return self._silent(guardian, now)
        record.interval = min(LAST_AGAIN, 2 * record.interval)
        return self._send(record, now)

    def _look_after(self, what: str, now: int) -> Effects:
        """Records that nobody guards, or that were not heard of since the start."""
        out: Effects = []
        for record in list(self.store.records.values()):
            if what == "recover" and record.settling:
                out += self.seek(record.key, now)
            elif what == "lonely" and record.home == self.me and not record.guardian and not record.settling:
                out += self._spread(record, now)
        return out

    def _audit(self, now: int) -> Effects:
        shared: dict[str, list[str]] = {}
        for record in self.store.records.values():
            if record.other(self.me) and (record.kept or record.home != self.me):
                shared.setdefault(record.other(self.me), []).append(record.key)
        self._partners.keep_only(shared)
        self._auditing = False
        self._watch(now)
        out: Effects = []
        for node, keys in shared.items():
            member = self._directory.members.get(node)
            if member is None or not member.present:
                continue  # that it is gone was said, or will be when the time to recover is over
            out += self._next(node, now)
            key = self._partners.question(node, keys)
            out += self._silent(node, now) if key is None else self._tell(node, self._question(key))
        return out
