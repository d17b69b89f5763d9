"""The client: hands its owner's tasks to the nodes of a site, and settles each of them exactly once."""

from __future__ import annotations

from math import inf

from fogsdk.core.commands import Command, Note, Send, Settled, Subscribe
from fogsdk.core.costs import GUESS_MS
from fogsdk.core.entry import Entry, Orphaned
from fogsdk.core.events import Event, LinkDown, LinkUp, Moving, NodeHeard, Replied, Submit, Tick, Withdraw
from fogsdk.core.hedging import Straggling, worthwhile
from fogsdk.core.ledger import NEVER, ONE_NODES_VIEW, Effect, Ledger
from fogsdk.core.membership import Directory, Member
from fogsdk.core.rendezvous import Ranking
from fogsdk.core.routing import Routes, key_of
from fogsdk.wire import topics
from fogsdk.wire.limits import INLINE_SIZE
from fogsdk.wire.messages import Birth, Failed, Kept, Refused, Result, Task

NEAREST = 8
"""Nodes among which a client chooses: the first in its own rendezvous order, so that clients spread."""
LONELY_AFTER = 3000
"""Milliseconds without any node after which the log says so."""


class Client:
    """The core of the SDK. ``me`` is its sender id, unique in its site; arguments of more than ``inline`` bytes travel
    in chunks."""

    def __init__(self, site: str, me: str, inline: int = INLINE_SIZE) -> None:
        self.inline = inline
        self.site = site
        self.me = me
        self.directory = Directory()
        self.ledger = Ledger(site, me, self.directory)
        self._costs = self.ledger.lessons.costs
        self._routes = Routes()
        self._reachable = Ranking(me)
        self._nearest: list[Member] = []
        self._unwritten: tuple[Result, int] | None = None  # what settled a lone task, and when: not in the ledger yet
        self._sent: tuple[Submit, int] | None = None  # what was submitted next, and when: nor is that
        self.open: dict[str, Task] = {}
        """What was submitted and waits for others to leave with it, by id."""

    def start(self) -> list[Command]:
        """What to do before the first event."""
        return [Subscribe(topics.birth(self.site)), Subscribe(topics.reply(self.site, self.me))]

    def deadline(self) -> int | None:
        """When to call ``handle(Tick())`` at the latest."""
        if self._unwritten is not None and not self.unsettled:
            return None
        self._write_down()
        return self.ledger.deadline()

    @property
    def unsettled(self) -> int:
        """How many tasks have no outcome yet, those that travel together being one."""
        return len(self.ledger.entries) - (self._unwritten is not None) + (self._sent is not None) + len(self.open)

    def is_lone(self, task: str) -> bool:
        """Whether this task, by its id, is the only one that has no outcome yet."""
        unwritten, sent = self._unwritten, self._sent
        if sent is not None:
            return self.unsettled == 1 and sent[0].task.id == task
        is_out = task in self.ledger.entries and (unwritten is None or unwritten[0].id != task)
        return is_out and self.unsettled == 1

    def handle(self, event: Event, now: int) -> list[Command]:
        """Take in one event and return what to do about it, in order. Where there is time afterwards, ``catch_up``
        learns from it."""
        match event:
            case Submit():
                return self._submit(event, now)
            case Replied():
                return self._replied(event, now)
        self._write_down()
        match event:
            case NodeHeard():
                return self._node_heard(event, now)
            case Moving():
                return self._effects(self.ledger.moving(event, now), now)
            case Withdraw():
                return [*self.ledger.take_back(event.id)]
            case LinkUp():
                self.directory.link_up(event.link, now)
                self.ledger.recheck(now)
                return []
            case LinkDown():
                self.directory.link_down(event.link)
                self._rank(*self.directory.members)
                self.ledger.recheck(now)
                return []
            case Tick():
                return self._effects(self.ledger.tick(now), now)
        raise TypeError(f"not an event of a client: {event!r}")

    def catch_up(self) -> None:
        """Do what nobody is to wait for: write down what came and went, and learn from the answers."""
        self._write_down()
        self.ledger.lessons.catch_up()

    def _write_down(self) -> None:
        """Tell the ledger what came and went without it, in the order in which it did."""
        if self._unwritten is not None:
            (result, at), self._unwritten = self._unwritten, None
            self.ledger.hear(result, at)
        if self._sent is not None:
            self._enter(*self._sent)  # which says what was said already
            self._sent = None  # not before: who is interrupted in there does it again

    def _submit(self, event: Submit, now: int) -> list[Command]:
        if self._unwritten is not None:
            send = self._only_way(event, now)
            if send is not None:
                self._sent = event, now
                return [send]
            self._write_down()
        return self._enter(event, now)

    def _only_way(self, event: Submit, now: int) -> Send | None:
        """What is to be sent for a task of which the ledger need not know before, right behind a result that it does
        not know of either: there is one node, and it takes one. None for all others."""
        task = event.task
        if self._sent is not None or event.to or len(self._nearest) != 1:
            return None
        [member] = self._nearest
        if member.role == "cloud" or not member.available(now, task.priority):
            return None
        if len(task.body) > self.inline or key_of(self.me, task) is not None:
            return None
        return Send(member.links[0], self.ledger.topic(member.node), task)

    def _enter(self, event: Submit, now: int) -> list[Command]:
        entry = self.ledger.add(event.task, now, event.to)
        entry.key = key_of(self.me, event.task)
        return self._place(entry, now)

    def adopt(self, task: Task, node: str, now: int) -> None:
        """A node has a task of this client that was not sent to it as such."""
        self._write_down()
        self.ledger.add(task, now)
        self.ledger.assign(task.id, node, now)

    def _replied(self, event: Replied, now: int) -> list[Command]:
        self._write_down()
        reply = event.message
        match reply:
            case Result() if self._is_as_expected(reply):
                self._unwritten = reply, now
                return [Settled(reply.id, reply)]
            case Result() | Failed():
                entry = self.ledger.entries.get(reply.id)
                if entry is not None and entry.key is not None:
                    self._routes.answered(entry.key, entry.taker)
            case Kept():
                return []
            case Refused() if not reply.id:
                return [Note("refused", f"{reply.node} could not read a message of ours: {reply.message}")]
        return self._effects(self.ledger.hear(reply, now), now)

    def _is_as_expected(self, result: Result) -> bool:
        """Whether a result settles a lone task, and nothing else is to be done about it: then it need not be written
        down before its owner has it."""
        entries = self.ledger.entries
        if len(entries) != 1 or result.id not in entries or not result.hops or len(result.body) > self.inline:
            return False
        entry = entries[result.id]
        if entry.key is not None or entry.lost or entry.former or entry.second is not None:
            return False
        return result.hops[0].node == entry.taker

    def _node_heard(self, event: NodeHeard, now: int) -> list[Command]:
        gone = self.directory.hear(event.link, event.node, event.message, now)
        self._rank(event.node)
        effects: list[Effect] = list(self.ledger.node_gone(event.node, "gone")) if gone else []
        if isinstance(event.message, Birth):
            self.ledger.node_came(event.node, now)
        return self._effects(effects, now)

    def _rank(self, *nodes: str) -> None:
        """Keep the order of those that can be reached."""
        for node in nodes:
            self._reachable.discard(node)
            member = self.directory.members.get(node)
            if member is not None and member.links:
                self._reachable.add(node)
        self._nearest = [self.directory.members[node] for node in self._reachable.first(NEAREST)]

    def _effects(self, effects: list[Effect], now: int) -> list[Command]:
        out: list[Command] = []
        for effect in effects:
            match effect:
                case Orphaned():
                    out += self._place(self.ledger.entries[effect.id], now)
                case Straggling():
                    out += self._hedge(effect, now)
                case _:
                    out.append(effect)
        return out

    # ------------------------------------------------------------ where to

    def _place(self, entry: Entry, now: int) -> list[Command]:
        id, member = entry.task.id, self._choose(entry, now)
        if member is not None:
            return [*self.ledger.assign(id, member.node, now, self._ran(member, entry.task) * entry.task.count)]
        refusal = entry.refusal
        if refusal is not None and refusal.reason in ONE_NODES_VIEW and not self._knows_better(entry, refusal):
            return [*self.ledger.take_back(id), Settled(id, refusal)]
        self.ledger.wait(id, now, min((at for at in entry.avoid.values() if now < at < NEVER), default=None))
        return self._lonely_note(entry, now)

    def _knows_better(self, entry: Entry, refusal: Refused) -> bool:
        """Whether there is a cloud after all: a node that was started while the bridge was away has not heard of it. Or
        a node with more memory, which takes nothing just now."""
        offering = [member for member in self.directory.members.values() if entry.task.name in member.tasks]
        if refusal.reason == "no-room":
            others = (m.node for m in offering if m.present and m.role != "cloud" and not entry.to)
            return any(entry.avoid.get(node, 0) < NEVER for node in others)
        return refusal.reason == "no-cloud" and any(member.role == "cloud" for member in offering)

    def _hedge(self, straggling: Straggling, now: int) -> list[Command]:
        """Give a task that is late to a second node, if one would be done within the time that the first one took."""
        entry = self.ledger.entries[straggling.id]
        if entry.key is not None:
            return []  # no second node may answer for what the first one keeps
        task = entry.task
        others = [member for member in self._able(self._nearest, entry, now) if member.node != straggling.node]
        pool = [member for member in others if task.name in member.tasks and worthwhile(task, member.tasks[task.name])]
        best = self._soonest(pool, task, now)
        if best is None or best.completion(task.name, self._common(best, task), now) > now - entry.sent_at:
            return []
        return self._effects(self.ledger.hedge(straggling.id, best.node, now), now)

    def _choose(self, entry: Entry, now: int) -> Member | None:
        if entry.key is not None:
            return self._routes.choose(entry.key, entry, self.directory.members, now)
        if entry.to:
            return self._only(entry, now)
        task, able = entry.task, self._able(self._nearest, entry, now)
        if not able:
            able = self._able(list(self.directory.members.values()), entry, now)
        pool = [member for member in able if task.name in member.tasks and member.birth.role != "cloud"]
        if not pool:
            pool = self._second_best(able, entry)
        return self._soonest(pool, task, now) if len(pool) > 1 else pool[0] if pool else None

    def _second_best(self, able: list[Member], entry: Entry) -> list[Member]:
        """Those to choose from where no node of the fog offers a task: the cloud, or nodes that may know who does."""
        offering = [member for member in able if entry.task.name in member.tasks]
        if entry.refusal is not None and entry.refusal.reason == "unknown-task":
            return offering  # a node that does not know the task has asked all it knows
        return offering or [member for member in able if member.role != "cloud"]

    def _only(self, entry: Entry, now: int) -> Member | None:
        """The one node that the task may go to, as soon as it is there; also if it takes nothing new, or was silent."""
        member = self.directory.members.get(entry.to)
        if member is None or not member.present or now < entry.avoid.get(entry.to, 0):
            return None
        return member

    def _able(self, members: list[Member], entry: Entry, now: int) -> list[Member]:
        priority, avoid = entry.task.priority, entry.avoid
        return [
            m
            for m in members
            if m.available(now, priority)
            and (not avoid or avoid.get(m.node, 0) <= now)
            and (m.room is None or self.ledger.has_room(m.node, priority))
        ]

    def _soonest(self, pool: list[Member], task: Task, now: int) -> Member | None:
        """The one where the task is likely to be done first."""
        if len(pool) < 2:
            return pool[0] if pool else None
        name, mean = task.name, self._costs.mean(task.name)
        best, least = pool[0], inf
        for member in pool:
            expected = member.completion(name, self._common(member, task) if mean is None else mean, now)
            if expected < least:
                best, least = member, expected
        return best

    def _ran(self, member: Member, task: Task) -> float:
        ran = member.learned.costs.mean(task.name) if member.learned else None
        return self._common(member, task) if ran is None else ran

    def _common(self, member: Member, task: Task) -> float:
        """How long the task runs as far as this is known, wherever it was."""
        mean = self._costs.mean(task.name)
        if mean is not None:
            return mean
        info = member.tasks.get(task.name)
        return GUESS_MS[task.weight or (info.weight if info else "auto")]

    def _lonely_note(self, entry: Entry, now: int) -> list[Command]:
        lonely = not any(member.present for member in self.directory.members.values())
        if not lonely or now - entry.submitted < LONELY_AFTER:
            return []
        missing, hint = f"no fog node is there on site {self.site!r}", "Is fognode running there? "
        if not self.directory.links:
            missing, hint = "no broker is connected", ""
        wait = "tasks wait for one until their deadline, if they have any"
        return [Note("lonely", f"{missing}: {wait}. {hint}`fog doctor` tells more")]
