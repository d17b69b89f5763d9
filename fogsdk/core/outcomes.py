"""Outcomes that a node keeps for a while, so that a task that is sent twice is answered and not run again."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass

from fogsdk.core.held import Key
from fogsdk.wire.messages import Cancelled, Expired, Failed, Refused, Result

KEEP_MS = 300_000
"""Milliseconds for which an outcome is kept, room permitting."""
MOST = 10_000
MOST_BYTES = 64 * 1024 * 1024

Answer = Result | Failed | Refused | Expired | Cancelled


@dataclass(slots=True)
class _Kept:
    answer: Answer
    at: int
    size: int


class Outcomes:
    """The latest answers by sender and id, bounded in number, bytes and age."""

    def __init__(self) -> None:
        self._kept: OrderedDict[Key, _Kept] = OrderedDict()
        self._bytes = 0

    def __len__(self) -> int:
        return len(self._kept)

    def keep(self, key: Key, answer: Answer, now: int) -> None:
        """Keep an answer; what is oldest makes room."""
        if key in self._kept:
            self.forget(key)
        size = len(answer.body) if isinstance(answer, Result) else len(getattr(answer, "traceback", ""))
        self._kept[key] = _Kept(answer, now, size)
        self._bytes += size
        while self._kept and self._overfull(now):
            self.forget(next(iter(self._kept)))

    def _overfull(self, now: int) -> bool:
        oldest = next(iter(self._kept.values()))
        crowded = (self._bytes > MOST_BYTES or len(self._kept) > MOST) and len(self._kept) > 1
        return crowded or now - oldest.at > KEEP_MS

    def forget(self, key: Key) -> None:
        """Drop an answer, where there is one."""
        kept = self._kept.pop(key, None)
        if kept is not None:
            self._bytes -= kept.size

    def get(self, key: Key) -> Answer | None:
        """The answer given before, None where there was none or it is too old."""
        kept = self._kept.get(key)
        return None if kept is None else kept.answer
