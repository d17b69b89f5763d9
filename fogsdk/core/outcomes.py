"""Outcomes that a node keeps for a while, so that a task that is sent twice is answered and not run again."""

from __future__ import annotations

from collections import OrderedDict

from fogsdk.core.held import Key
from fogsdk.wire.limits import INLINE_SIZE
from fogsdk.wire.messages import Cancelled, Expired, Failed, Refused, Result

KEEP_MS = 300_000
"""Milliseconds for which an outcome is kept, room permitting."""
MOST = 10_000
"""Outcomes that are kept at the most, and as many large results."""
MOST_BYTES = 64 * 1024 * 1024
"""Bytes of them, and as many of large results. These are more than ``INLINE_SIZE`` each: there are 256 at the most."""

Answer = Result | Failed | Refused | Expired | Cancelled


_Kept = tuple[Answer, int, int]
"""An answer, when it was given, and its size."""


def _length(answer: Failed | Refused | Expired | Cancelled) -> int:
    return len(getattr(answer, "message", "")) + len(getattr(answer, "traceback", ""))


class _Order:
    """Answers, the oldest first."""

    def __init__(self) -> None:
        self.kept: OrderedDict[Key, _Kept] = OrderedDict()
        self.bytes = 0
        self._fresh_until = 0  # none is too old before

    def tidy(self, now: int) -> None:
        """Drop what is oldest, to make room; and what is too old. The newest stays, however large it is."""
        kept = self.kept
        while (len(kept) > MOST or self.bytes > MOST_BYTES) and len(kept) > 1:
            self.bytes -= kept.popitem(last=False)[1][2]
        if now > self._fresh_until:
            self._drop_old(now)

    def _drop_old(self, now: int) -> None:
        while self.kept:
            key, (_, at, _) = next(iter(self.kept.items()))
            self._fresh_until = at + KEEP_MS
            if now <= self._fresh_until:
                return
            self.drop(key)

    def drop(self, key: Key) -> None:
        kept = self.kept.pop(key, None)
        if kept is not None:
            self.bytes -= kept[2]


class Outcomes:
    """The latest answers by sender and id, bounded in number, bytes and age. Large results make room for each other
    alone: one of them is as much as thousands of others, which are to be known still."""

    def __init__(self) -> None:
        self._small = _Order()
        self._large = _Order()

    def __len__(self) -> int:
        return len(self._small.kept) + len(self._large.kept)

    def keep(self, key: Key, answer: Answer, now: int) -> None:
        """Keep an answer; what is oldest makes room."""
        if key in self._small.kept or self._large.kept:
            self.forget(key)
        size = len(answer.body) if isinstance(answer, Result) else _length(answer)
        order = self._small if size <= INLINE_SIZE else self._large
        order.kept[key] = (answer, now, size)
        order.bytes += size
        self._small.tidy(now)
        if self._large.kept:
            self._large.tidy(now)

    def forget(self, key: Key) -> None:
        """Drop an answer, where there is one."""
        if key in self._small.kept:
            self._small.drop(key)
        elif self._large.kept:
            self._large.drop(key)

    def get(self, key: Key) -> Answer | None:
        """The answer given before, None where there was none or it is kept no longer."""
        kept = self._small.kept.get(key)
        if kept is None and self._large.kept:
            kept = self._large.kept.get(key)
        return None if kept is None else kept[0]
