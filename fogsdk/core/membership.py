"""Who is there: the nodes of a site as births, wills, beats and replies tell of them."""

from __future__ import annotations

from dataclasses import dataclass, field

from fogsdk.core.costs import Costs, smoothed
from fogsdk.core.timers import Timers
from fogsdk.wire.messages import Beat, Birth, Gone, TaskInfo

MOST_MEMBERS = 4096
FIRST_BEAT_WITHIN = 3000
"""Milliseconds that a node has for its first beat after this core began to listen for it."""
SHORTEST_TTL = 250
"""Milliseconds until a heartbeat is overdue at the earliest, whatever it says itself."""
SUSPECT_FOR = 5000
"""Milliseconds for which a node that fell silent is passed over, unless it is heard before; doubled each time, up to
16 times as long."""
FORGET_AFTER = 600_000
"""Milliseconds after which a node that is gone is forgotten."""
FIRST_LINK_GUESS = 5.0
"""Milliseconds there and back that are assumed before the first measurement."""


@dataclass(slots=True)
class Member:
    """What is known of one node. Times are in milliseconds."""

    node: str
    birth: Birth
    tasks: dict[str, TaskInfo]
    links: dict[str, None] = field(default_factory=dict)
    beat: Beat | None = None
    lost: bool = False
    suspect_until: int = 0
    silences: int = 0
    last_heard: int = 0
    wait: float = 0.0
    wait_at: int = 0
    link_ms: float | None = None
    costs: Costs = field(default_factory=Costs)
    outstanding_ms: float = 0.0
    full_until: int = 0
    room: int | None = None

    @property
    def role(self) -> str:
        return self.birth.role

    @property
    def link(self) -> str | None:
        """A link over which the node can be reached."""
        return next(iter(self.links), None)

    @property
    def present(self) -> bool:
        """Whether the node is there, as far as births, wills and beats say."""
        return bool(self.links) and not self.lost

    def available(self, now: int) -> bool:
        """Whether new tasks can go to the node."""
        leaving = self.birth.capacity == 0 or (self.beat is not None and self.beat.draining)
        return self.present and not leaving and now >= max(self.suspect_until, self.full_until)

    def travel(self) -> float:
        """The time to expect on the way there and back."""
        return FIRST_LINK_GUESS if self.link_ms is None else self.link_ms

    def says(self, wait: int, now: int) -> None:
        """Take the node's own word on its queue; what was handed to it before is in there."""
        self.wait, self.wait_at, self.outstanding_ms = float(wait), now, 0.0

    def queue(self, now: int) -> float:
        """The time that a task handed to the node now would wait there: its own word, less what has passed since,
        plus what was handed to it since by this core."""
        said = max(0.0, self.wait - (now - self.wait_at))
        return said + self.outstanding_ms / max(1, self.birth.capacity)


class Directory:
    """The nodes of one site. ``watch`` names those whose beats are listened to; only they can lapse."""

    def __init__(self) -> None:
        self.members: dict[str, Member] = {}
        self._watched: dict[str, None] = {}
        self._beats: Timers[str] = Timers()
        self._links: dict[str, None] = {}

    def deadline(self) -> int | None:
        """When the next beat is overdue."""
        return self._beats.next()

    @property
    def links(self) -> list[str]:
        """The links that are up."""
        return list(self._links)

    def link_up(self, link: str, now: int) -> None:
        """A broker is there (again): everybody gets time to be heard over it."""
        self._links[link] = None
        for node in self._watched:
            self._beats.set(node, now + FIRST_BEAT_WITHIN)

    def link_down(self, link: str) -> None:
        """A broker is gone; that says nothing about the nodes, which may be reached over another."""
        self._links.pop(link, None)
        for member in self.members.values():
            member.links.pop(link, None)
        if not self._links:
            for node in self._watched:
                self._beats.drop(node)

    def hear(self, link: str, node: str, message: Birth | Gone | Beat, now: int) -> bool:
        """Take in a birth, a will or a beat. True when the node was there before and this says that it is gone,
        or that it was started anew since: what it held is lost."""
        member = self.members.get(node)
        if isinstance(message, Birth):
            return self._born(link, node, member, message, now)
        if member is None or message.incarnation < member.birth.incarnation:
            return False
        if isinstance(message, Gone):
            was_present = member.present
            member.links.pop(link, None)
            member.last_heard = now
            return was_present and not member.present
        return self._beaten(link, member, message, now)

    def _born(self, link: str, node: str, member: Member | None, birth: Birth, now: int) -> bool:
        if member is not None and birth.incarnation < member.birth.incarnation and member.present:
            return (
                False  # of one that is away it is believed: its clock went back, and its broker forgot its earlier life
            )
        if member is None and len(self.members) >= MOST_MEMBERS:
            self._forget(now)
            if len(self.members) >= MOST_MEMBERS:
                return False
        restarted = member is not None and birth.incarnation != member.birth.incarnation
        was_present = member is not None and member.present
        if member is None or restarted:
            learned = member.costs if member else Costs()
            link_ms = member.link_ms if member else None
            member = Member(node, birth, {}, costs=learned, link_ms=link_ms)
            self.members[node] = member
        member.birth = birth
        member.tasks = {info.name: info for info in birth.tasks}
        member.links[link] = None
        self._alive(member, now)
        if node in self._watched:
            self._beats.set(node, now + FIRST_BEAT_WITHIN)
        return restarted and was_present

    def _beaten(self, link: str, member: Member, beat: Beat, now: int) -> bool:
        if beat.incarnation != member.birth.incarnation or (member.beat and beat.seq < member.beat.seq):
            return False
        member.links[link] = None
        member.beat = beat
        member.says(beat.wait, now)
        self._alive(member, now)
        if member.node in self._watched:
            self._beats.set(member.node, now + max(SHORTEST_TTL, beat.ttl))
        return False

    def _alive(self, member: Member, now: int) -> None:
        member.lost = False
        member.suspect_until = member.silences = 0
        member.last_heard = now

    def _forget(self, now: int) -> None:
        old = [m.node for m in self.members.values() if not m.present and now - m.last_heard > FORGET_AFTER]
        for node in old:
            del self.members[node]

    def watch(self, nodes: list[str], now: int) -> tuple[list[str], list[str]]:
        """Listen to the beats of exactly these nodes. Returns those newly watched and those watched no more."""
        added = [node for node in nodes if node not in self._watched]
        dropped = [node for node in self._watched if node not in nodes]
        for node in dropped:
            del self._watched[node]
            self._beats.drop(node)
        for node in added:
            self._watched[node] = None
            self._beats.set(node, now + FIRST_BEAT_WITHIN)
        return added, dropped

    def lapse(self, now: int) -> list[str]:
        """Take for lost, and return, the nodes whose beats are overdue."""
        lapsed = []
        for node in self._beats.pop_due(now):
            member = self.members.get(node)
            if member is not None and member.present:
                member.lost = True
                lapsed.append(node)
        return lapsed

    def suspect(self, node: str, now: int) -> None:
        """A node that did not answer: pass it over for a while."""
        member = self.members.get(node)
        if member is not None:
            member.suspect_until = now + SUSPECT_FOR * 2 ** min(member.silences, 4)
            link = member.link
            if link is not None:  # perhaps it is the link: the next one is tried next
                member.links[link] = member.links.pop(link)
            member.silences += 1

    def answered(self, node: str, now: int, wait: int | None = None) -> None:
        """A reply of the node came: it lives, and perhaps says how long its queue is."""
        member = self.members.get(node)
        if member is None:
            return
        member.suspect_until = member.silences = 0
        member.last_heard = now
        if wait is not None:
            member.says(wait, now)

    def travelled(self, node: str, ms: float) -> None:
        """Learn how long the way to the node and back takes."""
        member = self.members.get(node)
        if member is not None:
            member.link_ms = smoothed(member.link_ms, max(0.0, ms))

    def available(self, now: int) -> list[Member]:
        """The nodes that new tasks can go to."""
        return [member for member in self.members.values() if member.available(now)]
