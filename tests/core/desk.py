"""A ledger with a clock and some nodes, to be told what happens and asked what it wants."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from fogsdk.core.commands import Send
from fogsdk.core.entry import Orphaned
from fogsdk.core.ledger import Effect, Ledger
from fogsdk.core.membership import Directory, Member
from fogsdk.wire.messages import Accepted, Ask, Birth, Hop, Reply, Result, Task


class Desk:
    """A ledger, the nodes it knows, and a clock; ``answers`` are nodes that answer each question with accepted."""

    def __init__(self, *nodes: str, answers: tuple[str, ...] = ()) -> None:
        self.now = 0
        self.directory = Directory()
        self.directory.link_up("a", 0)
        for node in nodes or ("n1", "n2"):
            self.directory.hear("a", node, Birth(1, "fog", 2), 0)
        self.ledger = Ledger("home", "dev", self.directory)
        self.answers = answers

    def hand(self, id: str, node: str = "n1", body: bytes = b"", **options: Any) -> list[Effect]:
        self.ledger.add(Task(id, "work", body, **options), self.now)
        return [*self.ledger.assign(id, node, self.now)]

    def hear(self, reply: Reply) -> list[Effect]:
        effects = self.ledger.hear(reply, self.now)
        self.ledger.lessons.catch_up()
        return effects

    def run(self, until: int) -> list[tuple[int, Effect]]:
        """Let time pass; returns what the ledger wanted, and when."""
        out: list[tuple[int, Effect]] = []
        while (at := self.ledger.deadline()) is not None and at <= until:
            self.now = max(self.now, at)
            effects = self.ledger.tick(self.now)
            out += [(self.now, effect) for effect in effects]
            for effect in effects:
                if isinstance(effect, Send) and isinstance(effect.message, Ask):
                    node = effect.topic.split("/")[4]
                    if node in self.answers:
                        self.hear(Accepted(effect.message.id, node))
        self.now = until
        return out


def available(directory: Directory, now: int) -> list[Member]:
    """The nodes that new tasks can go to."""
    return [member for member in directory.members.values() if member.available(now)]


def sent(effects: Sequence[Effect]) -> list[tuple[str, Any]]:
    """To which node what was sent."""
    return [(each.topic.split("/")[4], each.message) for each in effects if isinstance(each, Send)]


def asked(out: list[tuple[int, Effect]], id: str) -> list[int]:
    """When a task was asked after."""
    return sorted({at for at, each in out if isinstance(each, Send) and each.message == Ask(id)})


def orphans(out: list[tuple[int, Effect]] | list[Effect]) -> list[Orphaned]:
    effects = [each[1] if isinstance(each, tuple) else each for each in out]
    return [each for each in effects if isinstance(each, Orphaned)]


def result(id: str, node: str = "n1", took: float = 1.0) -> Result:
    return Result(id, b"\xf6", (Hop(node, "ran", ran=1.0, took=took),))
