"""Whether the other end of a connection is still there: found out in less than a second, and without blaming it for
what is due to this end.

A host that loses its power closes no connection: TCP notices after minutes, MQTT's keepalive after seconds. Here the
other end is asked for a sign of life when it has been quiet for a moment, and counts as silent when none comes. How
long to wait for that is learned as TCP learns its retransmission timeout (RFC 6298): from how long answers take, and
doubled each time that one is missed.
"""

from __future__ import annotations

QUIET = 0.3
"""Seconds without a byte after which the other end is asked. A ledger asks every 250 ms after what it handed out, so
that this is rarely needed while the nodes live."""
PATIENCE = 0.4
"""Seconds for the answer at the least."""
MOST_PATIENCE = 3.0
STEP = 0.1
"""Seconds between two looks while the answer is awaited, and the most that one of them counts for: time in which this
process did not run, or did not get to read, is not held against the other end."""


class Pulse:
    """Counts how long the other end owes a sign of life. All times are in seconds."""

    def __init__(self, now: float) -> None:
        self.silent = False
        self._heard_at = self._counted_at = now
        self._asked = False
        self._waited = 0.0
        self._slowest = 0.0
        self._patience = PATIENCE

    def heard(self, now: float) -> None:
        """Something came."""
        if self._asked and not self.silent:  # after a silence nobody knows what it answers
            self.answered_within(self._waited)
        # After a silence it is asked again at once, so that the patience which that cost is learned anew.
        self._heard_at = now - QUIET if self.silent else now
        self._asked = self.silent = False

    def answered_within(self, seconds: float) -> None:
        """Learn how long an answer took. The slowest is remembered, and fades."""
        self._slowest = max(seconds, 0.9 * self._slowest)
        self._patience = min(MOST_PATIENCE, max(PATIENCE, 2 * self._slowest))

    def count(self, now: float, excused: bool) -> bool:
        """Count the time since the last call, unless the other end is ``excused``. True when it is to be asked now."""
        passed, self._counted_at = min(now - self._counted_at, STEP), now
        if excused:
            self._heard_at, self._waited = now, 0.0
        elif self._asked:
            self._waited += passed
            if self._waited >= self._patience and not self.silent:
                self.silent = True
                self._patience = min(MOST_PATIENCE, 2 * self._patience)
        elif now >= self._heard_at + QUIET:
            self._asked, self._waited = True, 0.0
            return True
        return False

    def due(self) -> float:
        """When to call ``count`` again."""
        return self._counted_at + STEP if self._asked else self._heard_at + QUIET
