"""Who holds tasks for a ledger, and whether they still answer: one of whom nothing is heard is asked about a task of
its, and is silent when it does not answer that."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from fogsdk.core.membership import Directory
from fogsdk.core.timers import Timers

BYTES_PER_MS = 1000
"""The slowest link that is not taken for a silent one: a large task gets more time before the first question."""
SLOW_LINK_WITHIN = 5000
"""Milliseconds after large tasks left in which a silence is put down to the link too, which then counts as slower."""
PROBE_EVERY = 250
"""Milliseconds without a word from a taker until it is asked about one of its tasks, whichever is oldest."""
PROBE_AGAIN = 100
"""Milliseconds between two such questions while none is answered."""
SILENT_AFTER = 700
"""Milliseconds without a word, the last of them with questions unanswered, after which a taker counts as silent."""
PATIENCE = 3.0
"""Times the 95th percentile of what a node and the way to it add to a task that its answer is waited for, where that is
longer: who is known to be slow is not silent yet."""
LONGEST_SILENCE = 3000
"""Milliseconds that an answer is waited for at the most, however slow the node was."""


@dataclass(slots=True)
class Taker:
    """One that holds tasks: which, when it was last heard, and since when it owes an answer."""

    ids: dict[str, None] = field(default_factory=dict)
    heard: int = 0
    owing_since: int | None = None


class Takers:
    """All that hold tasks for one ledger, by node."""

    def __init__(self, directory: Directory) -> None:
        self.by_node: dict[str, Taker] = {}
        self._directory = directory
        self._probes: Timers[str] = Timers()
        self._out: dict[str, int] = {}  # how long each link was busy so far, if it is slow, and with what was answered
        self._answered: dict[str, int] = {}
        self._out_by = 0
        self._slowness = 1
        self.deadline: Callable[[], int | None] = self._probes.next
        """When somebody is to be asked, or has been silent for too long."""

    def holding(self, node: str) -> list[str]:
        """The ids of a node's tasks, oldest first."""
        taker = self.by_node.get(node)
        return list(taker.ids) if taker else []

    def count(self, node: str) -> int:
        """How many tasks a node has."""
        taker = self.by_node.get(node)
        return len(taker.ids) if taker else 0

    # ------------------------------------------------------------ what is handed out and what comes back

    def leaves(self, size: int, link: str, now: int) -> int:
        """So many bytes are handed out; returns when they will have left, where links are slow."""
        busy = size * self._slowness // BYTES_PER_MS
        if busy:
            self._out[link] = self._out.get(link, 0) + busy
            self._out_by = max(now, self._out_by) + busy
        return max(now, self._out_by)

    def out(self, link: str) -> int:
        """How long a link was busy, in milliseconds, with all that was handed out on it so far."""
        return self._out.get(link, 0)

    def under_way(self, size: int, took: int, link: str, now: int) -> None:
        """So many bytes of a large task are on their way now, and those before them ``took`` so long, if any were."""
        busy = took or size * self._slowness // BYTES_PER_MS
        self._out[link] = self._out.get(link, 0) + busy
        self._out_by = max(self._out_by, now + busy)

    def arrived(self, link: str, out: int, now: int) -> None:
        """What was handed out before ``out`` of a link was more than this has left: on a link everything goes in order,
        and some of it was answered."""
        self._answered[link] = max(out, self._answered.get(link, 0))
        left = sum(busy - self._answered.get(each, 0) for each, busy in self._out.items())
        self._out_by = min(self._out_by, now + left)

    def take(self, node: str, id: str, at: int) -> None:
        """A node was given a task."""
        taker = self.by_node.get(node)
        if taker is None:
            taker = self.by_node[node] = Taker(heard=at)
            self._look_later(node, at)
        taker.ids[id] = None

    def release(self, node: str, id: str) -> None:
        """A node does not have a task any longer, or not for this ledger; nothing happens where it has none."""
        taker = self.by_node.get(node)
        if taker is None:
            return
        taker.ids.pop(id, None)
        if not taker.ids:
            self._probes.drop(node)
            del self.by_node[node]

    def heard(self, node: str, now: int) -> None:
        """Word came of a node."""
        taker = self.by_node.get(node)
        if taker is not None:
            taker.heard, taker.owing_since = now, None

    # ------------------------------------------------------------ who is to be asked

    def recheck(self, now: int) -> None:
        """A link came or went: everybody has time again."""
        self._answered = dict(self._out)  # what was on its way is lost, or there
        for node, taker in self.by_node.items():
            taker.heard, taker.owing_since = now, None
            self._probes.set(node, now + PROBE_EVERY)

    def rest(self) -> None:
        """Nothing is handed out: the link may be as fast as any."""
        self._slowness = 1

    def due(self, now: int) -> list[tuple[str, bool]]:
        """Nodes to ask now about their oldest task; with True those that are silent."""
        nodes = self._probes.pop_due(now)
        if not self._directory.links:
            return []  # recheck comes with the next link
        return [(node, silent) for node in nodes if (silent := self._probe(node, now)) is not None]

    def _probe(self, node: str, now: int) -> bool | None:
        taker = self.by_node[node]
        if now < self._out_by:  # what was handed out may still be on its way, and the question behind it
            taker.owing_since = None
            self._look_later(node, now)
            return None
        if taker.owing_since is None and now < taker.heard + PROBE_EVERY:
            self._probes.set(node, taker.heard + PROBE_EVERY)
            return None
        if taker.owing_since is None:
            taker.owing_since = now
        silent_at = taker.owing_since + self._patience(node)
        if now < silent_at:
            self._probes.set(node, min(now + PROBE_AGAIN, silent_at))
            return False
        if now - self._out_by < SLOW_LINK_WITHIN:
            self._slowness = min(64, 2 * self._slowness)
        return True

    def _look_later(self, node: str, now: int) -> None:
        """When what was handed out has left, and was answered; it may have left sooner than expected."""
        left = max(0, self._out_by - now)
        self._probes.set(node, now + PROBE_EVERY + (left if left <= PROBE_EVERY else 0))

    def _patience(self, node: str) -> int:
        """How long a node may owe an answer."""
        member = self._directory.members.get(node)
        usual = member.learned.extra.p50 if member is not None and member.learned else 0.0
        return max(SILENT_AFTER - PROBE_EVERY, min(LONGEST_SILENCE, int(PATIENCE * usual)))
