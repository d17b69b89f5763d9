"""Placement: pure functions that say where a task runs, and why.

A policy gets a :class:`Question` and returns a :class:`Decision`, nothing else; the reason travels back with the
result. Times are in milliseconds. ``predictive`` is the default; ``threshold`` and ``queue-wait`` are published rules
to compare with.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import cached_property, lru_cache
from typing import Any

from fogsdk.wire.frozen import dataclass

MOST_PARTS = 16
"""Parts of one split task at the most."""
MOST_WEIGHT = 256
"""Turns of one node in a round of ``threshold`` at the most: a capacity is whatever a birth says."""
SLOWEST_PART = 8.0
"""A worker that is this many times slower than the fastest gets no part: its share would be all overhead."""
WORTH_SPLITTING_MS = 20.0
"""A task that takes less is not split: handing out the parts would cost more."""
MARGIN_MS = 2.0
"""A neighbour must be sooner by this much: a prediction is no more exact."""
BUSY = 0.5
"""Load from which ``threshold`` passes a node over (Mir et al. 2022)."""
MOST_HOPS = 4
"""Nodes that a task may pass under ``queue-wait``."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """One node as the policy sees it. ``ran`` is the run time to expect there, ``travel`` the way there and back.

    ``completion`` is when a task given to it now would be back by experience: with what its ``faults`` of late and its
    late answers (``p95`` is what it adds to one in twenty) are likely to cost. None: nothing is known but the averages.
    """

    node: str
    workers: int = 1
    running: int = 0
    queued: int = 0
    wait: float = 0.0
    ran: float = 0.0
    travel: float = 0.0
    cpu: float = 0.0
    memory: float = 0.0
    offers: bool = True
    uplink: bool = True
    completion: float | None = None
    faults: float = 0.0
    p95: float = 0.0

    @property
    def average(self) -> float:
        """When a task given to this node now would be back, if all goes as usual."""
        return self.wait + self.ran + self.travel

    @property
    def done(self) -> float:
        """When a task given to this node now would be back."""
        return self.wait + self.ran + self.travel if self.completion is None else self.completion

    @property
    def free(self) -> int:
        """Workers with nothing to do."""
        return max(0, self.workers - self.running - self.queued)


@dataclass(frozen=True, slots=True)
class Question:
    """What is to be placed, and what is known.

    ``clouds`` are the bridges that can take a task now, ``cloud_known`` whether there ever was one that offers it, and
    ``bridge`` is one that does not. ``left`` is what remains until the deadline. ``via`` are the nodes that had the
    task, ``turn`` counts up with each question.
    """

    name: str
    weight: str
    me: Candidate
    others: Sequence[Candidate] = ()
    clouds: Sequence[Candidate] = ()
    cloud_known: bool = False
    bridge: Candidate | None = None
    splittable: bool = False
    fallback: bool = False
    part: bool = False
    left: float | None = None
    via: Sequence[str] = ()
    turn: int = 0


@dataclass(frozen=True, slots=True)
class Decision:
    """Where: ``here``, ``there`` (on ``node``), ``share`` (in parts), ``wait`` (for a cloud that is away), or
    ``refuse`` (``node`` is empty, ``why`` is for the sender)."""

    where: str
    why: str
    node: str = ""
    shares: tuple[tuple[str, float], ...] = ()


class Lazily(Sequence[Candidate]):
    """Candidates that are looked up when a policy first asks for them: it can do without for most light tasks. What
    many tasks are compared with is found once."""

    def __init__(self, look_up: Callable[[], list[Candidate]]) -> None:
        self._look_up = look_up

    @cached_property
    def _found(self) -> list[Candidate]:
        return self._look_up()

    @cached_property
    def soonest(self) -> Candidate | None:
        """The one where a task would be done first."""
        return _soonest_of(self._found)

    @cached_property
    def on_average(self) -> Candidate | None:
        """The one where it would be if all goes as usual."""
        return _soonest_on_average(self._found)

    def __len__(self) -> int:
        return len(self._found)

    def __getitem__(self, index: Any) -> Any:
        return self._found[index]

    def __iter__(self) -> Iterator[Candidate]:
        return iter(self._found)


Policy = Callable[[Question], Decision]
Glance = Callable[[int, float, Callable[[], Lazily]], Decision | None]
"""Called with what is queued here, when the task would be done here, and what looks up the others that can take it."""


def predictive(question: Question) -> Decision:
    """The soonest predicted completion: queue + execution + link, all learned, and what faults and late answers of
    the node are likely to cost."""
    if question.weight == "heavy":
        decision = _cloud(question)
        if decision is not None:
            return decision
    if question.me.offers and question.via:
        return Decision("here", f"sent here by {question.via[-1]}")
    if question.weight != "light" and question.splittable and not question.part:
        decision = _share(question)
        if decision is not None:
            return decision
    return _soonest(question)


def _cloud(question: Question) -> Decision | None:
    """The heavy task's own place; None lets it run in the fog."""
    best = min(question.clouds, key=lambda cloud: (not cloud.uplink, cloud.wait), default=None)
    if best is not None and best.uplink:
        return Decision("there", "heavy, and the cloud is reachable", best.node)
    if question.fallback and (question.me.offers or question.others):
        return None
    if best is not None:
        return Decision("there", "heavy; the cloud is away, the bridge keeps it until it is back", best.node)
    if question.cloud_known:
        return Decision("wait", "heavy, and the cloud bridge is away")
    why = f"{question.name} is heavy and {_lacks(question.bridge)}"
    return Decision("refuse", f'{why}, or declare the task with fallback="fog"')


def _lacks(bridge: Candidate | None) -> str:
    """Why nothing in the cloud takes a heavy task, and what to do about it."""
    if bridge is None:
        return "this site never had a cloud bridge: start `fogcloud bridge`"
    if bridge.uplink:
        return f"the core site of the cloud bridge {bridge.node} does not offer it: add it to the --tasks there"
    return f"the cloud bridge {bridge.node} does not offer it and does not reach its core site: look at its log"


def _share(question: Question) -> Decision | None:
    if question.me.ran < WORTH_SPLITTING_MS:
        return None
    nodes = [one for one in (question.me, *question.others) if one.offers and one.free and not _doubtful(one)]
    slots = [one for one in nodes for _ in range(min(one.free, MOST_PARTS + 1))]
    if len(slots) < 2:
        return None
    slots = _fair(nodes) if len(slots) > MOST_PARTS else slots
    fastest = min(one.ran for one in slots)
    slots = [one for one in slots if one.ran <= SLOWEST_PART * fastest]
    if len(slots) < 2:
        return None
    speeds = [1.0 / max(one.ran, 0.001) for one in slots]
    total = sum(speeds)
    shares = tuple((one.node, speed / total) for one, speed in zip(slots, speeds, strict=True))
    free = ", ".join(f"{one.free} on {one.node}" for one in nodes)
    return Decision("share", f"in {len(shares)} parts: free workers are {free}", shares=shares)


def _doubtful(one: Candidate) -> bool:
    """Whether trouble with this node is likely to cost more than the whole task takes there: then it gets no part."""
    return one.done - one.average > one.ran


def _fair(nodes: list[Candidate]) -> list[Candidate]:
    """At most MOST_PARTS workers, taken from each node in turn."""
    slots: list[Candidate] = []
    depth = 0
    while len(slots) < MOST_PARTS:
        slots += [one for one in nodes if one.free > depth]
        depth += 1
    return slots[:MOST_PARTS]


def _soonest(question: Question) -> Decision:
    me, others = question.me, question.others
    if me.offers and me.done <= MARGIN_MS:  # nobody is sooner by as much
        return _here(me.queued, me.done)
    best = _soonest_of(others)
    if best is None:
        return _here(me.queued, me.done) if me.offers else _last_resort(question)
    average = _soonest_on_average(others)
    if me.offers and best.done + MARGIN_MS >= me.done:
        return _still_here(me.queued, me.done, best, _passed_over(average, me.average))
    here = f"{me.queued} queued and {me.done:.0f} ms here" if me.offers else f"{question.name} is not offered here"
    return Decision("there", f"{here}, {best.done:.0f} ms there" + _passed_over(average, best.average), best.node)


def _glance(queued: int, done: float, look_up: Callable[[], Lazily]) -> Decision | None:
    """Here, where nobody is sooner by enough."""
    if done <= MARGIN_MS:
        return _soon_here(queued, round(done))
    others = look_up()
    best = others.soonest
    if best is None:
        return _here(queued, done)
    if best.done + MARGIN_MS < done:
        return None
    return _still_here(queued, done, best, _passed_over(others.on_average, done))


def _soonest_of(others: Sequence[Candidate]) -> Candidate | None:
    return min(others, key=lambda other: other.done, default=None)


def _soonest_on_average(others: Sequence[Candidate]) -> Candidate | None:
    return min(others, key=lambda other: other.average, default=None)


def _here(queued: int, done: float) -> Decision:
    return Decision("here", f"{queued} queued, {done:.0f} ms here")


@lru_cache(maxsize=1024)
def _soon_here(queued: int, done: int) -> Decision:
    return _here(queued, done)


def _still_here(queued: int, done: float, best: Candidate, passed_over: str) -> Decision:
    there = f"{best.done:.0f} ms on {best.node}"
    return Decision("here", f"{queued} queued, {done:.0f} ms here, {there}{passed_over}")


def _passed_over(soonest: Candidate | None, chosen: float) -> str:
    """What speaks against the node that would have been chosen by the averages alone, if it is not the chosen one,
    whose average is this."""
    if soonest is None or soonest.average + MARGIN_MS >= chosen:
        return ""
    failed = round(soonest.faults)
    if failed:
        return f"; {soonest.node} is sooner, but failed {'once' if failed == 1 else f'{failed} times'} lately"
    return f"; {soonest.node} is sooner on average, but may add {soonest.p95:.0f} ms"


def _last_resort(question: Question) -> Decision:
    if question.me.offers:
        return Decision("here", "no other node can take it")
    if question.clouds:
        return Decision("there", "only the cloud offers it", question.clouds[0].node)
    return Decision("wait", f"no node that offers {question.name} is there now")


def threshold(question: Question) -> Decision:
    """The host selector of Mir et al., Sensors 2022, 22, 8778: while the mean of CPU and memory is below one half,
    by weighted round robin; then the next node; then the core."""
    nodes = [one for one in (question.me, *question.others) if one.offers and one.node not in question.via]
    idle = [one for one in nodes if _load(one) < BUSY]
    if question.via and question.me in idle:
        return Decision("here", f"load {_load(question.me):.2f} is below {BUSY}")
    if idle:
        slots = [one for one in idle for _ in range(max(1, min(one.workers, MOST_WEIGHT)))]
        chosen = slots[question.turn % len(slots)]
        return _on(question, chosen, f"its turn, and its load {_load(chosen):.2f} is below {BUSY}")
    if question.clouds:
        return Decision("there", f"every node's load is {BUSY} or above", question.clouds[0].node)
    if nodes:
        least = min(nodes, key=_load)
        return _on(question, least, f"every load is {BUSY} or above, and {_load(least):.2f} is the least")
    return _last_resort(question)


def _load(one: Candidate) -> float:
    return (one.cpu + one.memory) / 2


def queue_wait(question: Question) -> Decision:
    """The rule of FogComputing (Dongfeng-He): with W the wait here, F the best neighbour's wait and round trip, and R
    what the task requires: W <= R here; else the neighbour if F < W; else heavy tasks to the cloud, the rest here."""
    me = question.me
    fresh = [one for one in question.others if one.offers and one.node not in question.via]
    best = min(fresh, key=lambda other: other.wait + other.travel, default=None)
    required = float("inf") if question.left is None else question.left - me.ran
    if me.offers and (me.wait <= required or len(question.via) >= MOST_HOPS):
        return Decision("here", f"a wait of {me.wait:.0f} ms is within {required:.0f} ms")
    if best is not None and (not me.offers or best.wait + best.travel < me.wait):
        there = f"{best.wait + best.travel:.0f} ms there"
        return Decision("there", f"a wait of {me.wait:.0f} ms here, {there}", best.node)
    if question.weight == "heavy" and question.clouds:
        return Decision("there", "heavy, and every wait here is too long", question.clouds[0].node)
    return _last_resort(question)


def _on(question: Question, chosen: Candidate, why: str) -> Decision:
    if chosen.node == question.me.node:
        return Decision("here", why)
    return Decision("there", why, chosen.node)


POLICIES: dict[str, Policy] = {"predictive": predictive, "threshold": threshold, "queue-wait": queue_wait}
GLANCES: dict[str, Glance] = {"predictive": _glance}
"""What the policy says of a light task that was asked for here, and could be run, if that needs no question."""
