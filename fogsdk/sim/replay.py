"""What a real node recorded, fed to a fresh core: the same events at the same times must get the same answers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fogsdk.core.commands import Command, Note, Send, Start, Write
from fogsdk.core.events import Asked, Event, JobFailed, JobLost, LinkDown, LinkUp, NodeHeard
from fogsdk.core.identity import Identity
from fogsdk.core.node import Node
from fogsdk.node.recorder import RAISED, Recorded, digest, read
from fogsdk.wire.messages import (
    Birth,
    Cancelled,
    Expired,
    Failed,
    Gone,
    Refused,
    Result,
    Task,
)

MOST_TOLD = 200
"""What is told one by one; the rest is counted."""
_OUTCOMES = (Result, Failed, Refused, Expired, Cancelled)


@dataclass
class Life:
    """One life of the node: what happened in it, and where the answers began to differ, if they did.

    ``history`` is who came, went and failed, with times in seconds from the first event; ``more`` is what is beyond.
    """

    node: str
    role: str
    events: int = 0
    seconds: float = 0.0
    kinds: Counter[str] = field(default_factory=Counter)
    tasks: Counter[str] = field(default_factory=Counter)
    outcomes: Counter[str] = field(default_factory=Counter)
    history: list[tuple[float, str]] = field(default_factory=list)
    more: int = 0
    divergence: str = ""

    def tell(self, at: float, what: str) -> None:
        """Something is worth telling."""
        if len(self.history) < MOST_TOLD:
            self.history.append((at, what))
        else:
            self.more += 1

    def told(self) -> dict[str, Any]:
        """What is to be said about it, for JSON."""
        return {
            "node": self.node,
            "role": self.role,
            "events": self.events,
            "seconds": self.seconds,
            "kinds": dict(self.kinds.most_common()),
            "tasks": dict(self.tasks.most_common()),
            "outcomes": dict(self.outcomes.most_common()),
            "history": self.history,
            "more": self.more,
            "same": not self.divergence,
            "divergence": self.divergence,
        }


def replay(path: Path, tell: Callable[[int], None] = lambda _: None) -> list[Life]:
    """Feed a record to fresh cores, one for each life; ``tell`` is called with the number of events now and then.

    Raises ConfigError for a file that is no record.
    """
    return _replay(read(path), tell)


def _replay(records: Iterable[Identity | Recorded], tell: Callable[[int], None]) -> list[Life]:
    lives: list[Life] = []
    node: Node | None = None
    began = 0
    for record in records:
        if isinstance(record, Identity):
            node = Node(record)
            node.start()
            lives.append(Life(record.node, record.role))
            continue
        if node is None:
            continue  # the head of the file is gone
        life = lives[-1]
        began = record.now if record.number == 1 else began
        life.events, life.seconds = record.number, (record.now - began) / 1000
        _look(life, record.event)
        if not life.divergence:
            life.divergence = _step(life, node, record)
        if record.number % 1000 == 0:
            tell(record.number)
    return lives


def _step(life: Life, node: Node, record: Recorded) -> str:
    """Feed one event to the core; returns how its answer differs from the recorded one."""
    answer: list[Command] | None = None
    try:
        answer = node.handle(record.event, record.now)
        node.catch_up()
    except Exception as error:  # noqa: BLE001 - that it raised is what is to be shown
        raised = f"{type(error).__name__}: {error}"
        life.tell(life.seconds, f"the core raised {raised}")
    else:
        _look_at_answer(life, answer)
    if digest(answer) == record.digest:
        return ""
    now = "it raises" if answer is None else "\n".join(f"  {command}" for command in answer) or "  nothing"
    then = "it raised" if record.digest == RAISED else f"the answer had the digest {record.digest.hex()}"
    return f"event {record.number} at {life.seconds:.3f} s: {record.event}\n{then}; now it is\n{now}"


# ---------------------------------------------------------------- what happened


def _look(life: Life, event: Event) -> None:
    life.kinds[type(event).__name__] += 1
    if isinstance(event, Asked) and isinstance(event.message, Task):
        life.tasks[event.message.name] += 1
    what = _worth_telling(event)
    if what:
        life.tell(life.seconds, what)


def _worth_telling(event: Event) -> str:
    """What an event says of who came, went or failed; "" where it says no such thing."""
    match event:
        case LinkDown(link):
            return f"the link to {link} was lost"
        case LinkUp(link):
            return f"the link to {link} stood"
        case NodeHeard(_, node, Gone()):
            return f"{node} was gone"
        case NodeHeard(_, node, Birth() as birth):
            return f"{node} was there, {birth.role}, incarnation {birth.incarnation}"
        case JobLost(job, why):
            return f"job {job} was lost: {why}"
        case JobFailed(job, type, message):
            return f"job {job} failed: {type}: {message[:80]}"
    return ""


def _look_at_answer(life: Life, answer: list[Command]) -> None:
    for command in answer:
        if isinstance(command, Send) and isinstance(command.message, _OUTCOMES):
            life.outcomes[type(command.message).__name__] += 1
        elif isinstance(command, Note):
            life.tell(life.seconds, f"{command.kind}: {command.text[:120]}")
        elif isinstance(command, Start):
            life.outcomes["jobs begun"] += 1
        elif isinstance(command, Write):
            life.outcomes["written"] += 1
