"""What answers teach: how long nodes and the ways to them take, and what is usual for tasks of a name.

Nobody is to wait for that: what came is learned from when there is time. Of answers that come together, the last of
each node about tasks of each name counts: the others would teach the same.
"""

from __future__ import annotations

from fogsdk.core.costs import Costs
from fogsdk.core.entry import Entry
from fogsdk.core.hedging import Hedging
from fogsdk.core.learned import Learned
from fogsdk.core.membership import Directory
from fogsdk.wire.messages import Hop, Result, Task

_Lesson = tuple[Task, tuple[Hop, ...], int | None, int, bool, Learned | None, int]
"""An answer's task and trace; how many milliseconds after the task went to its taker it came, and after it went to the
node that answers; whether nobody had asked after it; the experience with that node; and when it came."""


class Lessons:
    """Learns from the first entry of each trace, by the node that answers. ``costs`` are the run times, wherever it
    was."""

    def __init__(self, directory: Directory, hedging: Hedging) -> None:
        self.costs = Costs()
        self._directory = directory
        self._hedging = hedging
        self._heard: dict[tuple[str, str], _Lesson] = {}

    def hear(self, entry: Entry, result: Result, now: int) -> None:
        """Take in a result before its task is forgotten. That its node lives, and how long its queue is, counts at
        once."""
        node, taker = result.hops[0].node, entry.taker
        sent_at = entry.sent_at if node == taker else entry.given_at(node)
        if sent_at is None:
            return
        if node == entry.second:
            self._hedging.won += 1  # it takes that long at the least
            self._directory.added(taker or "", now - entry.sent_at - result.hops[0].ran, now)
        member = self._directory.answered(node, now, result.wait)
        experience = None if member is None else member.learned or member.experience
        taken = None if taker is None else now - entry.sent_at
        unasked = node == taker and not entry.held
        lesson = (entry.task, result.hops, taken, now - sent_at, unasked, experience, now)
        self._heard[node, entry.task.name] = lesson

    def catch_up(self) -> None:
        """Learn from what came since the last time."""
        if self._heard:
            heard, self._heard = self._heard, {}
            for lesson in heard.values():
                self._learn(*lesson)

    def _learn(
        self,
        task: Task,
        hops: tuple[Hop, ...],
        taken: int | None,
        elapsed: int,
        unasked: bool,
        experience: Learned | None,
        at: int,
    ) -> None:
        hop, ran = hops[0], hops[0].action == "ran"
        if taken is not None:
            self._hedging.came_back(task, taken)
        if experience is not None:
            experience.added(elapsed - (hop.ran + hop.queued if ran else hop.took), at)
            if unasked:  # an answer that was asked for says nothing about the way
                experience.travelled(elapsed - hop.took)
            if ran and hop.part is None:
                experience.costs.learn(task.name, hop.ran)
        in_all = 0.0
        for each in hops:
            in_all += each.ran
        self.costs.learn(task.name, in_all)
