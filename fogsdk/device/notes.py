"""Notes of a core in the log: counted, and at most one line of each kind in ten seconds."""

from __future__ import annotations

import logging
import time
from collections import Counter

from fogsdk.core.commands import Note

EVERY = 10.0
"""Seconds between two log lines of one kind."""


class NoteLog:
    """Writes notes to a logger. ``counts`` says how many of each kind there were, written or not."""

    def __init__(self, logger: logging.Logger) -> None:
        self.counts: Counter[str] = Counter()
        self._logger = logger
        self._written: dict[str, tuple[float, int]] = {}

    def add(self, note: Note) -> None:
        """Count a note, and write it unless one of its kind was written just now."""
        self.counts[note.kind] += 1
        now = time.monotonic()
        at, count = self._written.get(note.kind, (-EVERY, 0))
        if now - at < EVERY:
            return
        unwritten = self.counts[note.kind] - count - 1
        self._written[note.kind] = (now, self.counts[note.kind])
        self._logger.warning("%s: %s%s", note.kind, note.text, f" (and {unwritten} more since)" if unwritten else "")
