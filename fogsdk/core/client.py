"""The client: hands its owner's tasks to the nodes of a site, and settles each of them exactly once."""

from __future__ import annotations

from fogsdk.core.commands import Command, Note, Settled, Subscribe
from fogsdk.core.costs import GUESS_MS, Costs
from fogsdk.core.entry import Entry, Orphaned
from fogsdk.core.events import Event, LinkDown, LinkUp, NodeHeard, Replied, Submit, Tick, Withdraw
from fogsdk.core.ledger import ONE_NODES_VIEW, Effect, Ledger
from fogsdk.core.membership import Directory, Member
from fogsdk.core.rendezvous import ranked
from fogsdk.wire import topics
from fogsdk.wire.messages import Birth, Refused, Result, Task

NEAREST = 8
"""Nodes among which a client chooses: the first in its own rendezvous order, so that clients spread."""
LONELY_AFTER = 3000
"""Milliseconds without any node after which the log says so."""


class Client:
    """The core of the SDK. ``me`` is its sender id, unique in its site."""

    def __init__(self, site: str, me: str) -> None:
        self.site = site
        self.me = me
        self.directory = Directory()
        self.ledger = Ledger(site, me, self.directory)
        self._costs = Costs()
        self._nearest: list[str] = []

    def start(self) -> list[Command]:
        """What to do before the first event."""
        return [Subscribe(topics.birth(self.site)), Subscribe(topics.reply(self.site, self.me))]

    def deadline(self) -> int | None:
        """When to call ``handle(Tick())`` at the latest."""
        return self.ledger.deadline()

    def handle(self, event: Event, now: int) -> list[Command]:
        """Take in one event and return what to do about it, in order."""
        match event:
            case Submit():
                return self._submit(event.task, now)
            case Replied():
                return self._replied(event, now)
            case NodeHeard():
                return self._node_heard(event, now)
            case Withdraw():
                return [*self.ledger.take_back(event.id)]
            case LinkUp():
                self.directory.link_up(event.link, now)
                self.ledger.recheck(now)
                return []
            case LinkDown():
                self.directory.link_down(event.link)
                self.ledger.recheck(now)
                return []
            case Tick():
                return self._effects(self.ledger.tick(now), now)
        raise TypeError(f"not an event of a client: {event!r}")

    def _submit(self, task: Task, now: int) -> list[Command]:
        self.ledger.add(task, now)
        return self._effects([Orphaned(task.id, None, "new")], now)

    def _replied(self, event: Replied, now: int) -> list[Command]:
        reply = event.message
        if isinstance(reply, Refused) and not reply.id:
            return [Note("refused", f"{reply.node} could not read a message of ours: {reply.message}")]
        if isinstance(reply, Result) and reply.hops and reply.id in self.ledger.entries:
            ran = sum(hop.ran for hop in reply.hops)
            self._costs.learn(self.ledger.entries[reply.id].task.name, ran)
        return self._effects(self.ledger.hear(reply, now), now)

    def _node_heard(self, event: NodeHeard, now: int) -> list[Command]:
        gone = self.directory.hear(event.link, event.node, event.message, now)
        self._nearest = ranked(self.me, (m.node for m in self.directory.members.values() if m.links))[:NEAREST]
        effects: list[Effect] = list(self.ledger.node_gone(event.node, "gone")) if gone else []
        if isinstance(event.message, Birth):
            self.ledger.node_came(event.node, now)
        return self._effects(effects, now)

    def _effects(self, effects: list[Effect], now: int) -> list[Command]:
        out: list[Command] = []
        for effect in effects:
            if isinstance(effect, Orphaned):
                out += self._place(effect, now)
            else:
                out.append(effect)
        return out

    # ------------------------------------------------------------ where to

    def _place(self, orphan: Orphaned, now: int) -> list[Command]:
        entry = self.ledger.entries[orphan.id]
        member = self._choose(entry, now)
        if member is not None:
            cost = self._ran(member, entry.task)
            return self._effects(self.ledger.assign(orphan.id, member.node, now, cost), now)
        refusal = entry.refusal
        if refusal is not None and refusal.reason in ONE_NODES_VIEW:
            return [*self.ledger.take_back(orphan.id), Settled(orphan.id, refusal)]
        until = min((at for at in entry.avoid.values() if at > now), default=None)
        out = self._effects(self.ledger.wait(orphan.id, now, until), now)
        return out + self._lonely_note(entry, now)

    def _choose(self, entry: Entry, now: int) -> Member | None:
        name = entry.task.name
        near = [self.directory.members[node] for node in self._nearest]
        able = self._able(near, entry, now) or self._able(list(self.directory.members.values()), entry, now)
        offering = [member for member in able if name in member.tasks]
        fogs = [member for member in offering if member.role != "cloud"]
        if entry.refusal is not None and entry.refusal.reason == "unknown-task":
            able = []  # a node that does not know the task has asked all it knows
        pool = fogs or offering or [member for member in able if member.role != "cloud"]
        return min(pool, key=lambda member: self._done(member, entry.task, now), default=None)

    def _able(self, members: list[Member], entry: Entry, now: int) -> list[Member]:
        return [
            m
            for m in members
            if m.available(now) and entry.avoid.get(m.node, 0) <= now and self.ledger.has_room(m.node)
        ]

    def _done(self, member: Member, task: Task, now: int) -> float:
        return member.queue(now) + self._ran(member, task) + member.travel()

    def _ran(self, member: Member, task: Task) -> float:
        learned = member.costs.mean(task.name) or self._costs.mean(task.name)
        if learned is not None:
            return learned
        info = member.tasks.get(task.name)
        return GUESS_MS[task.weight or (info.weight if info else "auto")]

    def _lonely_note(self, entry: Entry, now: int) -> list[Command]:
        lonely = not any(member.present for member in self.directory.members.values())
        if not lonely or now - entry.submitted < LONELY_AFTER:
            return []
        text = (
            f"no fog node is there on site {self.site!r}; tasks wait. Is fognode running there? `fog doctor` tells more"
        )
        return [Note("lonely", text)]
