"""What answers teach: how long nodes and the ways to them take, and what is usual for tasks of a name.

Nobody is to wait for that: what came is learned from when there is time. Of answers that come together, the last of
each kind from each node says how the node does; how long they took is learned of all.
"""

from __future__ import annotations

from fogsdk.core.costs import Costs
from fogsdk.core.entry import Entry
from fogsdk.core.hedging import Hedging
from fogsdk.core.learned import Learned
from fogsdk.core.membership import Directory
from fogsdk.wire.messages import Hop, Result, Task

_Lesson = tuple[str, Hop, int, bool, Learned, int]
"""A task's name and the first entry of its trace; how many milliseconds after it went to the node that answers the
answer came; whether nobody had asked after it; the experience with that node; and when the answer came."""


class Lessons:
    """Learns from the first entry of each trace, by the node that answers. ``costs`` are the run times, wherever it
    was."""

    def __init__(self, directory: Directory, hedging: Hedging) -> None:
        self.costs = Costs()
        self._directory = directory
        self._hedging = hedging
        self._heard: dict[tuple[str, str, bool, bool], _Lesson] = {}
        self._ran: dict[str, tuple[Hop, ...]] = {}  # the last trace of tasks of a name
        self._back: list[tuple[Task, int]] = []  # tasks that are back, and how many milliseconds they took

    def hear(self, entry: Entry, result: Result, now: int, *, timely: bool = True) -> None:
        """Take in a result before its task is forgotten. That its node lives, and how long its queue is, counts at
        once. When one came that is not ``timely``, as it is large, says nothing about the node."""
        task, hop, taker = entry.task, result.hops[0], entry.taker
        self._ran[task.name] = result.hops
        node = hop.node
        sent_at = entry.sent_at if node == taker else entry.given_at(node)
        if sent_at is None or not timely:
            return
        if taker is not None:
            self._back.append((task, now - entry.sent_at))
        if node == entry.second:
            self._hedging.won += 1
            self._directory.added(taker or "", now - entry.sent_at - hop.ran, now)  # it takes that long at the least
        member = self._directory.answered(node, now, result.wait)
        if member is not None:
            experience, unasked = member.learned or member.experience, node == taker and not entry.held
            lesson = (task.name, hop, now - sent_at, unasked, experience, now)
            self._heard[node, task.name, hop.part is None, unasked] = lesson

    def catch_up(self) -> bool:
        """Learn from what came since the last time. Returns whether anything did."""
        if not self._ran:
            return False
        ran, self._ran = self._ran, {}
        for name, hops in ran.items():
            self.costs.learn(name, sum([hop.ran for hop in hops]))
        back, self._back = self._back, []
        for task, took in back:
            self._hedging.came_back(task, took)
        heard, self._heard = self._heard, {}
        for lesson in heard.values():
            _learn(*lesson)
        return True


def _learn(name: str, hop: Hop, elapsed: int, unasked: bool, experience: Learned, at: int) -> None:
    ran = hop.action == "ran"
    experience.added(elapsed - (hop.ran + hop.queued if ran else hop.took), at)
    if unasked:  # an answer that was asked for says nothing about the way
        experience.travelled(elapsed - hop.took)
    if ran and hop.part is None:
        experience.costs.learn(name, hop.ran)
