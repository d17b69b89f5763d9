"""Bundles: several calls of one task that travel, wait and run together, as one message with one answer.

The body of a bundle is an array of the bodies of its calls; the body of its result is an array of what became of each:

    the body of its result | ["failed", error, message, traceback] | ["refused", reason, message, retry_after]
    null                                             it goes on as a task of its own, whose id is :func:`id_of` it
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from fogsdk.errors import TooLarge, WireError
from fogsdk.wire import limits, scalars
from fogsdk.wire.cbor import read_foreign
from fogsdk.wire.messages import Body, Failed, Refused, Result, Task
from fogsdk.wire.schema import build

Item = Body | list[str | int | None] | None
"""What became of one call, as it is in the result."""

LONGEST = 1.0
"""Milliseconds that all calls of a bundle are expected to run together at the most: so long the first may wait for the
last one."""
SMALL = 1024
"""Bytes of arguments, or of a result, of calls that are bundled, at the most."""
LONGEST_ID = limits.ID_LENGTH - len(f"-{limits.BUNDLE - 1}")
"""Characters in the id of a bundle at the most, which leaves room for those of its calls."""

_FLAT = 2  # an array of arrays
_HEAD = 9  # bytes in the head of a data item at the most


def id_of(bundle: str, index: int) -> str:
    """The id of the task as which a call of a bundle goes on alone."""
    return f"{bundle}-{index}"


def failed(error: str, message: str, traceback: str) -> Item:
    """What is written of a call that raised."""
    return ["failed", error, message, traceback]


def refused(reason: str, message: str, retry_after: int | None) -> Item:
    """What is written of a call that was not run; ``retry_after`` is in milliseconds."""
    return ["refused", reason, message, retry_after]


def write(items: Sequence[Item]) -> bytes:
    """The body of a bundle, from those of its calls, or that of its result."""
    pieces: list[Body] = [scalars.head(scalars.ARRAY, len(items))]
    for item in items:
        if isinstance(item, (bytes, memoryview)):
            pieces += (scalars.head(scalars.BYTES, len(item)), item)
        else:
            pieces.append(scalars.item(item))
    return b"".join(pieces)


def calls_of(task: Task) -> tuple[bytes, ...]:
    """The bodies of a bundle's calls. Raises WireError where it is none, or has options that a bundle cannot have, and
    TooLarge where the calls are not small."""
    if len(task.body) > _HEAD + task.count * (_HEAD + SMALL):
        raise TooLarge(f"{len(task.body)} bytes; the calls of a bundle have {SMALL} each, or less", "body")
    if len(task.id) > LONGEST_ID:
        raise WireError(f"of a bundle has at most {LONGEST_ID} characters: its calls may go on under longer ones", "id")
    if any(option is not None for option in (task.deadline, task.part, task.keep, task.session, task.state)):
        raise WireError("must be 1 where there is a deadline, a part, keep, a session or a state", "count")
    return read_calls(task.body, task.count)


def read_calls(body: Body, count: int) -> tuple[bytes, ...]:
    """The bodies of a bundle's calls. Raises WireError where they are not so many byte strings."""
    calls = tuple([call for call in _read(body, count) if type(call) is bytes])
    if len(calls) != count:
        raise WireError("of a bundle must be an array of byte strings", "body")
    return calls


def read_outcomes(result: Result, node: str, ids: Sequence[str]) -> list[Result | Failed | Refused | None]:
    """What became of each call of a bundle, under its own id, None of those that go on alone. Raises WireError for what
    is no result of a bundle of so many."""
    items = _read(result.body, len(ids))
    return [
        Result(id, item, result.hops, result.wait) if type(item) is bytes else _other(item, id, node, result)
        for id, item in zip(ids, items, strict=True)
    ]


def _read(body: Body, count: int) -> list[object]:
    items = read_foreign(body, _FLAT)
    if type(items) is not list or len(items) != count:
        raise WireError(f"of a bundle must be an array of {count} items", "body")
    return items


def _other(item: object, id: str, node: str, result: Result) -> Failed | Refused | None:
    match item:
        case None:
            return None
        case ["failed", error, message, traceback]:
            fields = {"id": id, "error": error, "message": message, "traceback": traceback}
            return replace(build(Failed, fields), hops=result.hops)  # type: ignore[no-any-return]
        case ["refused", reason, message, retry_after]:
            fields = {"id": id, "node": node, "reason": reason, "message": message, "retry_after": retry_after}
            return build(Refused, fields)  # type: ignore[no-any-return]
    raise WireError("of a bundle's result has an item that says nothing", "body")
