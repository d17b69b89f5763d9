"""Looking for a record: other nodes are asked which version of it they have, until enough is known."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from fogsdk.core.commands import Send
from fogsdk.core.records import Sought, version
from fogsdk.core.timers import Timers
from fogsdk.wire.messages import Kept, Seek

SEEK_WITHIN = 1000
"""Milliseconds for which nodes are asked: one that has not answered by then is not there."""
ASK_AGAIN = 250
"""Milliseconds between two questions to a node that has not answered."""
MOST_ASKED = 32
MOST_SEARCHES = 256
"""Searches under way at once; the others wait. A node that was lost may leave thousands of records to look for."""


@dataclass(slots=True)
class _Search:
    question: Seek
    awaited: dict[str, None]
    until: int
    best: Kept | None = None
    answered: tuple[str, ...] = ()


Ask = Callable[[str, Seek], list[Send]]
"""Sends a question to a node; an empty list where there is no link to it."""


class Seeking:
    """The searches under way, by key."""

    def __init__(self, ask: Ask) -> None:
        self._ask = ask
        self._searches: dict[str, _Search] = {}
        self._waiting: dict[str, tuple[Seek, list[str]]] = {}
        self._timers: Timers[str] = Timers()

    def deadline(self) -> int | None:
        """When to ask again, or to give up."""
        return self._timers.next()

    def begin(self, question: Seek, nodes: list[str], now: int) -> list[Send | Sought]:
        """Ask ``nodes``, the first in the order of the key first. The end is told as :class:`Sought`, perhaps now."""
        key = question.key
        if key in self._searches:
            return []
        if self._waiting.pop(key, None) is not None:
            self._timers.drop(key)
        awaited = dict.fromkeys(nodes[:MOST_ASKED])
        if not awaited:
            return [Sought(key, None)]
        if len(self._searches) >= MOST_SEARCHES:
            self._waiting[key] = question, nodes
            self._timers.set(key, now + ASK_AGAIN)
            return []
        self._searches[key] = _Search(question, awaited, now + SEEK_WITHIN)
        return self._put(key, now)

    def _put(self, key: str, now: int) -> list[Send | Sought]:
        search = self._searches[key]
        self._timers.set(key, min(search.until, now + ASK_AGAIN))
        return [send for node in search.awaited for send in self._ask(node, search.question)]

    def answered(self, said: Kept) -> list[Sought]:
        """Take in an answer. It is the last one that is needed where the record's own home gave it."""
        search = self._searches.get(said.key)
        if search is None or said.node not in search.awaited:
            return []
        del search.awaited[said.node]
        search.answered += (said.node,)
        if said.home and (search.best is None or version(said) > version(search.best)):
            search.best = said
        if search.awaited and said.home != said.node:
            return []
        return [self._end(said.key)]

    def end(self, key: str) -> None:
        """Search no longer: the record came here meanwhile."""
        if self._waiting.pop(key, None) is not None:
            self._timers.drop(key)
        if key in self._searches:
            self._end(key)

    def _end(self, key: str) -> Sought:
        self._timers.drop(key)
        search = self._searches.pop(key)
        return Sought(key, search.best, search.answered)

    def node_gone(self, node: str) -> list[Sought]:
        """A node will not answer any more."""
        ended = []
        for key, search in list(self._searches.items()):
            search.awaited.pop(node, None)
            if not search.awaited:
                ended.append(self._end(key))
        return ended

    def tick(self, now: int) -> list[Send | Sought]:
        """Ask again, and end the searches whose time is up."""
        out: list[Send | Sought] = []
        for key in self._timers.pop_due(now):
            if key in self._waiting:
                out += self.begin(*self._waiting[key], now)
                continue
            out += self._put(key, now) if now < self._searches[key].until else [self._end(key)]
        return out
