"""Tasks for a client that makes up its arguments: whatever they are called with does no harm, and takes no time."""

from __future__ import annotations

from typing import Any, NoReturn

from fogsdk import task


@task
def give_back(*args: Any, **kwargs: Any) -> list[Any]:
    """Return the arguments."""
    return [list(args), kwargs]


@task
def refuse_to(*_args: Any, **_kwargs: Any) -> NoReturn:
    """Raise."""
    raise LookupError("as it should be")
