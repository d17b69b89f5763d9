"""One way into the fog, as the tests use each: hand in a task, follow it, cancel it, and see its one outcome."""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field
from typing import Any, Protocol

PATIENCE = 20.0
"""Seconds for what must come."""


@dataclass(frozen=True)
class Outcome:
    """What became of a task. ``kind`` is result, failed, refused, deadline-exceeded or cancelled; ``error`` is the type
    of what the task raised, ``ran`` the nodes that ran it."""

    kind: str
    value: Any = None
    error: str = ""
    message: str = ""
    traceback: str = ""
    reason: str = ""
    retry_after: float | None = None
    ran: tuple[str, ...] = ()


@dataclass
class Order:
    """A task to be handed in. ``deadline`` and ``keep`` are in seconds; with ``keep`` it is posted."""

    name: str
    args: tuple[Any, ...] = ()
    kwargs: dict[str, Any] = field(default_factory=dict)
    id: str = field(default_factory=lambda: secrets.token_hex(8))
    deadline: float | None = None
    priority: int = 0
    keep: float | None = None
    copies: int | None = None


class Call(Protocol):
    """A task that was handed in."""

    def outcome(self, timeout: float = PATIENCE) -> Outcome:
        """Its outcome. Raises TimeoutError where that does not come."""

    def progress(self) -> list[float]:
        """How far it was, each time that this was told."""

    def cancel(self) -> None:
        """Want it no longer."""


class Link(Protocol):
    """A way in, in use by one device."""

    json: bool
    """Whether values travel as JSON: byte strings come back as base64url text, and arrays as lists."""
    arrays: bool
    """Whether numpy is there to make arrays of what comes back."""
    persists: bool
    """Whether it sees itself to it that a refusal which is only for now ends in a result."""
    most_body: int
    """Bytes of arguments that it carries."""

    def hand_in(self, order: Order) -> Call:
        """Hand in a task."""

    def repeat(self, order: Order) -> Call:
        """Hand in the very same task again, as one does who does not know whether it got through."""

    def close(self) -> None:
        """Leave."""
