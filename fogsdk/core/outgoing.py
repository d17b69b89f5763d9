"""One body on its way out in chunks: how far it is, and how much of it may be under way at once.

The receiver takes chunks in order and says up to where it has them; who sends goes back to there when one was lost
(go-back-N, RFC 3366 section 1.2). It learns that by asking, and of the answers to a question that it put several times
one counts, so that nothing leaves twice for the others. How much may be under way is learned from how long chunks take,
as LEDBAT (RFC 6817) does: more while that is hardly longer than the least that was seen, which is the way itself, less
when they queue. So a slow link, which others share, is not filled for seconds, and one to far away is.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field, replace

from fogsdk.core.bodies import Large, body_of, id_of, with_body
from fogsdk.core.commands import Send
from fogsdk.wire import codec
from fogsdk.wire.limits import CHUNK_SIZE, RECORD_SIZE
from fogsdk.wire.messages import Chunk, Failed, Got, Result, Transfer

TARGET = 30
"""Milliseconds that a chunk may take to be there and acknowledged beyond the least: longer means that it queues."""
FIRST_WINDOW, LEAST_WINDOW, MOST_WINDOW = 256 * 1024, 32 * 1024, 4 * 1024 * 1024
"""Bytes that may be under way: at first, at the least and at the most."""
ANNOUNCE_AGAIN, ANNOUNCE_LAST = 250, 2000
"""Milliseconds in which nothing more is there until the transfer is announced again; doubled each time."""
LONGEST_WAIT = 15_000
"""Milliseconds that this takes at the most: on a link where chunks are long under way, it is twice as long as they."""
GIVE_UP_AFTER = 60_000
"""Milliseconds without a word after which a transfer is over, on either side."""


@dataclass(slots=True)
class Outgoing:
    """A message that is sent to ``topic``. ``sent_at`` is when it was handed in, from which its deadline counts;
    ``node`` is who sends it, for the receiver, if that is a node that answers. Times are in milliseconds.

    ``heard_at`` is when the receiver was heard, ``moved_at`` when it had more, or said from where on to send.
    From ``due`` on it is not known where the receiver is, and it is asked. ``asked_at`` is when the first question left
    since the last chunk did. ``least`` and ``latest`` are how long the way takes, ``under_way`` where the chunks end
    that are not acknowledged, and when they left; not those that leave again, up to ``resent``: no acknowledgement says
    of which it is.
    """

    link: str
    topic: str
    message: Large
    tag: str
    node: str
    sent_at: int
    heard_at: int
    due: int = 0
    moved_at: int = 0
    interval: int = ANNOUNCE_AGAIN
    answered: bool = False
    asking: bool = True
    asked_at: int | None = None
    acked: int = 0
    next: int = 0
    resent: int = 0
    window: int = FIRST_WINDOW
    cut_at: int = 0
    least: int | None = None
    latest: int = 0
    under_way: deque[tuple[int, int]] = field(default_factory=deque)

    def announce(self, now: int) -> Send:
        """Say what is to come, and ask from where on it is needed. Before that is due it is said in passing, as a sign
        of life that asks for one: chunks go on."""
        if now >= self.due:
            wait = max(self.interval, self._wait)
            self.asking, self.due = True, now + wait
            self.interval = min(ANNOUNCE_LAST, 2 * self.interval)
        if self.asked_at is None:
            self.asked_at = now
        head = codec.encode([with_body(self.message, b"", now - self.sent_at)])
        return self._send(Transfer(id_of(self.message), self.size, head, self.tag, self.node))

    def gets_on(self, now: int) -> bool:
        """Whether its receiver takes it in."""
        return self.answered and now - self.moved_at < 2 * ANNOUNCE_LAST

    def go_over(self, link: str, is_new: bool = False) -> None:
        """It goes over this link from now on. How long that takes is still to be learned, if it is another or new."""
        if is_new or link != self.link:
            self.link, self.least, self.asked_at = link, None, None
            self.under_way.clear()

    def got(self, got: Got, now: int) -> list[Send]:
        """Take in what the receiver has, and send what may follow. What cannot be is passed over.

        While it is asked where it is, nothing more is sent: what is under way gets there before the question. The first
        answer counts. Those to the same question put again came late, and say no more than other acknowledgements.
        """
        if got.upto > self.size or (got.upto > self.next and not got.again):
            return []
        self.heard_at, self.answered = now, True
        if got.again and (self.asking or got.upto > self.next):
            self._go_on(got.upto, now)
        elif got.upto > self.acked:
            self._adapt(got.upto, now)
            self.acked = got.upto
        else:
            return []
        self.interval, self.moved_at = ANNOUNCE_AGAIN, now
        self.due = now + self._wait
        return [] if self.asking else self._fill(now)

    @property
    def size(self) -> int:
        """Bytes of all of it."""
        return len(body_of(self.message))

    @property
    def is_over(self) -> bool:
        """Whether the receiver has everything."""
        return self.acked == self.size

    @property
    def _wait(self) -> int:
        return max(ANNOUNCE_AGAIN, min(LONGEST_WAIT, 2 * self.latest))

    def _go_on(self, upto: int, now: int) -> None:
        """From where the receiver is."""
        if upto == self.next and self.asked_at is not None:  # the last chunk is there: this answers no earlier question
            self._took(now - self.asked_at)
        elif upto < self.next:  # what was under way is lost
            self.window = max(LEAST_WINDOW, self.window // 2)
            self.resent = self.next if upto >= self.acked else upto
        self.acked = self.next = upto
        self.asking = False
        self.under_way.clear()

    def _took(self, took: int) -> int:
        """Learn how long the way takes; returns for how long this one queued."""
        self.latest = took
        self.least = took if self.least is None else min(took, self.least)
        return took - self.least

    def _adapt(self, upto: int, now: int) -> None:
        left = None
        while self.under_way and self.under_way[0][0] <= upto:
            left = self.under_way.popleft()[1]
        if left is None:
            return
        took = now - left
        queued = self._took(took)
        if queued <= TARGET:
            self.window = min(MOST_WINDOW, self.window + (upto - self.acked) * (TARGET - queued) // TARGET)
        elif left >= self.cut_at:  # once for each window: what is under way left before it was made smaller
            self.window = max(LEAST_WINDOW, self.window * max(took - queued + TARGET, took // 2) // took)
            self.cut_at = now

    def _fill(self, now: int) -> list[Send]:
        id, body, sends = id_of(self.message), memoryview(body_of(self.message)), []
        in_time = self.window * TARGET // (2 * self.latest + 1)  # a chunk is not to be a queue itself
        size = max(LEAST_WINDOW // 2, min(CHUNK_SIZE, self.window // 4, in_time))
        while self.next < len(body) and self.next - self.acked < self.window:
            end = min(len(body), self.next + size)
            sends.append(self._send(Chunk(id, self.next, body[self.next : end], self.tag, self.node)))
            if end > self.resent:
                self.under_way.append((end, now))
            self.next = end
        if sends:
            self.asked_at = None
        return sends

    def _send(self, message: Transfer | Chunk) -> Send:
        return Send(self.link, self.topic, message)


def whole(send: Send, message: Result) -> Send:
    """The message for one who takes no chunks."""
    if len(message.body) <= RECORD_SIZE:
        return send
    said = f"the result has {len(message.body)} bytes, and one that takes no chunks can be sent {RECORD_SIZE}"
    return replace(send, message=Failed(message.id, "WireError", said))


def make_room(outgoing: dict[tuple[str, str], Outgoing], size: int, room: int, now: int) -> bool:
    """Drop results that wait for their receivers, longest first, where they are too many; not those that get on: if one
    replaced the other all the time, none would ever be there. Returns whether there is room for one of ``size`` bytes
    now."""
    results = {where: each for where, each in outgoing.items() if isinstance(each.message, Result)}
    left = size + sum(each.size for each in results.values())
    for where, each in sorted(results.items(), key=lambda item: item[1].moved_at):
        if left > room and not each.gets_on(now):
            left -= outgoing.pop(where).size
    return left <= max(size, room)
