"""The ledger: whoever hands out a task keeps it here until its result is back.

It notices takers that die or fall silent, asks after tasks whose answer may have been lost, and tells its owner which
tasks need a new taker. Where a task goes is the owner's decision. Messages travel at QoS 0: the asking again that is
done here is what makes them certain.

An entry is *waiting* (no taker), *sent* (its taker has not answered yet) or *held* (its taker said that it has it).
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import replace
from itertools import islice

from fogsdk.core.commands import Advanced, Send, Settled
from fogsdk.core.entry import FIRST_CHECK, Entry, Orphaned, Taker
from fogsdk.core.membership import Directory
from fogsdk.core.timers import Timers
from fogsdk.wire import topics
from fogsdk.wire.messages import (
    Accepted,
    Ask,
    Cancel,
    Cancelled,
    Expired,
    Failed,
    Hop,
    Progress,
    Refused,
    Reply,
    Result,
    Task,
)

LAST_CHECK = 5000
"""Milliseconds between questions about one task at the most: each doubles the time to the next."""
BYTES_PER_MS = 1000
"""The slowest link that is not taken for a silent one: a large task gets more time before the first question."""
PROBE_EVERY = 250
"""Milliseconds without a word from a taker until it is asked about one of its tasks, whichever is oldest."""
SLOW_LINK_WITHIN = 5000
"""Milliseconds after large tasks left in which a silence is put down to the link too, which then counts as slower."""
SILENT_AFTER = 1000
"""Milliseconds of unanswered questions after which a taker counts as silent, and its tasks go elsewhere."""
WAIT_AGAIN = 500
"""Milliseconds until a taker is looked for again when there was none."""

MOST_ENDED = 4096
"""Ended tasks that are remembered, so that one who still works on them can be told to stop."""

ONE_NODES_VIEW = ("unknown-task", "no-cloud")
"""Refusals that another node, which knows more of the site, may not share."""

_ELSEWHERE = ("overloaded", "leaving")


Effect = Send | Settled | Advanced | Orphaned


class Ledger:
    """All tasks that one core handed out and that are not settled. ``me`` is the sender's id on the wire."""

    def __init__(self, site: str, me: str, directory: Directory) -> None:
        self.entries: dict[str, Entry] = {}
        self._site = site
        self._me = me
        self._directory = directory
        self._takers: dict[str, Taker] = {}
        self._waiting: dict[str, None] = {}
        self._out_by = 0
        self._slowness = 1
        self._ended: OrderedDict[str, None] = OrderedDict()
        self._due: Timers[str] = Timers()
        self._probes: Timers[str] = Timers()
        self._expiries: Timers[str] = Timers()

    def deadline(self) -> int | None:
        """When ``tick`` has something to do."""
        times = (self._due.next(), self._probes.next(), self._expiries.next())
        return min((at for at in times if at is not None), default=None)

    # ------------------------------------------------------------ handing out

    def add(self, task: Task, now: int) -> Entry:
        """Take charge of a task that has no taker yet."""
        expires = None if task.deadline is None else now + task.deadline
        entry = self.entries[task.id] = Entry(task, now, expires)
        if expires is not None:
            self._expiries.set(task.id, expires)
        return entry

    def assign(self, id: str, node: str, now: int, cost: float = 0.0) -> list[Effect]:
        """Hand a task to a node that will need about ``cost`` milliseconds for it. With no link to it, it waits."""
        entry = self.entries[id]
        self._release(entry, id)
        member = self._directory.members.get(node)
        if member is None or member.link is None:
            return self.wait(id, now)
        self._waiting.pop(id, None)
        entry.taker, entry.link, entry.held = node, member.link, False
        self._out_by = max(self._out_by, now) + len(entry.task.body) * self._slowness // BYTES_PER_MS
        entry.sent_at, entry.interval = now, FIRST_CHECK + self._out_by - now
        entry.former.pop(node, None)
        entry.cost = cost
        member.outstanding_ms += cost
        taker = self._takers.setdefault(node, Taker())
        if not taker.ids:
            taker.heard, taker.owing_since = now, None
            self._probes.set(node, now + max(PROBE_EVERY, entry.interval))
        taker.ids[id] = None
        self._due.set(id, now + entry.interval)
        return [self._to_node(entry, node, self._outgoing(entry, now))]

    def wait(self, id: str, now: int, until: int | None = None) -> list[Effect]:
        """Keep a task without a taker; it comes back as :class:`Orphaned` at ``until``."""
        entry = self.entries[id]
        self._release(entry, id)
        self._waiting[id] = None
        self._due.set(id, now + max(WAIT_AGAIN, 2 * len(self._waiting)) if until is None else until)
        return []

    def take_back(self, id: str, cancel: bool = True) -> list[Send]:
        """End the ledger's charge of a task: its owner wants it no longer, or does it itself."""
        entry = self.entries.pop(id, None)
        if entry is None:
            return []
        if not self.entries:
            self._slowness = 1
        self._ended[id] = None
        if len(self._ended) > MOST_ENDED:
            self._ended.popitem(last=False)
        holders = ([entry.taker] if entry.taker else []) + list(entry.former)
        self._release(entry, id)
        self._waiting.pop(id, None)
        self._due.drop(id)
        self._expiries.drop(id)
        return [send for node in holders for send in self._cancel(node, id)] if cancel else []

    def _release(self, entry: Entry, id: str) -> None:
        if entry.taker is not None:
            taker = self._takers[entry.taker]
            taker.ids.pop(id, None)
            if not taker.ids:
                del self._takers[entry.taker]
                self._probes.drop(entry.taker)
            member = self._directory.members.get(entry.taker)
            if member is not None and entry.sent_at >= member.wait_at:  # else its own word counts the task already
                member.outstanding_ms = max(0.0, member.outstanding_ms - entry.cost)
        entry.taker = None

    def _outgoing(self, entry: Entry, now: int) -> Task:
        if entry.expires is None:
            return entry.task
        return replace(entry.task, deadline=max(0, entry.expires - now))

    def _to_node(self, entry: Entry, node: str, message: Task | Ask) -> Send:
        return Send(entry.link, topics.task(self._site, node, self._me), message)

    def _cancel(self, node: str, id: str) -> list[Send]:
        member = self._directory.members.get(node)
        if member is None or member.link is None:
            return []
        return [Send(member.link, topics.task(self._site, node, self._me), Cancel(id))]

    # ------------------------------------------------------------ what comes back

    def hear(self, reply: Reply, now: int) -> list[Effect]:
        """Take in a reply. One about a task that is not in the ledger is answered with a cancel where it says that
        somebody still works for nobody."""
        entry = self.entries.get(reply.id)
        node = _answering(reply)
        if node is None and entry is not None:
            node = entry.taker
        if node is not None:
            self._heard(node, now)
        if entry is None:
            stray = isinstance(reply, Accepted) and node is not None and reply.id in self._ended
            return [*self._cancel(node, reply.id)] if stray and node else []
        if isinstance(reply, (Accepted, Progress)):
            return self._keeps(entry, reply)
        if isinstance(reply, Refused):
            return self._refused(entry, reply, now)
        if isinstance(reply, Cancelled):  # of an earlier life of the same id: this one never arrived
            return self._send_again(reply.id, entry, now)
        self._learn(entry, reply, now)
        if entry.taker is not None:
            self._freed(entry.taker, now)
        return self._settle(entry, reply)

    def _heard(self, node: str, now: int) -> None:
        taker = self._takers.get(node)
        if taker is not None:
            taker.heard, taker.owing_since = now, None

    def _keeps(self, entry: Entry, reply: Accepted | Progress) -> list[Effect]:
        if isinstance(reply, Progress):
            return [Advanced(reply.id, reply.fraction)]
        if entry.taker == reply.node and not entry.held:
            entry.held = True
        return []

    def _learn(self, entry: Entry, outcome: Result | Failed | Expired, now: int) -> None:
        hop = outcome.hops[0] if outcome.hops else None
        if hop is None or hop.node != entry.taker or not isinstance(outcome, Result):
            return
        self._directory.answered(hop.node, now, outcome.wait)
        if not entry.held:  # an answer that had to be asked for says nothing about the way
            self._directory.travelled(hop.node, now - entry.sent_at - hop.took)
        if hop.action == "ran" and hop.part is None:
            self._directory.members[hop.node].costs.learn(entry.task.name, hop.ran)

    def _settle(self, entry: Entry, outcome: Result | Failed | Expired) -> list[Effect]:
        by = outcome.hops[0].node if outcome.hops else entry.taker
        others = [node for node in [entry.taker, *entry.former] if node is not None and node != by]
        id = entry.task.id
        cancels = [send for node in others for send in self._cancel(node, id)]
        self.take_back(id, cancel=False)
        settled = replace(outcome, hops=(*outcome.hops, *entry.lost)) if entry.lost else outcome
        return [*cancels, Settled(id, settled)]

    def _refused(self, entry: Entry, reply: Refused, now: int) -> list[Effect]:
        id = reply.id
        if reply.node != entry.taker:
            entry.former.pop(reply.node, None)
            return []
        if reply.reason == "unknown-id":
            return self._send_again(id, entry, now)
        entry.refusal = reply
        if reply.reason in _ELSEWHERE:
            if reply.reason == "overloaded":
                self._full(reply, now)
            entry.avoid[reply.node] = now + min(reply.retry_after or WAIT_AGAIN, LAST_CHECK)
        elif reply.reason in ONE_NODES_VIEW:
            entry.avoid[reply.node] = now + LAST_CHECK
        else:
            self.take_back(id, cancel=False)
            return [Settled(id, reply)]
        return self._orphan(id, entry, reply.reason)

    def _full(self, reply: Refused, now: int) -> None:
        """A node has no room for more than it holds: without this each task would find that out for itself, again
        and again. Room for one more opens with each result that comes from there."""
        member = self._directory.members.get(reply.node)
        if member is not None:
            member.full_until = now + min(reply.retry_after or WAIT_AGAIN, LAST_CHECK)
            member.room = max(1, len(self._takers[reply.node].ids) - 1)

    def has_room(self, node: str) -> bool:
        """Whether a node can take one more of this ledger's tasks, as far as it said."""
        room, taker = self._directory.members[node].room, self._takers.get(node)
        return room is None or taker is None or len(taker.ids) < room

    def _freed(self, node: str, now: int) -> None:
        member = self._directory.members.get(node)
        if member is None or member.room is None:
            return
        member.room, member.full_until = member.room + 1, 0
        for id in islice(self._waiting, 2):
            self._due.set(id, now)

    def _send_again(self, id: str, entry: Entry, now: int) -> list[Effect]:
        if entry.taker is None or now - entry.sent_at < PROBE_EVERY:
            return []  # no faster than that, whatever a node says
        return self.assign(id, entry.taker, now, entry.cost)

    def _orphan(self, id: str, entry: Entry, why: str) -> list[Effect]:
        node = entry.taker
        self._release(entry, id)
        self._due.drop(id)
        return [Orphaned(id, node, why)]

    # ------------------------------------------------------------ what goes wrong

    def node_gone(self, node: str, why: str) -> list[Effect]:
        """A node is gone or was started anew: what it held needs another taker."""
        taker = self._takers.get(node)
        return [effect for id in list(taker.ids) for effect in self._lose(id, why, may_live=True)] if taker else []

    def _lose(self, id: str, why: str, may_live: bool = False) -> list[Effect]:
        entry = self.entries[id]
        if entry.taker is not None:
            entry.lost = (*entry.lost, Hop(entry.taker, "lost", why, entry.task.part))[-8:]
            if may_live:
                entry.former[entry.taker] = None
        return self._orphan(id, entry, why)

    def recheck(self, now: int) -> None:
        """A link came or went, and with it what was on its way: ask after everything now."""
        for id, entry in self.entries.items():
            self._due.set(id, now)
            entry.interval = FIRST_CHECK
        for node, taker in self._takers.items():
            taker.heard, taker.owing_since = now, None
            self._probes.set(node, now + PROBE_EVERY)

    def node_came(self, node: str, now: int) -> None:
        """A node is there (again): what it holds is asked after, and whatever waits for a node waits no longer."""
        self._heard(node, now)
        for id, entry in self.entries.items():
            if entry.taker is None or entry.taker == node:
                self._due.set(id, now)

    def tick(self, now: int) -> list[Effect]:
        """Do what is due: deadlines first, then silent takers, then questions."""
        effects: list[Effect] = []
        for id in self._expiries.pop_due(now):
            effects += self._expire(id)
        for node in self._probes.pop_due(now):
            effects += self._probe(node, now)
        for id in self._due.pop_due(now):
            effects += self._check(id, now)
        return effects

    def _expire(self, id: str) -> list[Effect]:
        entry = self.entries[id]
        if entry.refusal is not None and entry.taker is None:
            message = (
                f"no result within the deadline; the last answer was {entry.refusal.reason}: {entry.refusal.message}"
            )
        elif entry.taker is None:
            message = "no result within the deadline; no node was there to take the task"
        else:
            state = "had accepted it" if entry.held else "had not answered"
            message = f"no result within the deadline; {entry.taker} {state}"
        hops = entry.lost
        return [*self.take_back(id), Settled(id, Expired(id, message, hops))]

    def _probe(self, node: str, now: int) -> list[Effect]:
        taker = self._takers[node]
        if not self._directory.links:
            return []  # recheck comes with the next link
        if now < self._out_by:  # what was handed out may still be on its way, and the question behind it
            taker.owing_since = None
            self._probes.set(node, self._out_by + PROBE_EVERY)
            return []
        if taker.owing_since is not None and now - taker.owing_since >= SILENT_AFTER - PROBE_EVERY:
            self._directory.suspect(node, now)
            if now - self._out_by < SLOW_LINK_WITHIN:
                self._slowness = min(64, 2 * self._slowness)
            return [effect for id in list(taker.ids) for effect in self._lose(id, "silent", may_live=True)]
        self._probes.set(node, now + PROBE_EVERY)
        if now - taker.heard < PROBE_EVERY:
            return []
        if taker.owing_since is None:
            taker.owing_since = now
        return self._ask(next(iter(taker.ids)))

    def _check(self, id: str, now: int) -> list[Effect]:
        entry = self.entries[id]
        if entry.taker is None:
            return [Orphaned(id, None, entry.refusal.reason if entry.refusal else "no node")]
        entry.interval = min(LAST_CHECK, entry.interval * 2)
        self._due.set(id, now + entry.interval)
        return self._ask(id)

    def _ask(self, id: str) -> list[Effect]:
        entry = self.entries[id]
        member = self._directory.members.get(entry.taker or "")
        if member is None or member.link is None:
            return []
        entry.link = member.link
        return [self._to_node(entry, member.node, Ask(id))]


def _answering(reply: Reply) -> str | None:
    if isinstance(reply, (Accepted, Refused)):
        return reply.node
    if isinstance(reply, (Result, Failed, Expired)) and reply.hops:
        return reply.hops[0].node
    return None
