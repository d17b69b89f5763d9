"""Calls about records that cannot be answered yet: they wait for a disk, for another node, or for a result."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

from fogsdk.core.events import Asked
from fogsdk.core.held import Key
from fogsdk.core.timers import Timers
from fogsdk.errors import TaskRefused
from fogsdk.wire.messages import Kept, Result, Task

MOST_CALLS = 10_000


@dataclass(slots=True, eq=False)
class Call:
    """One call about the record ``about``. ``go_on`` is called again whenever something about that has changed.

    ``sought`` is whether a search for the record just ended, ``best`` what it found, and ``answered`` who was heard in
    it. ``result`` is there once its effect is being stored: then it can no longer be cancelled, nor expire. ``created``
    is whether the record began here with this call: where it is gone again, another node has it.
    """

    asked: Asked
    task: Task
    about: str
    go_on: Callable[[Call, int], list[Any]]
    arrived: int
    expires: int | None
    sought: bool = False
    best: Kept | None = None
    answered: tuple[str, ...] = ()
    result: Result | None = None
    created: bool = False

    @property
    def key(self) -> Key:
        """Who called, and the id that it gave the call."""
        return self.asked.sender, self.task.id

    def left(self, now: int) -> int | None:
        """What is left of its deadline."""
        return None if self.expires is None else max(0, self.expires - now)


@dataclass(slots=True)
class Calls:
    """All calls that wait."""

    _calls: dict[Key, Call] = field(default_factory=dict)
    _about: dict[str, dict[Key, Call]] = field(default_factory=dict)
    _of: Counter[str] = field(default_factory=Counter)
    _timers: Timers[Key] = field(default_factory=Timers)

    def __len__(self) -> int:
        return len(self._calls)

    def deadline(self) -> int | None:
        """When the deadline of a call passes."""
        return self._timers.next()

    def open(self, asked: Asked, task: Task, about: str, go_on: Callable[[Call, int], list[Any]], now: int) -> Call:
        """Let a call wait. Raises TaskRefused where too many do, or more of this sender than it leaves for others."""
        room, yours = MOST_CALLS - len(self._calls), self._of[asked.sender]
        if yours >= room:
            raise TaskRefused("overloaded", f"{len(self._calls)} calls wait here already, {yours} of them yours", 1.0)
        call = Call(asked, task, about, go_on, now, None if task.deadline is None else now + task.deadline)
        self.wait(call)
        return call

    def wait(self, call: Call) -> None:
        """Let a call wait that was at work meanwhile."""
        if call.key not in self._calls:
            self._of[call.asked.sender] += 1
        self._calls[call.key] = call
        self._about.setdefault(call.about, {})[call.key] = call
        if call.expires is not None and call.result is None:
            self._timers.set(call.key, call.expires)

    def close(self, call: Call) -> None:
        """The call is answered, or at work."""
        if self._calls.pop(call.key, None) is not None:
            self._of[call.asked.sender] -= 1
            if not self._of[call.asked.sender]:
                del self._of[call.asked.sender]
        self._timers.drop(call.key)
        same = self._about.get(call.about, {})
        same.pop(call.key, None)
        if not same:
            self._about.pop(call.about, None)

    def again(self, event: Asked) -> Call | None:
        """The call that a message is about: from now on it is answered over the link of that message."""
        call = self._calls.get((event.sender, event.message.id))
        if call is not None:
            call.asked = replace(call.asked, link=event.link, as_json=event.as_json)
        return call

    def about(self, key: str) -> list[Call]:
        """The calls that wait for something about a record."""
        return list(self._about.get(key, {}).values())

    def expired(self, now: int) -> list[Call]:
        """The calls whose deadline has passed."""
        return [self._calls[key] for key in self._timers.pop_due(now)]
