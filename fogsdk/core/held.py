"""One task that a node took on: its states, and how it may pass from one to the next.

    QUEUED --> RUNNING --> DONE          on a worker here
    QUEUED --> AWAY ----> DONE           with another node, or waiting for one; may come back to QUEUED
    QUEUED --> SPLITTING --> SHARED --> MERGING --> DONE
    RUNNING, SPLITTING, MERGING may return to QUEUED or SHARED when their worker dies; every state may go to DONE.

A task is in one state at a time; an illegal step raises, since only a bug of ours can ask for it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum
from typing import TYPE_CHECKING, Any

from fogsdk.core.costs import LIGHT_BELOW_MS
from fogsdk.wire.limits import HOPS
from fogsdk.wire.messages import Body, Hop, Result, Task, TaskInfo

if TYPE_CHECKING:
    from fogsdk.core.outcomes import Answer


class State(Enum):
    """Where a task is in its life on this node."""

    QUEUED = "queued"
    RUNNING = "running"
    AWAY = "away"
    SPLITTING = "splitting"
    SHARED = "shared"
    MERGING = "merging"
    DONE = "done"

    __hash__ = object.__hash__  # there is one of each; Enum's own takes longer than all else in a step


_STEPS: dict[State, frozenset[State]] = {
    State.QUEUED: frozenset({State.RUNNING, State.AWAY, State.SPLITTING, State.MERGING, State.DONE}),
    State.RUNNING: frozenset({State.QUEUED, State.DONE}),
    State.AWAY: frozenset({State.QUEUED, State.DONE}),
    State.SPLITTING: frozenset({State.QUEUED, State.SHARED, State.DONE}),
    State.SHARED: frozenset({State.QUEUED, State.DONE}),
    State.MERGING: frozenset({State.QUEUED, State.DONE}),
    State.DONE: frozenset(),
}

PUZZLE_MS = 5.0
"""Milliseconds that splitting or merging is assumed to take."""

Key = tuple[str, str]
"""Who asked, and the id that they gave the task: ids of different senders do not meet."""


def size_of(task: Task) -> int:
    """Bytes of a task's arguments, and of the state that came with them."""
    return len(task.body) if task.state is None else len(task.body) + len(task.state)


@dataclass(slots=True, eq=False)
class Held:
    """A task on this node. Times are in milliseconds; ``job_kind`` is what a worker is to do with it next. A bundle has
    ``calls``, and their number for its ``share``. With ``report`` its outcome goes there, and not to its sender."""

    key: Key
    task: Task
    info: TaskInfo
    weight: str
    arrived: int
    expires: int | None
    cost: float = 0.0
    part: int | None = None
    link: str = ""
    as_json: bool = False
    state: State = State.QUEUED
    why: str = ""
    job_kind: str = "run"
    job: int | None = None
    queued_at: int = 0
    started: int = 0
    queued: float = 0.0
    losses: int = 0
    lost: tuple[Hop, ...] = ()
    ledger_id: str = ""
    announced: bool = False
    fraction: float = 0.0
    told_at: int = 0
    parent: Held | None = None
    share: float = 1.0
    plan: tuple[tuple[str, float], ...] = ()
    parts: tuple[Held, ...] = ()
    results: tuple[Result | None, ...] = ()  # of each part, as far as they are there
    split_ran: float = 0.0
    calls: tuple[Body, ...] = ()
    report: Callable[[Answer, int], list[Any]] | None = None
    size: int = field(init=False)
    """Bytes of its arguments, and of the state that came with them."""
    quick: bool = field(init=False)
    """Whether it is a light task that is as short as it should be."""

    def __post_init__(self) -> None:
        self.size = size_of(self.task)
        self.quick = self.weight == "light" and self.cost <= LIGHT_BELOW_MS

    def to(self, state: State) -> None:
        """Step to another state. Raises RuntimeError where the table has no such step."""
        if state not in _STEPS[self.state]:
            raise RuntimeError(f"task {self.key}: no step from {self.state.value} to {state.value}")
        self.state = state

    @property
    def job_cost(self) -> float:
        """How long the next job is likely to take."""
        return self.cost if self.job_kind == "run" else PUZZLE_MS

    @property
    def undeclared(self) -> bool:
        """Whether nobody said how much work it is: where its run times say that it is heavy, it need not go to a
        cloud."""
        return (self.task.weight or self.info.weight) == "auto"

    def bodies(self) -> tuple[Body, ...]:
        """What the next job works on."""
        if self.job_kind == "merge":
            return tuple(result.body for result in self.results if result is not None)
        if self.calls:
            return self.calls
        return (self.task.body,) if self.task.state is None else (self.task.body, self.task.state)

    def lose(self, node: str, why: str) -> None:
        """Remember for the trace that ``node`` lost it."""
        self.lost = (*self.lost, Hop(node, "lost", why, self.part))[-8:]

    def trace_of_parts(self, node: str, now: int, failed: tuple[Hop, ...] = (), ran: float = 0.0) -> tuple[Hop, ...]:
        """The trace of a task that was split on this ``node``: the splitting, every part, the merging."""
        own = Hop(node, "split", self.why, None, self.queued, self.split_ran, float(now - self.arrived))
        parts = [hop for result in self.results if result is not None for hop in result.hops]
        merged = () if None in self.results else (Hop(node, "merged", "", None, 0.0, ran),)
        return (own, *parts, *failed, *merged, *self.lost)[:HOPS]
