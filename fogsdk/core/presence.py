"""How a node keeps itself known: its birth, its heartbeat, and whose heartbeats it listens to."""

from __future__ import annotations

from itertools import islice

from fogsdk.core.commands import Command, Note, Reconnect, Send, Subscribe, Unsubscribe
from fogsdk.core.events import Measured, NodeHeard
from fogsdk.core.identity import Identity
from fogsdk.core.membership import Directory
from fogsdk.core.rendezvous import Ranking
from fogsdk.core.runqueue import RunQueue
from fogsdk.wire import topics
from fogsdk.wire.messages import Beat, Birth, Gone

NEIGHBOURS = 3
"""Nodes whose heartbeats a node listens to, and nodes of a site that hear a task for any node."""
BEAT_EVERY = 250
"""Milliseconds between two heartbeats."""
BEAT_TTL = 1000
"""Milliseconds within which the next heartbeat must come."""
RENAME_EVERY = 1000
"""Milliseconds between two changes of incarnation: two nodes of one name must not drive each other on."""
MOST_CLOUDS = 8
LAST_INCARNATION = 2**53
"""No later one can be said on the wire."""


class Presence:
    """The node's own word about itself on every link, and the set of nodes that it watches.

    ``neighbours`` are the fog nodes that a link reaches, the nearest first, ``clouds`` the bridges.
    """

    def __init__(self, identity: Identity, directory: Directory) -> None:
        self.incarnation = identity.incarnation
        self.measured = Measured(0.0, 0.0)
        self._uplink: bool | None = None
        self._me = identity
        self._directory = directory
        self._next_beat: int | None = None
        self._seq = 0
        self._draining = False
        self._hears_any = False
        self._left = False
        self._next_rename = 0
        self._roles: dict[str, str] = {}
        self._seniors = Ranking(identity.site)
        self.neighbours = Ranking(identity.node)
        self.clouds: dict[str, None] = {}

    def deadline(self) -> int | None:
        """When the next heartbeat is due, None while no link is up."""
        return self._next_beat

    def birth(self) -> Birth:
        """What the node says of itself. With no capacity it takes nothing new."""
        me = self._me
        capacity = 0 if self._draining else me.workers
        return Birth(self.incarnation, me.role, capacity, tuple(me.tasks.values()), me.addresses, me.keeps)

    def announce(self, link: str, now: int) -> list[Command]:
        """Say on a link that the node is there: brokers may have forgotten what they retained."""
        if self._next_beat is None:
            self._next_beat = now
        self._directory.hear(link, self._me.node, self.birth(), now)
        return [
            Send(link, topics.birth(self._me.site, self._me.node), self.birth(), retain=True),
            *self.noticed(self._me.node, now),
        ]

    def announce_everywhere(self, now: int) -> list[Command]:
        """Say again what the node is: something about it changed, or a broker has it wrong."""
        return [command for link in self._directory.links for command in self.announce(link, now)]

    def heard_of_myself(self, event: NodeHeard, now: int) -> list[Command]:
        """A broker may have it wrong: a stale will makes this node gone, or what it retained from an earlier life
        carries a later incarnation, where the clock went back."""
        said = event.message.incarnation
        if self._left:
            return []
        if said < self.incarnation:  # a stale will or birth is what the broker retains now
            return self.announce(event.link, now)
        if said == self.incarnation:
            return self.announce_everywhere(now) if isinstance(event.message, Gone) else []
        if now < self._next_rename:
            return []
        self._next_rename = now + RENAME_EVERY
        if said >= LAST_INCARNATION:
            return self.announce_everywhere(now)  # whoever believes it is told at least that this node is there
        self.incarnation = said + 1
        note = Note("incarnation", f"another life of {self._me.node} was announced; if it is another node, rename one")
        return [note, Reconnect()]

    def rewatch(self, now: int) -> list[Command]:
        """Listen to the right heartbeats, and to tasks for any node if this node is among the first to take them."""
        for node in {**self._roles, **self._directory.members}:
            self._place(node)
        return self._watch(now)

    def noticed(self, node: str, now: int) -> list[Command]:
        """The same, where only one node may have come or gone."""
        member = self._directory.members.get(node)
        if member is not None and member.links and self._roles.get(node) == member.birth.role:
            return []  # as before: most often it is a heartbeat
        return self._watch(now) if self._place(node) else []

    def _place(self, node: str) -> bool:
        """Note whether a node is there, and as what. True if that has changed."""
        member = self._directory.members.get(node)
        role = member.role if member is not None and member.links else None
        before = self._roles.get(node)
        if role == before:
            return False
        if before is not None:
            self._seniors.discard(node)
            self.neighbours.discard(node)
            self.clouds.pop(node, None)
        if role is None:
            del self._roles[node]
            return True
        self._roles[node] = role
        if role != "cloud":
            self._seniors.add(node)
        if node != self._me.node:
            if role == "cloud":
                self.clouds[node] = None
            else:
                self.neighbours.add(node)
        return True

    def _watch(self, now: int) -> list[Command]:
        site, me = self._me.site, self._me.node
        first = self._seniors.first(NEIGHBOURS)
        neighbours = [] if self._me.role == "cloud" else self.neighbours.first(NEIGHBOURS)
        senior = first[: first.index(me)] if me in first else []
        wanted = dict.fromkeys([*neighbours, *senior, *islice(self.clouds, MOST_CLOUDS)])
        added, dropped = self._directory.watch(list(wanted), now)
        out: list[Command] = [Subscribe(topics.beat(site, node)) for node in added]
        out += [Unsubscribe(topics.beat(site, node)) for node in dropped]
        return out + self._rehear(me in first)

    def _rehear(self, is_first: bool) -> list[Command]:
        if is_first == self._hears_any:
            return []
        self._hears_any = is_first
        topic = topics.any_task(self._me.site)
        return [Subscribe(topic) if is_first else Unsubscribe(topic)]

    def first_to_take(self) -> bool:
        """Whether a task for any node is this one's: no node that is there comes before it in the site's order."""
        members = self._directory.members
        there = (node for node in self._seniors if node in members and members[node].present)
        return next(there, None) == self._me.node

    def tick(self, now: int, queue: RunQueue, quarantined: tuple[str, ...]) -> list[Command]:
        """Send the heartbeat that is due."""
        if self._left:
            self._next_beat = None
        if self._next_beat is None or now < self._next_beat:
            return []
        links = self._directory.links
        self._next_beat = now + BEAT_EVERY if links else None
        self._seq += 1
        beat = self.beat(now, queue, quarantined)
        return [Send(link, topics.beat(self._me.site, self._me.node), beat) for link in links]

    def beat(self, now: int, queue: RunQueue, quarantined: tuple[str, ...]) -> Beat:
        """The heartbeat as it is now."""
        return Beat(
            self.incarnation,
            self._seq,
            BEAT_TTL,
            running=queue.busy,
            queued=len(queue),
            wait=int(queue.wait(now)),
            cpu=self.measured.cpu,
            memory=self.measured.memory,
            uplink=self._uplink,
            draining=self._draining,
            quarantined=quarantined,
        )

    def cloud_reached(self, up: bool, now: int) -> None:
        """Say with a heartbeat at once whether the cloud can be reached: placement waits for it."""
        self._uplink = up
        if self._next_beat is not None:
            self._next_beat = now

    def drain(self, now: int) -> list[Command]:
        """Say that nothing new is taken from now on."""
        self._draining = True
        self._next_beat = now
        return self.announce_everywhere(now)

    def say_goodbye(self) -> list[Command]:
        """Say that the node is gone."""
        self._left = True
        topic = topics.birth(self._me.site, self._me.node)
        return [Send(link, topic, Gone(self.incarnation), retain=True) for link in self._directory.links]
