"""What goes out and what comes back: a call of a task as a message, and a message as a value or an error."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from fogsdk.errors import DeadlineExceeded, SessionConflict, TaskFailed, TaskRefused, WireError
from fogsdk.wire import limits, values
from fogsdk.wire.messages import Expired, Failed, Refused, Result, Task


def build_task(
    id: str,
    name: str,
    args: Sequence[Any],
    kwargs: Mapping[str, Any],
    deadline: float | None = None,
    priority: int = 0,
    weight: str | None = None,
    *,
    most: int = limits.BODY_SIZE,
) -> Task:
    """A call as its message; ``deadline`` is in seconds, and the arguments have ``most`` bytes.

    Raises TaskRefused (too-large, bad-arguments, unknown-task) for what cannot be sent, ValueError for wrong options.
    """
    if not isinstance(name, str):
        raise ValueError(
            f"a task is asked for by its name, {getattr(name, '__name__', 'mean')!r} for one, not {name!r}"
        )
    if not name or len(name) > limits.NAME_LENGTH:
        raise TaskRefused("unknown-task", f"a task's name has 1 to {limits.NAME_LENGTH} characters")
    if weight not in (None, "light", "middle", "heavy", "auto"):
        raise ValueError(f"weight is light, middle, heavy or auto, not {weight!r}")
    if type(priority) is not int or not -100 <= priority <= 100:
        raise ValueError(f"priority is an integer from -100 to 100, not {priority!r}")
    try:
        body = values.encode_call(args, kwargs)
    except WireError as error:
        raise TaskRefused("bad-arguments", f"{name}: the arguments: {error}") from error
    if len(body) > most:
        raise TaskRefused("too-large", f"{name}: the arguments have {len(body)} bytes, the limit is {most}")
    return Task(id, name, body, None if deadline is None else _milliseconds(deadline), priority, weight)


def _milliseconds(deadline: Any) -> int:
    try:
        fits = 0 <= deadline * 1000 <= limits.DURATION
    except TypeError:
        fits = False
    if not fits:
        raise ValueError(f"deadline is a number of seconds from now, not {deadline!r}")
    return int(deadline * 1000)


def value_of(outcome: Result | Failed | Refused | Expired) -> Any:
    """What a task returned. Raises what became of it otherwise."""
    match outcome:
        case Result():
            return values.decode(outcome.body)
        case Failed():
            raise TaskFailed(outcome.error, outcome.message, outcome.traceback)
        case Refused():
            retry = None if outcome.retry_after is None else outcome.retry_after / 1000
            kind = SessionConflict if outcome.reason == "conflict" else TaskRefused
            raise kind(outcome.reason, outcome.message, retry)
        case Expired():
            raise DeadlineExceeded(outcome.message)
