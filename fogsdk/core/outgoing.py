"""One body on its way out in chunks: how far it is, and how much of it may be under way at once.

The receiver takes chunks in order and says up to where it has them; who sends goes back to there when one was lost
(go-back-N, RFC 3366 section 1.2). How much may be under way is learned from how long chunks take, as LEDBAT (RFC 6817)
does: more while they arrive soon, less when they queue. So a slow link, which others share, is not filled for seconds.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field, replace

from fogsdk.core.commands import Send
from fogsdk.wire import codec
from fogsdk.wire.limits import CHUNK_SIZE
from fogsdk.wire.messages import Chunk, Got, Result, Task, Transfer

TARGET = 30
"""Milliseconds that a chunk may take to be there and acknowledged: longer means that it waits in queues."""
FIRST_WINDOW, LEAST_WINDOW, MOST_WINDOW = 256 * 1024, 32 * 1024, 4 * 1024 * 1024
"""Bytes that may be under way: at first, at the least and at the most."""
ANNOUNCE_AGAIN, ANNOUNCE_LAST = 250, 2000
"""Milliseconds without a word from the receiver until the transfer is announced again; doubled each time."""
GIVE_UP_AFTER = 60_000
"""Milliseconds without a word after which a transfer is over, on either side."""


@dataclass(slots=True)
class Outgoing:
    """A task or result that is sent to ``topic``. ``sent_at`` is when it was handed in, from which its deadline counts;
    ``node`` is who sends it, for the receiver, if that is a node that answers. Times are in milliseconds."""

    link: str
    topic: str
    message: Task | Result
    tag: str
    node: str
    sent_at: int
    heard_at: int
    due: int = 0
    interval: int = ANNOUNCE_AGAIN
    answered: bool = False
    asking: bool = True
    acked: int = 0
    next: int = 0
    window: int = FIRST_WINDOW
    cut_at: int = 0
    under_way: deque[tuple[int, int]] = field(default_factory=deque)

    def announce(self, now: int) -> Send:
        """Say what is to come, and ask from where on it is needed."""
        self.asking, self.due = True, now + self.interval
        self.interval = min(ANNOUNCE_LAST, 2 * self.interval)
        message = replace(self.message, body=b"")
        if isinstance(message, Task) and message.deadline is not None:
            message = replace(message, deadline=max(0, message.deadline - (now - self.sent_at)))
        head = codec.encode([message])
        return self._send(Transfer(message.id, len(self.message.body), head, self.tag, self.node))

    def got(self, got: Got, now: int) -> list[Send]:
        """Take in what the receiver has, and send what may follow. What cannot be is passed over.

        While it is asked where it is, nothing more is sent: what is under way gets there before the question.
        """
        if got.upto > len(self.message.body) or (got.upto > self.next and not got.again):
            return []
        self.heard_at, self.interval, self.answered = now, ANNOUNCE_AGAIN, True
        self.due = now + ANNOUNCE_AGAIN
        if got.again:
            if got.upto < self.next:  # what was under way is lost
                self.window = max(LEAST_WINDOW, self.window // 2)
            self.acked = self.next = got.upto
            self.asking = False
            self.under_way.clear()
        elif got.upto > self.acked:
            self._adapt(got.upto, now)
            self.acked = got.upto
        return [] if self.asking else self._fill(now)

    @property
    def is_over(self) -> bool:
        """Whether the receiver has everything."""
        return self.acked == len(self.message.body)

    def _adapt(self, upto: int, now: int) -> None:
        left = now
        while self.under_way and self.under_way[0][0] <= upto:
            left = self.under_way.popleft()[1]
        took = now - left
        if took <= TARGET:
            self.window = min(MOST_WINDOW, self.window + upto - self.acked)
        elif left >= self.cut_at:  # once for each window: what is under way left before it was made smaller
            self.window = max(LEAST_WINDOW, self.window * max(TARGET, took // 2) // took)
            self.cut_at = now

    def _fill(self, now: int) -> list[Send]:
        body, sends = memoryview(self.message.body), []
        size = max(LEAST_WINDOW // 2, min(CHUNK_SIZE, self.window // 4))
        while self.next < len(body) and self.next - self.acked < self.window:
            end = min(len(body), self.next + size)
            sends.append(self._send(Chunk(self.message.id, self.next, body[self.next : end], self.tag, self.node)))
            self.under_way.append((end, now))
            self.next = end
        return sends

    def _send(self, message: Transfer | Chunk) -> Send:
        return Send(self.link, self.topic, message)
