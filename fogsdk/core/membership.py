"""Who is there: the nodes of a site as births, wills, beats and replies tell of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache

from fogsdk.core.learned import FIRST_LINK_GUESS, Learned
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
FORGET_EVERY = 1000
"""Milliseconds between two searches for them: on too large a site each birth would go through all that are known."""
ALL_PRIORITIES = 100
"""The highest there is: for tasks of all of them."""
AFTER_SILENCE = 32
"""Tasks that a node is handed at first when it was silent: no flood, and some come through where others are lost."""


@dataclass(slots=True)
class Member:
    """What is known of one node: small, for there may be thousands. Times are in milliseconds.

    ``links`` are those over which it can be reached, the one to use first. One that is ``leaving`` said that it takes
    nothing new. ``failing`` is the node whose last fault is not over: it was not heard since. It is full ``full_until``
    then, and later once it has ``room`` tasks, for those of no more than ``full_priority``; after ``results_to_grow``
    results there is room for one more, and while it ``starts`` again after a silence with each. ``handed`` are the
    tasks that this core gave it since its last beat, less those that came back. What was ``learned`` of it is there
    once there is something.
    """

    node: str
    birth: Birth
    tasks: Mapping[str, TaskInfo]
    links: tuple[str, ...] = ()
    beat: Beat | None = None
    lost: bool = False
    leaving: bool = False
    failing: bool = False
    suspect_until: int = 0
    silences: int = 0
    last_heard: int = 0
    wait: float = 0.0
    wait_at: int = 0
    learned: Learned | None = None
    outstanding_ms: float = 0.0
    handed: int = 0
    full_until: int = 0
    full_priority: int = ALL_PRIORITIES
    room: int | None = None
    results_to_grow: int = 0
    starts: bool = False

    @property
    def role(self) -> str:
        return self.birth.role

    @property
    def link(self) -> str | None:
        """A link over which the node can be reached."""
        return self.links[0] if self.links else None

    @property
    def present(self) -> bool:
        """Whether the node is there, as far as births, wills and beats say."""
        return bool(self.links) and not self.lost

    def state(self, now: int) -> str:
        """What people are told: there, draining, silent, lost or gone."""
        if not self.present:
            return "lost" if self.lost else "gone"
        if now < self.suspect_until:
            return "silent"
        return "draining" if self.leaving else "there"

    def available(self, now: int, priority: int = 0) -> bool:
        """Whether new tasks of a priority can go to the node."""
        if now < self.suspect_until or (now < self.full_until and priority <= self.full_priority):
            return False
        return bool(self.links) and not self.lost and not self.leaving

    def refused(self, holding: int, priority: int, until: int, now: int) -> None:
        """The node has no room for more than it holds: without this each task would find that out for itself, again and
        again. One more is tried with each quarter of them that came back (congestion avoidance, RFC 5681, but sooner:
        they may run for long)."""
        self.full_priority = max(priority, self.full_priority) if now < self.full_until else priority
        self.full_until, self.room = until, max(1, holding - 1)
        self.results_to_grow, self.starts = self.room // 4, False

    def start_slowly(self) -> None:
        """The node was silent: it is tried with some tasks, and handed two for each that it answers (slow start,
        RFC 5681)."""
        self.room, self.results_to_grow, self.starts = AFTER_SILENCE, 0, True
        self.full_priority = ALL_PRIORITIES

    def freed(self) -> int:
        """A result came from the node. Returns how many of those that wait have room there now."""
        if self.room is None:
            return 0
        self.full_until = 0
        self.results_to_grow -= 1
        if self.results_to_grow > 0:
            return 1
        self.room += 1
        self.results_to_grow = 0 if self.starts else self.room // 4
        return 2

    def accepted(self) -> int:
        """The node said that it has a task, which may run for long. Returns how many more have room there now."""
        if self.room is None or not self.starts:
            return 0
        self.room += 2
        return 2

    @property
    def experience(self) -> Learned:
        """What was learned of the node, to add to."""
        if self.learned is None:
            self.learned = Learned()
        return self.learned

    def travel(self) -> float:
        """The mean time on the way there and back."""
        link_ms = self.learned.link_ms if self.learned else None
        return FIRST_LINK_GUESS if link_ms is None else link_ms

    def ran(self, name: str) -> float | None:
        """The mean run time of a task there, None if it is not known."""
        return self.learned.costs.mean(name) if self.learned else None

    def completion(self, name: str, common: float, now: int, share: float = 1.0) -> float:
        """The time to expect until the answer to a task (a part: this ``share`` of one) that is handed to the node now,
        by what was learned of the node. ``common`` is its run time as far as it is known elsewhere."""
        learned = self.learned
        if learned is None:
            return self.queue(now) + common + FIRST_LINK_GUESS
        mean = learned.costs.mean(name)
        ran = common if mean is None else mean * share
        return self.queue(now) + learned.completion(ran, common, self.outstanding_ms > 0.0, now)

    def says(self, wait: int, now: int) -> None:
        """Take the node's own word on its queue; what was handed to it before is in there."""
        self.wait, self.wait_at, self.outstanding_ms = float(wait), now, 0.0

    def queue(self, now: int) -> float:
        """The time that a task handed to the node now would wait there: its own word, less what has passed since,
        plus what was handed to it since by this core."""
        said = self.wait - (now - self.wait_at)
        return max(0.0, said) + self.outstanding_ms / (self.birth.capacity or 1)


class Directory:
    """The nodes of one site. ``watch`` names those whose beats are listened to; only they can lapse."""

    def __init__(self) -> None:
        self.members: dict[str, Member] = {}
        self._watched: dict[str, None] = {}
        self._beats: Timers[str] = Timers()
        self._links: dict[str, None] = {}
        self._forget_at = 0

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
            if link in member.links:
                _unreach(member, link)
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
            _unreach(member, link)
            member.last_heard = now
            if was_present and not member.present:
                self._failed(member, now)
                return True
            return False
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
            if member is not None and was_present:
                self._failed(member, now)
            member = Member(node, birth, {}, learned=member.learned if member else None)
            self.members[node] = member
        member.birth = birth
        member.leaving = birth.capacity == 0 or (member.beat is not None and member.beat.draining)
        member.tasks = _by_name(birth.tasks)
        _reach(member, link)
        self._alive(member, now)
        if node in self._watched:
            self._beats.set(node, now + FIRST_BEAT_WITHIN)
        return restarted and was_present

    def _beaten(self, link: str, member: Member, beat: Beat, now: int) -> bool:
        before = member.beat.seq if member.beat else -1
        if beat.incarnation != member.birth.incarnation or beat.seq < before:
            return False
        _reach(member, link)
        if beat.seq == before:
            return False  # the same over another link
        member.beat, member.handed = beat, 0
        member.leaving = member.birth.capacity == 0 or beat.draining
        member.says(beat.wait, now)
        self._alive(member, now)
        if member.node in self._watched:
            self._beats.set(member.node, now + max(SHORTEST_TTL, beat.ttl))
        return False

    def _alive(self, member: Member, now: int) -> None:
        member.lost = member.failing = False
        member.suspect_until = member.silences = 0
        member.last_heard = now

    def _forget(self, now: int) -> None:
        if now < self._forget_at:
            return
        self._forget_at = now + FORGET_EVERY
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
                self._failed(member, now)
                lapsed.append(node)
        return lapsed

    def suspect(self, node: str, now: int) -> None:
        """A node that did not answer: pass it over for a while."""
        member = self.members.get(node)
        if member is not None:
            self._failed(member, now)
            member.suspect_until = now + SUSPECT_FOR * 2 ** min(member.silences, 4)
            member.links = (*member.links[1:], *member.links[:1])  # perhaps it is the link: the next one is tried next
            member.silences += 1
            member.start_slowly()

    def _failed(self, member: Member, now: int) -> None:
        """Remember a fault: once, however many signs of it there are, and not that of one who said that it would go.
        (A bridge need not say so: what it has is on its disk.)"""
        if not member.failing and not member.leaving and member.role != "cloud":
            member.failing = True
            member.experience.fault(now)

    def full(self, node: str, holding: int, priority: int, until: int, now: int) -> None:
        """A node that was given so many tasks refused one of this priority, until then."""
        member = self.members.get(node)
        if member is not None:
            member.refused(holding, priority, until, now)

    def answered(self, node: str, now: int, wait: int | None = None) -> Member | None:
        """A reply of the node came: it lives, and perhaps says how long its queue is. Returns it, if it is known."""
        member = self.members.get(node)
        if member is None:
            return None
        member.suspect_until = member.silences = 0
        member.failing = False
        member.last_heard = now
        if wait is not None:
            member.says(wait, now)
        return member

    def accepted(self, node: str) -> int:
        """The node has a task that it was handed. Returns how many more have room there now."""
        member = self.members.get(node)
        return 0 if member is None else member.accepted()

    def added(self, node: str, ms: float, now: int) -> None:
        """Learn what the node and the way to it added to a task, beyond its run time and its wait in the queue."""
        member = self.members.get(node)
        if member is not None:
            member.experience.added(ms, now)

    def ran(self, node: str, name: str, ms: float) -> None:
        """Learn how long a task ran on the node."""
        member = self.members.get(node)
        if member is not None:
            member.experience.costs.learn(name, ms)


def _reach(member: Member, link: str) -> None:
    if link not in member.links:
        member.links = (*member.links, link)


def _unreach(member: Member, link: str) -> None:
    member.links = tuple(each for each in member.links if each != link)


@lru_cache(maxsize=256)
def _by_name(tasks: tuple[TaskInfo, ...]) -> Mapping[str, TaskInfo]:
    """By name what a node offers; nodes that offer the same share it."""
    return {info.name: info for info in tasks}
