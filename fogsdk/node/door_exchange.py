"""Who waits at a door for which task: what the core says about a task reaches every request that follows it.

An exchange is one task, by its sender and id, for as long as a request watches it. The outcome stays with the core,
which keeps it for a while, so nothing is lost with an exchange.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from fogsdk.core.commands import Send
from fogsdk.core.events import Asked, Event
from fogsdk.core.held import Key
from fogsdk.core.node import Node
from fogsdk.errors import TaskRefused
from fogsdk.node.door_room import Room
from fogsdk.wire.messages import (
    Accepted,
    Ask,
    Cancel,
    Cancelled,
    Expired,
    Failed,
    Outcome,
    Progress,
    Refused,
    Result,
    Task,
)

MOST_WATCHERS = 800
"""Requests that wait at once; there are more connections than that, so that others are answered meanwhile."""
GRACE = 10.0
"""Seconds after which a task is cancelled whose client hung up and did not come back."""
ASK_EVERY = 5.0
"""Seconds without a word until the core is asked: the sender may have spoken of the task over another link since, and
had the outcome there."""


class Exchange:
    """What was heard of one task. ``detached``: it goes on when nobody watches."""

    def __init__(self, sender: str, id: str) -> None:
        self.sender = sender
        self.id = id
        self.accepted: Accepted | None = None
        self.progress: float | None = None
        self.outcome: Outcome | None = None
        self.detached = False
        self.watchers = 0
        self.grace: asyncio.TimerHandle | None = None
        self.words = 0
        self._next = asyncio.Event()

    @property
    def key(self) -> Key:
        """The task's key in the core."""
        return self.sender, self.id

    def hear(self, message: object) -> None:
        """Take in what the core says about the task."""
        match message:
            case Accepted():
                self.accepted = message
            case Progress():
                self.progress = message.fraction
            case Result() | Failed() | Refused() | Expired() | Cancelled():
                self.outcome = message
        self.words += 1
        self._next.set()
        self._next = asyncio.Event()

    async def news(self, words: int, seconds: float) -> bool:
        """Wait until more than so many words were heard. False if none was in that time."""
        if self.words > words:
            return True
        try:
            await asyncio.wait_for(self._next.wait(), seconds)
        except asyncio.TimeoutError:
            return False
        return True


class Exchanges:
    """The exchanges of one door, whose name is ``link``; ``tell`` passes an event to the core, ``node``."""

    def __init__(self, link: str, node: Node, tell: Callable[[Event], None]) -> None:
        self._link = link
        self._node = node.me.node
        self._held = node.held
        self._tell = tell
        self._open: dict[Key, Exchange] = {}
        self._watchers = Room(MOST_WATCHERS)
        self._closed = False

    def deliver(self, send: Send) -> None:
        """Pass on what the core says to a sender."""
        sender = send.topic.rpartition("/")[2]
        message = send.message
        exchange = self._open.get((sender, getattr(message, "id", "")))
        if exchange is None:
            return
        exchange.hear(message)
        if exchange.outcome is not None:  # the same task may be sent again, and is another exchange then
            self._drop(exchange)

    @contextmanager
    def watch(
        self, sender: str, message: Task | Ask | Cancel, *, detached: bool = False, client: str
    ) -> Iterator[Exchange]:
        """Say something about a task to the core, and follow the task. ``client`` is who asks, which is surer than the
        sender's name. Raises TaskRefused where this client follows as many as it may (see ``door_room``)."""
        if self._closed:
            raise TaskRefused("leaving", f"{self._node} is shutting down", 1.0)
        with self._watchers.taken(client, 1, f"the requests that wait at {self._node}"):
            yield from self._follow(sender, message, detached)

    def _follow(self, sender: str, message: Task | Ask | Cancel, detached: bool) -> Iterator[Exchange]:
        exchange = self._open.setdefault((sender, message.id), Exchange(sender, message.id))
        exchange.detached |= detached or not isinstance(message, Task)  # who comes back, may come back again
        exchange.watchers += 1
        if exchange.grace is not None:
            exchange.grace.cancel()
            exchange.grace = None
        try:
            self._tell(Asked(self._link, sender, message, as_json=True))
            held = self._held.get(exchange.key)
            if held is not None and held.fraction and exchange.progress is None:  # from before somebody watched
                exchange.progress = held.fraction
            yield exchange
        finally:
            exchange.watchers -= 1
            if not exchange.watchers and self._open.get(exchange.key) is exchange:
                self._leave(exchange)

    async def outcome(self, exchange: Exchange, seconds: float | None = None) -> Outcome | None:
        """Wait for the outcome, for so long at the most; None if it is not there by then."""
        loop = asyncio.get_running_loop()
        until = None if seconds is None else loop.time() + seconds
        while exchange.outcome is None:
            left = ASK_EVERY if until is None else min(ASK_EVERY, until - loop.time())
            if left <= 0:
                return None
            if not await exchange.news(exchange.words, left) and left == ASK_EVERY:
                self.ask(exchange)
        return exchange.outcome

    def ask(self, exchange: Exchange) -> None:
        """Have the core say again what it knows."""
        self._tell(Asked(self._link, exchange.sender, Ask(exchange.id), as_json=True))

    def close(self) -> None:
        """End every exchange: the node is leaving."""
        self._closed = True
        for exchange in list(self._open.values()):
            self._drop(exchange)
            exchange.hear(Refused(exchange.id, self._node, "leaving", f"{self._node} is shutting down", 1000))

    def _leave(self, exchange: Exchange) -> None:
        if exchange.detached or self._closed:
            self._drop(exchange)
            return
        exchange.grace = asyncio.get_running_loop().call_later(GRACE, self._give_up, exchange)

    def _give_up(self, exchange: Exchange) -> None:
        self._drop(exchange)
        held = self._held.get(exchange.key)
        if held is None or held.link == self._link:  # else its sender went on with it another way
            self._tell(Asked(self._link, exchange.sender, Cancel(exchange.id), as_json=True))

    def _drop(self, exchange: Exchange) -> None:
        self._open.pop(exchange.key, None)
        if exchange.grace is not None:
            exchange.grace.cancel()
            exchange.grace = None
