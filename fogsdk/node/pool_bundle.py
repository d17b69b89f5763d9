"""What a worker has said so far about a bundle that it runs, call by call."""

from __future__ import annotations

from typing import Any

from fogsdk.core.commands import Start
from fogsdk.core.events import JobApart, JobDone
from fogsdk.wire import bundles
from fogsdk.wire.messages import Body


class Bundle:
    """The outcomes of a bundle's calls, in order."""

    def __init__(self, job: Start) -> None:
        self.job = job
        self._left = len(job.bodies)
        self._outcomes: list[bundles.Item] = []
        self._ran = 0.0

    def add(self, fields: list[Any], results: tuple[Body, ...]) -> JobDone | None:
        """Take in one more outcome; returns the job's where it was the last."""
        if fields[1] == "done":
            self._outcomes.append(results[0])
            self._ran += fields[2]
        else:
            self._outcomes.append(_item(fields))
            self._ran += fields[2] if fields[1] == "failed" else 0.0
        self._left -= 1
        return None if self._left else JobDone(self.job.job, bundles.write(self._outcomes), self._ran)

    def apart(self, at_work: bool) -> JobApart:
        """The calls that are not done go on alone; whether the next of them is ``at_work`` already."""
        return JobApart(self.job.job, tuple(self._outcomes), self._ran, at_work)


def _item(fields: list[Any]) -> bundles.Item:
    match fields:
        case [_, "failed", _, type_, message, traceback]:
            return bundles.failed(type_, message, traceback)
    _, _, reason, message, seconds = fields
    return bundles.refused(reason, message, None if seconds is None else round(seconds * 1000))
