"""What simulated tasks are, and what workers make of them.

A task's arguments say how it will go: ``number microseconds what part`` as plain text. Bodies are opaque on the way, so
any bytes will do; a result names the task that it is of, so that a wrong one shows.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from fogsdk.core.commands import Start
from fogsdk.core.events import JobDone, JobEvent, JobFailed, JobLost, JobSplit
from fogsdk.sim.agenda import MILLISECOND
from fogsdk.wire import bundles, values
from fogsdk.wire.messages import Body, Hop, TaskInfo

PUZZLE = 2 * MILLISECOND
"""Microseconds that splitting or merging takes."""

OFFERED = {
    info.name: info
    for info in (
        TaskInfo("tiny", weight="light"),
        TaskInfo("light", weight="light"),
        TaskInfo("middle", weight="middle"),
        TaskInfo("split", weight="middle", split=True),
        TaskInfo("heavy", weight="heavy", fallback="fog"),
        TaskInfo("broken", weight="light"),
        TaskInfo("deadly", weight="light"),
        TaskInfo("count", weight="light"),
    )
}
"""``broken`` raises, and ``deadly`` kills its worker, each time. ``count`` is the step of a session: one more."""


@dataclass(frozen=True, slots=True)
class Job:
    """What the arguments of a task say. ``part`` is ``index/count`` in a part of a split task."""

    number: int
    micros: int
    what: str
    part: str = ""

    def body(self) -> bytes:
        """The arguments themselves."""
        return f"{self.number} {self.micros} {self.what} {self.part}".encode()


def read(body: bytes) -> Job:
    """Take arguments apart."""
    number, micros, what, part = body.decode().split(" ")
    return Job(int(number), int(micros), what, part)


def result(number: int, part: str = "") -> bytes:
    """The one right result of a task, or of its part."""
    return f"of {number} {part}".encode()


def micros(start: Start) -> int:
    """How long a job takes on a machine of ordinary speed, in microseconds."""
    return read(bytes(start.bodies[0])).micros if start.kind in ("run", "step") else PUZZLE


def call(bundle: Start, index: int) -> Start:
    """One call of a bundle, as the job that it would be alone."""
    return replace(bundle, kind="run", bodies=(bundle.bodies[index],), id=bundles.id_of(bundle.id, index))


def item(event: JobEvent) -> bundles.Item:
    """What became of one call, as it is in the bundle's result."""
    match event:
        case JobDone():
            return event.value
        case JobFailed():
            return bundles.failed(event.type, event.message, event.traceback)
    raise ValueError(f"not an outcome: {event!r}")


def end(start: Start, took: int, hops: tuple[Hop, ...] = ()) -> JobEvent:
    """What becomes of a job; ``took`` is in microseconds."""
    ran = took / MILLISECOND
    if start.kind == "merge":
        return JobDone(start.job, _merged(start.bodies), ran)
    job = read(bytes(start.bodies[0]))
    if start.kind == "split":
        count = len(start.shares)
        parts = [
            Job(job.number, int(job.micros * share), job.what, f"{index}/{count}")
            for index, share in enumerate(start.shares)
        ]
        return JobSplit(start.job, tuple(part.body() for part in parts), ran)
    if start.kind == "step":
        counted = values.encode(1 + (values.decode(start.bodies[1]) or 0))
        return JobDone(start.job, values.encode([counted, counted]), ran)
    if job.what == "broken":
        return JobFailed(start.job, "ValueError", "broken, as it always is", "", ran)
    if job.what == "deadly":
        return JobLost(start.job, "killed by signal 11")
    return JobDone(start.job, result(job.number, job.part), ran, hops)


def _merged(bodies: tuple[Body, ...]) -> bytes:
    """The result of a split task, if these are all of its parts; else no right result at all."""
    pieces = [bytes(body).decode().split(" ") for body in bodies]
    number = pieces[0][1]
    whole = [f"{index}/{len(pieces)}" for index in range(len(pieces))]
    return result(int(number)) if pieces == [["of", number, part] for part in whole] else b"not all parts of one task"
