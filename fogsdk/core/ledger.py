"""The ledger: whoever hands out a task keeps it here until its result is back.

It notices takers that die or fall silent, asks after tasks whose answer may have been lost, and tells its owner which
tasks need a new taker. Where a task goes is the owner's decision. Messages travel at QoS 0: the asking again that is
done here is what makes them certain.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterable
from dataclasses import replace
from functools import lru_cache

from fogsdk.core.commands import Advanced, Send, Settled
from fogsdk.core.entry import FIRST_CHECK, Entry, Orphaned, answering
from fogsdk.core.events import Moving
from fogsdk.core.hedging import Hedging, Straggling
from fogsdk.core.lessons import Lessons
from fogsdk.core.membership import Directory
from fogsdk.core.routing import BEHIND_AGAIN, final, lacking
from fogsdk.core.takers import PROBE_EVERY, Takers
from fogsdk.core.timers import Line, Timers, earliest
from fogsdk.core.waiting import WAIT_AGAIN, Waiting
from fogsdk.wire import topics
from fogsdk.wire.limits import BODY_SIZE, HOPS
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
MOST_ENDED = 4096
"""Ended tasks that are remembered, so that one who still works on them can be told to stop."""

ONE_NODES_VIEW = ("unknown-task", "no-cloud", "no-journal", "no-room")
"""Refusals that another node, which knows more of the site or is larger, may not share."""
NEVER = 2**62
"""When a task is to go to a node again that has not the memory for it."""

_ELSEWHERE = ("overloaded", "leaving")
Effect = Send | Settled | Advanced | Orphaned | Straggling


class Ledger:
    """All tasks that one core handed out and that are not settled. ``me`` is the sender's id on the wire; of arguments
    over ``inline`` bytes it hears as they travel (:class:`Moving`)."""

    def __init__(self, site: str, me: str, directory: Directory) -> None:
        self.entries: dict[str, Entry] = {}
        self.hedging = Hedging()
        self.lessons = Lessons(directory, self.hedging)
        self.inline = BODY_SIZE
        self._relinked_at = 0
        self.topic: Callable[[str], str] = lru_cache(maxsize=256)(lambda node: topics.task(site, node, me))
        self._directory = directory
        self._takers = Takers(directory)
        self._waiting = Waiting()
        self._ended: OrderedDict[str, None] = OrderedDict()
        self._first: Line[str] = Line()  # first checks, of most tasks the only ones
        self._due: Timers[str] = Timers()
        self._expiries: Timers[str] = Timers()

    def deadline(self) -> int | None:
        """When ``tick`` has something to do."""
        if not self.entries:
            return None
        later = earliest(self._due.next(), self._takers.deadline(), self._expiries.next(), self.hedging.deadline())
        return earliest(self._first.next(), later)

    # ------------------------------------------------------------ handing out

    def add(self, task: Task, now: int, to: str = "") -> Entry:
        """Take charge of a task that has no taker yet, and may go ``to`` one node only, if it names one."""
        entry = Entry(task, now, None, to)
        self.entries[task.id], self._first[task.id] = entry, now + FIRST_CHECK
        self.hedging.earn()
        if task.deadline is not None:
            entry.expires = now + task.deadline
            self._expiries.set(task.id, entry.expires)
        return entry

    def assign(self, id: str, node: str, now: int, cost: float = 0.0) -> list[Send]:
        """Hand a task to a node that will need about ``cost`` milliseconds for it. With no link to it, it waits."""
        entry = self.entries[id]
        if id not in self._first or entry.taker is not None:  # else it was just handed in
            self._release(entry, id)
            self._rest(entry, id)
            entry.way = None
        member = self._directory.members.get(node)
        if member is None or not member.links:
            return self.wait(id, now)
        at_once = min(len(entry.task.body), self.inline)
        check_at = FIRST_CHECK + self._takers.leaves(at_once, member.links[0], now)
        if check_at == now + FIRST_CHECK:
            self._first[id] = check_at
        else:
            entry.way = member.links[0], self._takers.out(member.links[0])
            self._look_at(id, check_at)
        entry.taker, entry.link, entry.held = node, member.links[0], False
        entry.sent_at, entry.interval, entry.cost = now, check_at - now, cost
        if entry.former:
            entry.former.pop(node, None)
        self._takers.take(node, id, now)
        member.outstanding_ms += cost
        member.handed += 1
        if entry.second_at is None and not entry.to:
            entry.late = self.hedging.handed_out(entry.task, now)
        task = entry.task if entry.expires is None else self._outgoing(entry, now)
        return [Send(entry.link, self.topic(node), task)]

    def hedge(self, id: str, node: str, now: int) -> list[Effect]:
        """Give a task that is late to a second node too. Whichever answers first, the other is told to stop; if the
        second refuses, the first is waited for as before."""
        entry = self.entries[id]
        member = self._directory.members.get(node)
        if entry.taker in (None, node) or member is None or member.link is None:
            return []
        why = self.hedging.spend(entry.task, now - entry.sent_at)
        entry.second, entry.second_at = node, now
        entry.former.pop(node, None)
        entry.lost = (*entry.lost, Hop(entry.taker, "hedged", why, entry.task.part))[-8:]
        task = self._outgoing(entry, now)
        task = replace(task, via=(*task.via, entry.taker)[-HOPS:])  # lest it goes to the first one from there
        return [Send(member.link, self.topic(node), task)]

    def wait(self, id: str, now: int, until: int | None = None) -> list[Send]:
        """Keep a task without a taker; it comes back as :class:`Orphaned` at ``until``."""
        entry = self.entries[id]
        self._release(entry, id)
        self._rest(entry, id)
        again = self._waiting.add(id, bool(entry.to) or entry.key is not None, now)
        self._due.set(id, again if until is None else until)
        return []

    def take_back(self, id: str, cancel: bool = True) -> list[Send]:
        """End the ledger's charge of a task: its owner wants it no longer, or does it itself."""
        entry = self.entries.get(id)
        if entry is None:
            return []
        out = [send for node in entry.holders() for send in self.cancel(node, id)] if cancel else []
        self._end(entry, id)
        return out

    def _end(self, entry: Entry, id: str) -> None:
        """Forget a task. It is in ``entries`` until it is nowhere else: whoever is interrupted here, as the thread that
        submits may be, leaves nothing behind that nobody would come across again."""
        self._release(entry, id)
        self._rest(entry, id)
        if entry.expires is not None:
            self._expiries.drop(id)
        del self.entries[id]
        if not self.entries:
            self._takers.rest()
        self._ended[id] = None
        if len(self._ended) > MOST_ENDED:
            self._ended.popitem(last=False)

    def _release(self, entry: Entry, id: str) -> None:
        node = entry.taker
        if node is None:
            return
        self._takers.release(node, id)
        entry.taker = None
        member = self._directory.members.get(node)
        if member is None:
            return
        member.handed -= 1
        if entry.sent_at >= member.wait_at:  # else its own word counts the task already
            member.outstanding_ms = max(0.0, member.outstanding_ms - entry.cost)

    def _rest(self, entry: Entry, id: str) -> None:
        """Nothing is due about a task, until it has a taker or waits for one."""
        if entry.late is not None:
            entry.late.pop(id, None)
        if self._first.pop(id, None) is None:
            self._due.drop(id)
            self._waiting.drop(id)

    def _look_at(self, id: str, at: int) -> None:
        """See to a task at a time other than what is usual."""
        self._due.set(id, at)
        self._first.pop(id, None)

    def _outgoing(self, entry: Entry, now: int) -> Task:
        return replace(entry.task, deadline=None if entry.expires is None else max(0, entry.expires - now))

    def cancel(self, node: str, id: str) -> list[Send]:
        """Tell a node that what it has of a task is not wanted."""
        member = self._directory.members.get(node)
        return [] if member is None or member.link is None else [Send(member.link, self.topic(node), Cancel(id))]

    # ------------------------------------------------------------ what comes back

    def hear(self, reply: Reply, now: int) -> list[Effect]:
        """Take in a reply. One about a task that is not in the ledger is answered with a cancel where it says that
        somebody still works for nobody."""
        entry = self.entries.get(reply.id)
        node = answering(reply) or (entry.taker if entry is not None else None)
        if node is not None:
            self._takers.heard(node, now)
        if entry is None:
            stray = isinstance(reply, Accepted) and reply.id in self._ended
            return [*self.cancel(node, reply.id)] if stray and node else []
        if entry.way is not None and node == entry.taker:
            self._takers.arrived(*entry.way, now)
        match reply:
            case Accepted() | Progress():
                return self._keeps(entry, reply)
            case Refused():
                return self._refused(entry, reply, now)
            case Cancelled():  # of an earlier life of the same id: this one never arrived
                return self._send_again(reply.id, entry, now)
            case Result() if reply.hops:
                self.lessons.hear(entry, reply, now, timely=len(reply.body) <= self.inline)
        return [*self._settle(entry, reply, node), *self._freed(node)]

    def _freed(self, node: str | None) -> list[Orphaned]:
        """A node is done with a task: it has room for one of those that wait, or more."""
        member = self._directory.members.get(node or "")
        return [] if member is None or member.room is None else self._wake(member.freed())

    def _wake(self, count: int) -> list[Orphaned]:
        return [self.entries[id].without_taker() for id in self._waiting.first(count)]

    def moving(self, event: Moving, now: int) -> list[Effect]:
        """A large task gets on, or its result does: its node lives, and need not be asked."""
        self._takers.heard(event.node, now)
        entry = self.entries.get(event.id)
        if entry is None or entry.taker != event.node:
            return []
        entry.asked_at, entry.interval = now, FIRST_CHECK
        self._rest(entry, event.id)
        self._due.set(event.id, now + FIRST_CHECK)
        if event.up:
            self._takers.under_way(event.size, event.took, entry.link, now)
            entry.sent_at = now  # what is learned of the node is to be about the node
        if event.done and entry.second_at is None and not entry.to:
            entry.late = self.hedging.handed_out(entry.task, now)
        return []

    def _keeps(self, entry: Entry, reply: Accepted | Progress) -> list[Effect]:
        if isinstance(reply, Progress):
            return [Advanced(reply.id, reply.fraction)]
        if entry.taker == reply.node and not entry.held:
            entry.held = True
            return [*self._wake(self._directory.accepted(reply.node))]
        return []

    def _settle(self, entry: Entry, outcome: Result | Failed | Expired | Refused, by: str | None) -> list[Effect]:
        id = entry.task.id
        out: list[Effect] = []
        if entry.second is not None or entry.former or entry.taker != by:
            for node in entry.holders():
                if node != by:
                    out += self.cancel(node, id)
        self._end(entry, id)
        if entry.lost and not isinstance(outcome, Refused):
            outcome = replace(outcome, hops=(*outcome.hops, *entry.lost))
        out.append(Settled(id, outcome))
        return out

    def _refused(self, entry: Entry, reply: Refused, now: int) -> list[Effect]:
        id = reply.id
        if reply.node != entry.taker:
            entry.dropped_by(reply)
            return []
        if reply.reason == "unknown-id":
            return self._send_again(id, entry, now)
        entry.refusal = reply
        if reply.reason in _ELSEWHERE:
            until = now + min(reply.retry_after or WAIT_AGAIN, LAST_CHECK)
            if reply.reason == "overloaded" and entry.expires is None:  # else perhaps only its deadline was too near
                self._directory.full(reply.node, self._takers.count(reply.node), entry.task.priority, until, now)
            entry.avoid[reply.node] = until
        elif reply.reason in ONE_NODES_VIEW:
            entry.avoid[reply.node] = NEVER if reply.reason == "no-room" else now + LAST_CHECK
        elif reply.reason == "elsewhere":
            entry.instead, entry.avoid[reply.node] = reply.instead, now + WAIT_AGAIN
        elif reply.reason == "behind" and not lacking(entry, now):
            entry.avoid[reply.node] = now + BEHIND_AGAIN
        else:
            reply = final(entry, reply)
            return [*self._settle(entry, reply, reply.node), *self._freed(reply.node)]
        return self._orphan(id, entry, reply.reason)

    def has_room(self, node: str, priority: int = 0) -> bool:
        """Whether a node can take one more of this ledger's tasks, of a priority, as far as it said."""
        member = self._directory.members[node]
        return member.room is None or self._takers.count(node) < member.room or priority > member.full_priority

    def _send_again(self, id: str, entry: Entry, now: int) -> list[Effect]:
        lately = now - entry.sent_at < PROBE_EVERY and entry.sent_at >= self._relinked_at
        if entry.taker is None or lately:
            return []  # no faster than that, whatever a node says, on links that stood all the while
        return [*self.assign(id, entry.taker, now, entry.cost)]

    def _orphan(self, id: str, entry: Entry, why: str) -> list[Effect]:
        node = entry.taker
        self._release(entry, id)
        self._rest(entry, id)
        return [] if self._taken_over(id, entry) else [Orphaned(id, node, why)]

    def _taken_over(self, id: str, entry: Entry) -> bool:
        """Whether a second node has the task too: then it is the taker now, and is asked whether it really has it."""
        node, at = entry.second, entry.second_at or 0
        entry.second = None
        member = self._directory.members.get(node or "")
        if node is None or member is None or not member.present or member.silences:
            return False
        entry.taker, entry.link, entry.held = node, member.link or "", False
        entry.sent_at, entry.interval, entry.cost, entry.way = at, FIRST_CHECK, 0.0, None
        member.handed += 1
        self._takers.take(node, id, at)
        self._due.set(id, at + FIRST_CHECK)
        return True

    # ------------------------------------------------------------ what goes wrong

    def node_gone(self, node: str, why: str) -> list[Effect]:
        """A node is gone or was started anew: what it held needs another taker."""
        lost = self._known(self._takers.holding(node))
        return [effect for id, entry in lost for effect in self._lose(id, entry, why)]

    def _lose(self, id: str, entry: Entry, why: str) -> list[Effect]:
        if entry.taker is not None:
            entry.lost = (*entry.lost, Hop(entry.taker, "lost", why, entry.task.part))[-8:]
            entry.former[entry.taker] = entry.sent_at  # it may live
        return self._orphan(id, entry, why)

    def recheck(self, now: int) -> None:
        """A link came or went, and with it what was on its way: ask after everything now."""
        self._relinked_at = now
        self._waiting.all_look()
        for id, entry in self.entries.items():
            self._look_at(id, now)
            entry.interval, entry.asked_at = FIRST_CHECK, now - PROBE_EVERY
        self._takers.recheck(now)

    def node_came(self, node: str, now: int) -> None:
        """A node is there (again): what it holds is asked after, and whatever waits for a node waits no longer."""
        self._takers.heard(node, now)
        self._waiting.all_look()
        for id, entry in self.entries.items():
            if entry.taker is None or entry.taker == node:
                self._look_at(id, now)
                entry.asked_at = now - PROBE_EVERY

    def tick(self, now: int) -> list[Effect]:
        """Do what is due: deadlines first, then silent takers, then questions."""
        effects: list[Effect] = []
        for id, entry in self._known(self._expiries.pop_due(now)):
            expired = entry.expired()
            effects += [*self.take_back(id), Settled(id, expired)]
        while due := self._takers.due(now):  # a second taker of what a silent one has is to be asked at once
            for node, silent in due:
                effects += self._silent(node, now) if silent else self._ask_oldest(node, now)
        for id, entry in self._known([*self._first.pop_due(now), *self._due.pop_due(now)]):
            effects += self._check(id, entry, now)
        late = self._known(self.hedging.late(now))
        return effects + [Straggling(id, entry.taker) for id, entry in late if entry.taker is not None]

    def _known(self, ids: Iterable[str]) -> list[tuple[str, Entry]]:
        """Those of some tasks that are in the ledger."""
        return [(id, entry) for id in ids if (entry := self.entries.get(id)) is not None]

    def _silent(self, node: str, now: int) -> list[Effect]:
        self._directory.suspect(node, now)
        return self.node_gone(node, "silent")

    def _check(self, id: str, entry: Entry, now: int) -> list[Effect]:
        if entry.taker is None:
            return [entry.without_taker()]
        entry.interval = min(LAST_CHECK, entry.interval * 2)
        self._due.set(id, now + entry.interval)
        return [] if now - entry.asked_at < PROBE_EVERY else self._ask(id, entry, now)

    def _ask_oldest(self, node: str, now: int) -> list[Effect]:
        oldest = self._takers.holding(node)[:1]
        return [effect for id, entry in self._known(oldest) for effect in self._ask(id, entry, now)]

    def _ask(self, id: str, entry: Entry, now: int) -> list[Effect]:
        member = self._directory.members.get(entry.taker or "")
        if member is None or member.link is None:
            return []
        entry.link, entry.asked_at = member.link, now
        return [Send(entry.link, self.topic(member.node), Ask(id))]
