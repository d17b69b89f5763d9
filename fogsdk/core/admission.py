"""Admission: what a node takes on. It refuses before its queue is full, and those first that can best do without: what
would be late anyway, what is of low priority, and whoever holds most of the queue already."""

from __future__ import annotations

from collections import Counter
from math import ceil

from fogsdk.core.held import Held, size_of
from fogsdk.core.runqueue import RunQueue
from fogsdk.wire.messages import Refused, Task

LOW_SHARE, ORDINARY_SHARE = 0.5, 0.75
"""How full the queue may be for tasks of priority below 0, and of 0; those above 0 may fill it."""
_SHARES = (LOW_SHARE, ORDINARY_SHARE, 1.0)
_LOW, _ORDINARY, _URGENT = range(3)
MOST_QUEUED_BYTES = 512 * 1024 * 1024
SHORTEST_RETRY, LONGEST_RETRY = 50.0, 5000.0
"""Milliseconds that ``retry_after`` lies between."""


class Admission:
    """What a node holds, a ``count`` of it, and what it does not take; ``refused`` counts that by its cause."""

    def __init__(self, node: str, limit: int, queue: RunQueue, room: int = MOST_QUEUED_BYTES) -> None:
        self.refused: Counter[str] = Counter()
        self._node = node
        self._limit = limit
        self._open_to = [ceil(limit * share) for share in _SHARES]
        self._room = room
        self._queue = queue
        self.count = 0
        self._bytes = 0
        self._holding: dict[str, list[int]] = {}  # of each sender, how much of each rank

    def took(self, held: Held) -> None:
        """The node holds one task more."""
        self.count += 1
        self._bytes += held.size
        sender = held.key[0]
        counts = self._holding.get(sender)
        if counts is None:
            counts = self._holding[sender] = [0] * len(_SHARES)
        counts[_rank(held.task)] += 1

    def let_go(self, held: Held) -> None:
        """The node holds one task less."""
        self.count -= 1
        self._bytes -= held.size
        counts = self._holding[held.key[0]]
        counts[_rank(held.task)] -= 1
        if not any(counts):
            del self._holding[held.key[0]]

    def refusal(self, sender: str, task: Task, now: int, incoming: int = 0) -> Refused | None:
        """Why the node does not take a task now, None if there is room for it beside so many ``incoming`` bytes."""
        rank = _rank(task)
        open_to_it = self._open_to[rank]
        room = self._limit - self.count
        if self.count >= open_to_it:
            above = "" if rank == _URGENT else f", and takes only tasks of priority above {rank - _ORDINARY}"
            return self._full(task, "full" if room <= 0 else "priority", above, self.count - open_to_it + 1, now)
        # No sender holds more than is left for the others: a flood leaves half of the queue free, two leave a third.
        if self.count > room:
            yours = sum(self._holding.get(sender, ())[rank:])  # what is at least so urgent
            if yours > room:
                return self._full(task, "sender", f", {yours} of them yours", yours - room, now)
        if self._bytes + incoming + size_of(task) > self._room:
            return self._full(task, "bytes", f" with {self._bytes} bytes of arguments", self.count // 2, now)
        return None

    def _full(self, task: Task, cause: str, more: str, too_many: int, now: int) -> Refused:
        self.refused[cause] += 1
        each = self._queue.wait(now) / max(1, len(self._queue))
        message = f"{self._node} holds {self.count} tasks{more}"
        return Refused(task.id, self._node, "overloaded", message, _retry(each * too_many))

    def too_late(self, held: Held, now: int) -> Refused | None:
        """The refusal of a task that was to wait here, and would still do so when its deadline passes."""
        if held.expires is None:
            return None
        wait, left = self._queue.wait_of(held, now), held.expires - now
        if wait <= left:
            return None
        self.refused["deadline"] += 1
        message = f"it would wait {wait:.0f} ms on {self._node}, and its deadline is in {left} ms"
        return Refused(held.task.id, self._node, "overloaded", message, _retry(wait - left))


def _rank(task: Task) -> int:
    priority = task.priority
    return _ORDINARY if priority == 0 else _URGENT if priority > 0 else _LOW


def _retry(milliseconds: float) -> int:
    return int(min(LONGEST_RETRY, max(SHORTEST_RETRY, milliseconds)))
