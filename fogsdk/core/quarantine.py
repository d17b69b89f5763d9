"""Quarantine: tasks that killed worker after worker are not run any more for a while.

First a task with the same arguments alone; once several arguments of one name did so, the whole name. Each further
offence, also one soon after a quarantine is over, doubles its time. What a neighbour has in quarantine, with the same
arguments, is not run here either: it would kill the workers of one node after the other. Times are in milliseconds.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from hashlib import blake2b

from fogsdk.core.commands import Note
from fogsdk.wire.limits import HOPS, NAME_LENGTH
from fogsdk.wire.messages import Body, Refused, Task

FIRST_TIME = 600_000
"""Milliseconds of the first quarantine."""
LONGEST_TIME = 86_400_000
MOST_ARGUMENTS = 3
"""Different arguments of one name that may offend before the whole name is in quarantine."""
MOST = 256
"""Offenders that are remembered; the oldest are forgotten."""

ENDS = 512 * 1024
"""Bytes at either end of large arguments by which they are told apart."""

HEARSAY = 60_000
"""Milliseconds for which a neighbour's last word on what it has in quarantine counts."""

_SHOWN = NAME_LENGTH - 9  # characters of a name before the hash of arguments

Offender = tuple[str, str]
"""A task's name, and the hash of its arguments: empty for all of them."""


@dataclass(slots=True)
class _Sentence:
    since: int
    time: int
    why: str

    @property
    def until(self) -> int:
        return self.since + self.time


class Quarantine:
    """The offenders of one node. One whose time is over is remembered for as long again."""

    def __init__(self, node: str) -> None:
        self._node = node
        self._sentences: OrderedDict[Offender, _Sentence] = OrderedDict()
        self._elsewhere: dict[str, tuple[tuple[str, ...], int]] = {}

    def offend(self, name: str, body: Body, why: str, now: int) -> Note:
        """A task of this name with these arguments killed worker after worker."""
        self._forget(now)
        offender = (name, _hash(body))
        self._sentence(offender, why, now)
        arguments = [each for each in self._sentences if each[0] == name and each[1]]
        if len(arguments) >= MOST_ARGUMENTS:
            offender = (name, "")
            self._sentence(offender, f"{len(arguments)} different arguments; the last time: {why}", now)
        minutes = self._sentences[offender].time // 60_000
        return Note("quarantined", f"{_label(offender)} is not run for {minutes} minutes: {why}")

    def _sentence(self, offender: Offender, why: str, now: int) -> None:
        before = self._sentences.pop(offender, None)
        time = FIRST_TIME if before is None else min(LONGEST_TIME, 2 * before.time)
        self._sentences[offender] = _Sentence(now, time, why)
        if len(self._sentences) > MOST:
            self._sentences.popitem(last=False)

    def _forget(self, now: int) -> None:
        for offender in [each for each, sentence in self._sentences.items() if now >= sentence.until + sentence.time]:
            del self._sentences[offender]

    def refusal(self, task: Task, now: int) -> Refused | None:
        """The answer to one who wants a task run that is in quarantine."""
        if not self._sentences and not self._elsewhere:
            return None
        for offender in ((task.name, ""), (task.name, _hash(task.body))):
            sentence = self._sentences.get(offender)
            if sentence is not None and now < sentence.until:
                left = sentence.until - now
                what = f"{task.name} with these arguments" if offender[1] else f"{task.name}, with any arguments,"
                message = (
                    f"{what} is not run on {self._node} for {left / 60_000:.1f} more minutes, as its workers keep "
                    f"dying: {sentence.why}. When that is mended: fog unquarantine {task.name}"
                )
                return Refused(task.id, self._node, "quarantined", message, left)
        return self._hearsay(task, now)

    def _hearsay(self, task: Task, now: int) -> Refused | None:
        label = _label((task.name, _hash(task.body)))
        for node, (names, at) in self._elsewhere.items():
            if label in names and now - at < HEARSAY:
                message = (
                    f"{task.name} with these arguments is not run on {self._node}, as its workers die on {node}. "
                    f"When that is mended: fog unquarantine {task.name}"
                )
                return Refused(task.id, self._node, "quarantined", message, HEARSAY)
        return None

    def suspects(self, name: str, now: int) -> bool:
        """Whether some calls of a task are in quarantine, here or on a neighbour."""
        if not self._sentences and not self._elsewhere:
            return False
        heard = [names for names, at in self._elsewhere.values() if now - at < HEARSAY]
        labels = {label for names in [*heard, self.names(now)] for label in names}
        known = labels | {label.rpartition("#")[0] for label in labels}  # a name may have a # of its own
        return not known.isdisjoint((name, name[:_SHOWN]))

    def heard(self, node: str, names: tuple[str, ...], now: int) -> None:
        """A neighbour said what it has in quarantine."""
        if names:
            self._elsewhere[node] = (names, now)
        else:
            self._elsewhere.pop(node, None)

    def lift(self, name: str) -> list[str]:
        """Forget all offences of a task, or of all with an empty name, here and by hearsay; returns what was locked up
        or remembered here."""
        self._elsewhere.clear()
        lifted = [offender for offender in self._sentences if name in ("", offender[0])]
        for offender in lifted:
            del self._sentences[offender]
        return [_label(offender) for offender in lifted]

    def serving(self, now: int) -> dict[str, tuple[str, int]]:
        """What is in quarantine now, as NAME or NAME#HASH: why, and for how many milliseconds more."""
        return {
            _label(offender): (sentence.why, sentence.until - now)
            for offender, sentence in self._sentences.items()
            if now < sentence.until
        }

    def names(self, now: int) -> tuple[str, ...]:
        """The same for a heartbeat: the latest."""
        return tuple(self.serving(now))[-HOPS:] if self._sentences else ()


def _hash(body: Body) -> str:
    if len(body) > 2 * ENDS:  # to read all of it would keep others waiting
        body = b"%d" % len(body) + bytes(body[:ENDS]) + bytes(body[-ENDS:])
    return blake2b(body, digest_size=4).hexdigest()


def _label(offender: Offender) -> str:
    name, arguments = offender
    return f"{name[:_SHOWN]}#{arguments}" if arguments else name
