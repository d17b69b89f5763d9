"""Failures on purpose: a node that was started so lets a caller disturb it, and answers when that is done."""

from __future__ import annotations

from fogsdk.core.commands import Command, Disturb
from fogsdk.core.events import Asked, Disturbed
from fogsdk.core.outcomes import Answer
from fogsdk.wire import values
from fogsdk.wire.messages import Hop, Refused, Result


class Disturbances:
    """Those that were asked for with ``fog.chaos`` and are not done yet, by number."""

    def __init__(self, node: str) -> None:
        self._node = node
        self._asked: dict[int, Asked] = {}
        self._count = 0

    def ask(self, event: Asked, now: int, order: dict[str, object]) -> list[Command]:  # noqa: ARG002
        """The builtin ``fog.chaos``: have the shell do what ``order`` says."""
        self._count += 1
        self._asked[self._count] = event
        return [Disturb(self._count, values.encode(order))]

    def done(self, event: Disturbed) -> tuple[Asked, Answer]:
        """The shell has done it, or not: the call, and what to answer it."""
        asked = self._asked.pop(event.number)
        id = asked.message.id
        if event.error:
            return asked, Refused(id, self._node, "bad-arguments", event.error)
        return asked, Result(id, event.value, (Hop(self._node, "ran"),))
