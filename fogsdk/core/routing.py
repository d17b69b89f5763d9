"""Where calls go that are about a record which two nodes keep: posted tasks, what fetches them, and sessions."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Mapping
from dataclasses import replace

from fogsdk.core.entry import Entry
from fogsdk.core.membership import Member
from fogsdk.core.rendezvous import ranked
from fogsdk.errors import WireError
from fogsdk.wire import values
from fogsdk.wire.messages import Refused, Task

SESSION = "session:"
MOST_REMEMBERED = 4096
BEHIND_AGAIN = 1000
"""Milliseconds until a node is asked again that lacks what a task goes on from."""
BEHIND_WITHIN = 5000
"""Milliseconds for which nodes are asked that all lack it."""
_BY_RECEIPT = ("fog.fetch", "fog.forget")
_BY_NAME = "fog.session"


def keepers(members: Iterable[Member]) -> list[str]:
    """The nodes that keep records for others, and are there to do so."""
    return [member.node for member in members if _keeps(member)]


def _keeps(member: Member) -> bool:
    return member.birth.keeps and member.role != "cloud" and member.present and not member.leaving


def receipt(sender: str, task: Task) -> str:
    """The key of a posted task, which is its receipt."""
    return f"{sender}/{task.id}"


def key_of(sender: str, task: Task) -> str | None:
    """The key of the record that a call is about, None for an ordinary task."""
    if task.session is not None:
        return SESSION + task.session
    if task.keep is not None:
        return receipt(sender, task)
    if task.name in _BY_RECEIPT or task.name == _BY_NAME:
        named = _first_argument(task)
        return named if named is None or task.name in _BY_RECEIPT else SESSION + named
    return None


def _first_argument(task: Task) -> str | None:
    try:
        match values.decode(task.body):
            case [[str(text), *_], _]:
                return text
    except WireError:
        pass
    return None


def lacking(entry: Entry, now: int) -> bool:
    """Whether nodes have said for so long that they lack what a task goes on from, that no other will have it."""
    if entry.behind_since is None:
        entry.behind_since = now
    return now - entry.behind_since >= BEHIND_WITHIN


def final(entry: Entry, refusal: Refused) -> Refused:
    """The last refusal as its owner is to read it."""
    if refusal.reason != "behind":
        return refusal
    if entry.task.name in _BY_RECEIPT:
        return replace(refusal, reason="unknown-receipt")
    if entry.task.session is None:
        return refusal
    message = f"the state after which this step comes was not found within {BEHIND_WITHIN // 1000} s: {refusal.message}"
    return replace(refusal, reason="conflict", message=message)


class Routes:
    """Which node to ask about a key: the one that answered for it last, else the first that is there in its order."""

    def __init__(self) -> None:
        self._last: OrderedDict[str, str] = OrderedDict()

    def answered(self, key: str | None, node: str | None) -> None:
        """A node answered for a key: it is asked the next time too."""
        if key is None or node is None:
            return
        self._last[key] = node
        self._last.move_to_end(key)
        if len(self._last) > MOST_REMEMBERED:
            self._last.popitem(last=False)

    def choose(self, key: str, entry: Entry, members: Mapping[str, Member], now: int) -> Member | None:
        """The node to hand a task to: the one that another node just named, else the one that its owner named."""
        named, entry.instead = members.get(entry.instead), ""
        if named is not None and named.links:
            return named
        if entry.to:
            only = members.get(entry.to)
            return only if only is not None and _able(only, entry, now) else None
        last = members.get(self._last.get(key, ""))
        if last is not None and _keeps(last) and _able(last, entry, now):
            return last
        able = [member for member in members.values() if _able(member, entry, now)]
        first = next(iter(ranked(key, keepers(able))), None)
        if first is None and not any(member.birth.keeps for member in members.values()):
            return next((member for member in able if member.role != "cloud"), None)  # it says what is missing
        return None if first is None else members[first]


def _able(member: Member, entry: Entry, now: int) -> bool:
    return member.present and now >= max(member.suspect_until, entry.avoid.get(member.node, 0))
