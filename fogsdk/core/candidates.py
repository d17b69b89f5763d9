"""The nodes of a site as a placement sees them, by what this node knows of itself and of them."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from itertools import islice

from fogsdk.core.held import Held
from fogsdk.core.identity import Identity
from fogsdk.core.membership import Directory, Member
from fogsdk.core.placement import Candidate, Lazily
from fogsdk.core.presence import Presence
from fogsdk.core.runqueue import RunQueue

MOST_OTHERS = 8
"""Nodes that one placement looks at."""

_Kind = tuple[str, int, float, float]
"""Name, priority, run time and share of a task: those that are alike in it see the same of others."""


class Candidates:
    """Makes them of what is known now."""

    def __init__(self, identity: Identity, directory: Directory, presence: Presence, queue: RunQueue) -> None:
        self._me = identity
        self._directory = directory
        self._presence = presence
        self._queue = queue
        self._looked_at = -1
        self._looks: dict[_Kind, Lazily] = {}

    def myself(self, held: Held, now: int) -> Candidate:
        """This node."""
        load, queue = self._presence.measured, self._queue
        return Candidate(
            self._me.node,
            workers=self._me.workers,
            running=queue.busy,
            queued=len(queue),
            wait=queue.wait(now, held.quick),
            ran=held.cost,
            cpu=load.cpu,
            memory=load.memory,
            offers=held.task.name in self._me.tasks,
        )

    def neighbours(self, held: Held, now: int, barred: Collection[str] = ()) -> Lazily:
        """The fog nodes that can take a task, but those that are ``barred``. They are looked at once for all tasks of
        a kind that come within a millisecond, as those of one message do, unless that is ``outdated`` before."""
        if barred or held.task.via or held.key[0] in self._directory.members:
            return self._look(held, now, barred)
        if now != self._looked_at:
            self._looks.clear()
            self._looked_at = now
        kind = held.task.name, held.task.priority, held.cost, held.share
        look = self._looks.get(kind)
        if look is None:
            look = self._looks[kind] = self._look(held, now)
        return look

    def outdated(self) -> None:
        """Somebody came, went, was given something or said something: they are not what they were when looked at."""
        self._looks.clear()

    def _look(self, held: Held, now: int, barred: Collection[str] = ()) -> Lazily:
        return Lazily(lambda: self._able(self._presence.neighbours, held, now, barred))

    def bridges(self, held: Held, now: int, barred: Collection[str] = ()) -> Lazily:
        """The cloud bridges that can."""
        return Lazily(lambda: self._able(self._presence.clouds, held, now, barred))

    def any_bridge(self) -> Candidate | None:
        """A cloud bridge, whatever it offers: one that says that it reaches its core site, if there is one."""
        bridges = (member for member in self._directory.members.values() if member.role == "cloud")
        found = (Candidate(each.node, uplink=each.present and bool(each.beat and each.beat.uplink)) for each in bridges)
        return max(found, key=lambda bridge: bridge.uplink, default=None)

    def _able(self, nodes: Iterable[str], held: Held, now: int, barred: Collection[str]) -> list[Candidate]:
        """Those of the nodes, the first ones, that can take the task now and did not have it yet."""
        name, passed = held.task.name, {*barred, *held.task.via, held.key[0]}
        members = (self._directory.members.get(node) for node in nodes if node not in passed)
        able = (
            member
            for member in members
            if member is not None  # forgotten, after long, with no word that it had gone
            and name in member.tasks
            and member.available(now, held.task.priority)
            and not (member.beat and name in member.beat.quarantined)
        )
        return [_candidate(member, held, now) for member in islice(able, MOST_OTHERS)]


def _candidate(member: Member, held: Held, now: int) -> Candidate:
    beat, learned = member.beat, member.learned
    ran = member.ran(held.task.name)
    return Candidate(
        member.node,
        workers=member.birth.capacity,
        running=max(0, (beat.running if beat else 0) + member.handed),
        queued=beat.queued if beat else 0,
        wait=member.queue(now),
        ran=held.cost if ran is None else ran * held.share,
        travel=member.travel(),
        cpu=beat.cpu if beat else 0.0,
        memory=beat.memory if beat else 0.0,
        uplink=beat is None or beat.uplink is not False,
        completion=member.completion(held.task.name, held.cost, now, held.share),
        faults=learned.faults(now) if learned else 0.0,
        p95=learned.extra.p95 if learned else 0.0,
    )
