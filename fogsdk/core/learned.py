"""What experience says of one node and the way to it: how often it failed, how late its answers come, and how long
tasks run there. It outlives the node's restarts, and it fades, so that a node can earn trust back.

Times are in milliseconds. A fault weighs half as much after ``FAULT_HALF_LIFE``, slowness after ``SLOWNESS_HALF_LIFE``
without an answer: so the node is tried again in the end, with one task at a time (a ``busy`` one gets no discount),
whose answer, good or bad, counts at once.
"""

from __future__ import annotations

from fogsdk.core.costs import MOST_MS, Costs, smoothed
from fogsdk.core.windows import Window

FAULT_HALF_LIFE = 600_000
SLOWNESS_HALF_LIFE = 300_000
PAUSE = 60_000
"""Milliseconds without an answer after which earlier latencies are kept only as what was usual and what was bad."""
FAULTS_TO_HALF = 8.0
"""Faults of late that halve a node's reliability."""
LOSS_MS = 700.0
"""What the loss of a task costs, beside its run time: about the time until a node counts as silent."""
TAIL_WEIGHT = 0.25
"""How far from its usual latency to its 95th percentile a node is expected to answer: once bitten, twice shy."""
FIRST_LINK_GUESS = 5.0
"""Milliseconds there and back that are assumed before the first measurement."""


class Learned:
    """The experience with one node. ``link_ms`` is the mean way there and back, ``extra`` what node and link add to a
    task beyond its run time and its wait in the queue."""

    __slots__ = ("_fault_at", "_faults", "_heard_at", "costs", "extra", "link_ms")

    def __init__(self) -> None:
        self.costs = Costs()
        self.link_ms: float | None = None
        self.extra = Window()
        self._faults = 0.0
        self._fault_at = 0
        self._heard_at = 0

    # ------------------------------------------------------------ taking in

    def fault(self, now: int) -> None:
        """It died, fell silent, or was started anew, without a word before."""
        self._faults = self.faults(now) + 1.0
        self._fault_at = now

    def travelled(self, ms: float) -> None:
        """The way there and back took this long."""
        self.link_ms = smoothed(self.link_ms, max(0.0, ms))

    def added(self, ms: float, now: int) -> None:
        """An answer came, and this much of its time was neither run time nor queue."""
        if now - self._heard_at > PAUSE and self.extra.count:
            faded = self._fading(now)
            self.extra = Window((self.extra.p50 * faded, self.extra.p95 * faded))
        self.extra.add(0.0 if ms < 0.0 else min(ms, MOST_MS))
        self._heard_at = now

    # ------------------------------------------------------------ what it comes to

    def _fading(self, now: int) -> float:
        return float(0.5 ** ((now - self._heard_at) / SLOWNESS_HALF_LIFE))

    def faults(self, now: int) -> float:
        """How often it failed lately."""
        return self._faults * float(0.5 ** ((now - self._fault_at) / FAULT_HALF_LIFE)) if self._faults else 0.0

    def reliability(self, now: int) -> float:
        """From 1.0, it never failed, towards 0.0."""
        return FAULTS_TO_HALF / (FAULTS_TO_HALF + self.faults(now))

    def completion(self, ran: float, common: float, busy: bool, now: int) -> float:
        """The time to expect until the answer to a task that runs ``ran`` there and ``common`` elsewhere, its wait in
        the queue aside: faults and late answers included, and what is long ago discounted."""
        extra = self.extra
        late = extra.p50 + TAIL_WEIGHT * (extra.p95 - extra.p50) if extra.count else FIRST_LINK_GUESS
        risk = (1.0 - self.reliability(now)) * (LOSS_MS + ran) if self._faults else 0.0
        if now - self._heard_at > PAUSE and not busy:
            faded = self._fading(now)
            ran, late = _towards(common, ran, faded), _towards(FIRST_LINK_GUESS, late, faded)
        return ran + late + risk


def _towards(common: float, learned: float, faded: float) -> float:
    """What is worse than common fades; what is better stays."""
    return common + (learned - common) * faded if learned > common else learned
