"""What ``fog watch`` makes of the traffic of a site: each task, from its sending to its outcome."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from typing import Any

from fogsdk.cli.observer import Heard
from fogsdk.core.held import Key
from fogsdk.errors import WireError
from fogsdk.wire import bundles
from fogsdk.wire.messages import (
    Accepted,
    Ask,
    Beat,
    Birth,
    Cancel,
    Cancelled,
    Expired,
    Failed,
    Gone,
    Hop,
    Kept,
    Message,
    Progress,
    Refused,
    Replica,
    Result,
    Seek,
    Task,
)

MOST = 10_000
"""Tasks that are kept in mind; the oldest are forgotten, as the answers of some are never heard."""


@dataclass
class Sighting:
    """One task as it is now. ``seen`` and ``heard`` tell when the first and the latest news of it came (on
    ``time.perf_counter()``), ``hops`` in the end where it ran and why."""

    id: str
    sender: str
    seen: float
    heard: float
    name: str = "?"
    node: str = ""
    holder: str = ""
    state: str = ""
    detail: str = ""
    part: int | None = None
    hops: tuple[Hop, ...] = ()
    settled: bool = False
    calls: int = 1

    @property
    def milliseconds(self) -> float:
        """From its being first seen to the latest news."""
        return (self.heard - self.seen) * 1000

    @property
    def why(self) -> list[str]:
        """The reasons of its placements."""
        return [_line(hop) for hop in self.hops]

    def describe(self) -> dict[str, Any]:
        """The task for JSON."""
        return {
            "id": self.id,
            "name": self.name,
            "sender": self.sender,
            "node": self.node or None,
            "state": self.state,
            "time_ms": round(self.milliseconds, 3),
            "detail": self.detail or None,
            "part": self.part,
            "why": self.why,
        }


def _line(hop: Hop) -> str:
    part = "" if hop.part is None else f" part {hop.part}"
    return f"{hop.node} {hop.action}{part}{': ' + hop.why if hop.why else ''}"


class Sightings:
    """The tasks on their way, oldest first."""

    def __init__(self) -> None:
        self.tasks: OrderedDict[Key, Sighting] = OrderedDict()
        self._settled: OrderedDict[Key, None] = OrderedDict()
        self._bundles: OrderedDict[Key, Sighting] = OrderedDict()

    def take(self, heard: Heard) -> Sighting | None:
        """Take in a message; returns the task that it is about, unless it tells nothing new. A task that is
        settled by it is no longer among ``tasks``."""
        message = heard.message
        if isinstance(message, (Ask, Birth, Gone, Beat, Replica, Seek, Kept)):
            return None
        key = heard.at.sender, message.id
        if key not in self.tasks and (key in self._settled or _answers_a_question(message)):
            return None
        sighting = self.tasks.get(key)
        if sighting is None:
            sighting = self.tasks[key] = self._first(message.id, heard)
        sighting.heard = heard.when
        if not _update(sighting, heard):
            return None
        if sighting.calls > 1:
            self._bundles[key] = sighting
        if sighting.settled:
            del self.tasks[key]
            self._settled[key] = None
        for kept in (self.tasks, self._settled, self._bundles):
            if len(kept) > MOST:
                kept.popitem(last=False)
        return sighting

    def _first(self, id: str, heard: Heard) -> Sighting:
        """A task that was not seen before: where it goes on from a bundle, that was."""
        sighting = Sighting(id, heard.at.sender, heard.when, heard.when)
        bundle = self._bundles.get((heard.at.sender, id.rpartition("-")[0]))
        if bundle is not None:
            sighting.seen, sighting.name, sighting.node = bundle.seen, bundle.name, bundle.node
        return sighting


def _answers_a_question(message: Message) -> bool:
    """Whether it is the answer to an Ask about a task that is not there: these measure how far a node is."""
    return isinstance(message, (Cancel, Cancelled)) or (isinstance(message, Refused) and message.reason == "unknown-id")


def _update(sighting: Sighting, heard: Heard) -> bool:
    """Take in a message about a task. False where it only says again what is known."""
    match heard.message:
        case Task() as task:
            sighting.state = "sent" if sighting.name == "?" else "sent again"
            sighting.name, sighting.part = task.name, task.part
            sighting.node, sighting.holder = heard.at.node, ""
            sighting.detail = f"after {', '.join(task.via)}" if task.via else ""
            sighting.calls = task.count
            if task.count > 1:
                sighting.detail = f"a bundle of {task.count} calls"
        case Cancel():
            sighting.state = "cancel asked"
        case Accepted() as accepted:
            if sighting.holder == accepted.node or sighting.state == "running":
                return False
            sighting.holder = sighting.node = accepted.node
            sighting.state = "accepted"
            sighting.detail = "" if accepted.wait is None else f"expects {accepted.wait} ms"
        case Progress() as progress:
            sighting.state, sighting.detail = "running", f"{progress.fraction * 100:.0f} %"
        case Result() as result:
            _settle(sighting, "done", _of_bundle(sighting, result) if sighting.calls > 1 else "", result.hops)
        case Failed() as failed:
            _settle(sighting, "failed", f"{failed.error}: {failed.message}", failed.hops)
        case Refused() as refused:
            # Most senders try again elsewhere, or later: this need not be the end of it.
            sighting.state, sighting.node = "refused", refused.node
            sighting.detail = f"{refused.reason}: {refused.message}"
        case Expired() as expired:
            _settle(sighting, "deadline exceeded", expired.message, expired.hops)
        case Cancelled():
            _settle(sighting, "cancelled", "", ())
    return True


def _of_bundle(sighting: Sighting, result: Result) -> str:
    try:
        outcomes = bundles.read_outcomes(result, sighting.node, [sighting.id] * sighting.calls)
    except WireError as error:
        return f"what became of its {sighting.calls} calls cannot be read: {error}"
    counts = {
        "done": sum(isinstance(each, Result) for each in outcomes),
        "failed": sum(isinstance(each, Failed) for each in outcomes),
        "refused": sum(isinstance(each, Refused) for each in outcomes),
        "to go on alone": outcomes.count(None),
    }
    return f"of {sighting.calls} calls " + ", ".join(f"{count} {what}" for what, count in counts.items() if count)


def _settle(sighting: Sighting, state: str, detail: str, hops: tuple[Hop, ...]) -> None:
    sighting.settled, sighting.state, sighting.detail, sighting.hops = True, state, detail, hops
    if hops:
        sighting.node = hops[0].node
