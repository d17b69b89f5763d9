"""The oracle: knows what was handed in and what came back, and says which guarantees were broken.

It sees what users see (each outcome, once) and what workers see (what ran), and nothing of what the cores think.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

from fogsdk.core.commands import Settled, Start
from fogsdk.core.events import JobDone, JobEvent
from fogsdk.sim import jobs
from fogsdk.sim.agenda import MILLISECOND, SECOND
from fogsdk.wire.messages import Expired, Failed, Refused, Result, Task

MOST_TOLD = 20
"""Broken guarantees that are told in full; the others are counted."""
_OWN_END = {"broken": ("ValueError",), "deadly": ("WorkerDied",)}

Outcome = Result | Failed | Refused | Expired
Judge = Callable[["Record", Outcome, int], str]
"""Says what is wrong with an outcome that came at a time (microseconds), and nothing where it may be so."""


@dataclass(slots=True)
class Record:
    """One task: what it was, and what became of it. Times are in microseconds."""

    number: int
    what: str
    at: int
    deadline: int | None
    judge: Judge
    outcome: str = ""
    settled: int = 0
    given_up: bool = False


class Oracle:
    """Judges one run. ``open`` counts what is not over: tasks, posted tasks and sessions."""

    def __init__(self) -> None:
        self.records: dict[tuple[str, str], Record] = {}
        self.broken: Counter[str] = Counter()
        self.told: list[str] = []
        self.open = 0
        self.runs = 0
        self._ran: dict[str, tuple[int, dict[object, None]]] = {}

    # ------------------------------------------------------------ what is seen

    def handed_in(self, device: str, task: Task, what: str, number: int, now: int, judge: Judge) -> None:
        """An owner wants a task."""
        self.records[device, task.id] = Record(number, what, now, task.deadline, judge)
        self.open += 1

    def given_up(self, device: str, id: str) -> bool:
        """An owner wants a task no longer; False where it has its outcome already."""
        record = self.records[device, id]
        if record.outcome:
            return False
        record.given_up = True
        self.open -= 1
        return True

    def owner_died(self, device: str) -> None:
        """What a device had not got back is nobody's any more."""
        for (owner, _), record in self.records.items():
            if owner == device and not record.outcome and not record.given_up:
                record.given_up = True
                self.open -= 1

    def settled(self, device: str, settled: Settled, now: int) -> bool:
        """An owner got an outcome. True if it was wanted, and the first."""
        record = self.records[device, settled.id]
        if record.given_up:
            self.break_("delivered after it was given up", f"{device}/{settled.id}")
            return False
        if record.outcome:
            self.break_("delivered twice", f"{device}/{settled.id}: {record.outcome}, then {settled.outcome}")
            return False
        record.outcome, record.settled = type(settled.outcome).__name__, now
        self.open -= 1
        wrong = record.judge(record, settled.outcome, now)
        if wrong:
            self.break_("wrong outcome", f"{device}/{settled.id} ({record.what} {record.number}): {wrong}")
        return True

    def ended(self, node: str, life: int, start: Start, event: JobEvent) -> None:
        """A worker is done with a job. A node that has a result does not run the same again.

        What is kept, a posted task or a step, it may: the result did not count if another had the record meanwhile.
        """
        self.runs += 1
        if not isinstance(event, JobDone) or not start.sender or start.kind == "step":
            return
        known_life, ran = self._ran.get(node, (0, {}))
        if known_life != life:
            ran = {}
            self._ran[node] = (life, ran)
        key = (start.sender, start.id, start.kind, start.bodies)
        if key in ran:
            self.break_("ran twice", f"{start.kind} of {start.sender}/{start.id} on {node}, which had its result")
        ran[key] = None

    def finish(self) -> None:
        """The run is over, all faults have long ended: what is not settled now is lost."""
        for (device, id), record in self.records.items():
            if not record.outcome and not record.given_up:
                at = record.at / SECOND
                self.break_("lost", f"{device}/{id} ({record.what} {record.number}), handed in at {at:.3f} s")

    def break_(self, guarantee: str, story: str) -> None:
        """A guarantee is broken."""
        self.broken[guarantee] += 1
        if len(self.told) < MOST_TOLD:
            self.told.append(f"{guarantee}: {story}")


def ordinary(record: Record, outcome: Outcome, now: int) -> str:
    """The judge of an ordinary task: it has the outcome that its arguments say, unless its deadline passed before."""
    own = _OWN_END.get(record.what, ())
    match outcome:
        case Result():
            return f"result {outcome.body!r}" if own or outcome.body != jobs.result(record.number) else ""
        case Failed():
            return "" if outcome.error in (*own, "WorkerDied") else f"{outcome.error}: {outcome.message}"
        case Expired():
            early = record.deadline is None or now // MILLISECOND - record.at // MILLISECOND < record.deadline
            return f"{outcome.message} ({record.deadline} ms)" if early else ""
        case Refused():
            if record.what == "deadly" and outcome.reason == "quarantined":
                return ""
            return f"refused by {outcome.node}: {outcome.reason}: {outcome.message}"
