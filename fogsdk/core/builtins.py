"""Calls that a node answers itself: tasks whose names begin with ``fog.``, open to all that can send a task."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

from fogsdk.core.commands import Command
from fogsdk.core.events import Asked
from fogsdk.errors import TaskRefused, WireError
from fogsdk.wire.cbor import read_foreign
from fogsdk.wire.limits import DEPTH, TEXT_LENGTH
from fogsdk.wire.messages import Refused, Task

PREFIX = "fog."

Builtin = Callable[..., list[Command]]
"""Called with (event, now, *args, **kwargs); raises TaskRefused for arguments that cannot be right."""


def call(builtins: dict[str, Builtin], event: Asked, task: Task, now: int) -> list[Command]:
    """Answer a call. Raises TaskRefused where there is no such builtin, and for arguments that do not fit it."""
    builtin = builtins.get(task.name)
    if builtin is None:
        raise TaskRefused("unknown-task", f"a node answers {', '.join(sorted(builtins))}, and no {task.name}")
    args, kwargs = _arguments(task)
    try:
        inspect.signature(builtin).bind(event, now, *args, **kwargs)
    except TypeError as error:
        raise TaskRefused("bad-arguments", f"{task.name}: {error}") from error
    return builtin(event, now, *args, **kwargs)


def refused(task: Task, node: str, error: TaskRefused) -> Refused:
    """What a node says where its core raised that; an error may quote arguments, however long they are."""
    retry = None if error.retry_after is None else int(error.retry_after * 1000)
    return Refused(task.id, node, error.reason, error.message[:TEXT_LENGTH], retry)


def _arguments(task: Task) -> tuple[list[Any], dict[str, Any]]:
    try:
        match read_foreign(task.body, DEPTH):
            case [list(args), dict(kwargs)] if all(isinstance(key, str) for key in kwargs):
                return args, kwargs
    except WireError as error:
        raise TaskRefused("bad-arguments", f"{task.name}: the arguments: {error}") from error
    raise TaskRefused("bad-arguments", f"{task.name}: arguments must be [list, map with text keys]")
