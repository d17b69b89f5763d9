"""Posted tasks: the receipt of one, and how receipts and times to keep them are read."""

from __future__ import annotations

import re
import secrets
from dataclasses import dataclass, replace
from typing import Any

from fogsdk.core.builtins import PREFIX as BUILTIN
from fogsdk.device.calls import build_task
from fogsdk.errors import TaskRefused, WireError
from fogsdk.wire import limits
from fogsdk.wire.messages import Task
from fogsdk.wire.topics import check_id

KEPT = limits.RECORD_SIZE - 4096
"""Bytes of arguments that can be kept, with the rest of the task."""

_UNITS = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86400}
_KEEP = re.compile(r"(\d+(?:\.\d+)?)\s*([smhd]?)")


@dataclass(frozen=True)
class Receipt:
    """A task that was posted: on the disks of ``copies`` nodes (``nodes``), it runs whatever becomes of its poster.

    ``id`` is what ``fetch`` takes, as ``str(receipt)`` gives it; whoever knows it may fetch the result. ``keep`` is in
    seconds, from posting.
    """

    id: str
    copies: int
    nodes: tuple[str, ...]
    keep: float

    def __str__(self) -> str:
        return self.id


def build_post(
    name: str, args: tuple[Any, ...], kwargs: dict[str, Any], keep: float | str, copies: int | None, **options: Any
) -> Task:
    """A task to post, under an id that nobody can guess. Raises as ``build_task`` does."""
    if name.startswith(BUILTIN):
        raise TaskRefused("bad-arguments", f"{name} is answered by a node itself, and cannot be posted: run it")
    if copies not in (None, 1, 2):
        raise ValueError(f"copies is 1 or 2, not {copies!r}")
    message = build_task(secrets.token_hex(16), name, args, kwargs, **options, most=KEPT)
    return replace(message, keep=keep_ms(keep), copies=copies)


def read_receipt(value: Any, keep: int) -> Receipt:
    """The receipt in a node's answer; raises WireError if that is none."""
    match value:
        case {"receipt": str(id), "copies": int(copies), "nodes": [*nodes]}:
            return Receipt(id, copies, tuple(map(str, nodes)), keep / 1000)
    raise WireError(f"not a receipt: {value!r:.200}")


def check_receipt(receipt: Receipt | str) -> str:
    """A receipt as text; raises ValueError for text that is none."""
    text = str(receipt).strip()
    sender, _, id = text.partition("/")
    try:
        return f"{check_id(sender, 'sender')}/{check_id(id, 'id')}"
    except WireError:
        raise ValueError(f"a receipt is text like phone/0f3a..., as str(receipt) gives it, not {text[:80]!r}") from None


def keep_ms(keep: float | str) -> int:
    """Seconds, or text like "90s", "15m", "1h", "7d", in milliseconds; raises ValueError for anything else."""
    match = _KEEP.fullmatch(str(keep))
    seconds = float(match[1]) * _UNITS[match[2]] if match else 0.0
    if not 0 < seconds * 1000 <= limits.DURATION:
        most = limits.DURATION // (1000 * _UNITS["d"])
        raise ValueError(
            f'keep is a number of seconds, or text like "90s", "15m", "1h" or "7d", up to {most}d, not {keep!r}'
        )
    return max(1, int(seconds * 1000))
