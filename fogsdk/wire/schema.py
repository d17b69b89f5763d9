"""The fields of each message, as ``docs/protocol.md`` has them: what each may hold, and what it is when left out."""

from __future__ import annotations

from dataclasses import MISSING
from typing import Any

from fogsdk.errors import WireError
from fogsdk.wire import limits, messages
from fogsdk.wire.checks import (
    Check,
    body,
    boolean,
    choice,
    count,
    duration,
    float_duration,
    fraction,
    id_or_empty,
    identifier,
    ids,
    integer,
    kept,
    key,
    name,
    octets,
    prose,
    sequence,
    short,
    tag,
    text,
    weight,
)


def _record(kind: type) -> Check:
    """A check for a map that becomes a record."""

    def check(value: Any, field: str) -> Any:
        if not isinstance(value, dict):
            raise WireError("must be a map", field)
        return build(kind, value, f"{field}.")

    return Check(check, dict, record=kind)


_HOP: dict[str, Check] = {
    "node": identifier, "action": choice("ran", "sent", "split", "merged", "lost", "hedged"), "why": prose,
    "part": count, "queued": float_duration, "ran": float_duration, "took": float_duration,
}  # fmt: skip
_INFO: dict[str, Check] = {
    "name": name, "version": short, "weight": weight, "timeout": duration, "memory": count,
    "split": boolean, "fallback": choice("fog"), "signature": prose, "summary": prose,
}  # fmt: skip
_hops = sequence(_record(messages.Hop), limits.HOPS)

FIELDS: dict[type, dict[str, Check]] = {
    messages.Hop: _HOP,
    messages.TaskInfo: _INFO,
    messages.Task: {
        "id": identifier, "name": name, "body": body, "deadline": duration, "priority": integer(-100, 100),
        "weight": weight, "part": count, "via": ids, "keep": duration, "copies": integer(1, 2),
        "session": name, "step": integer(1, 2**53), "after": text(limits.ID_LENGTH), "state": octets(limits.STATE_SIZE),
        "count": integer(1, limits.BUNDLE),
    },
    messages.Cancel: {"id": identifier},
    messages.Ask: {"id": identifier},
    messages.Accepted: {"id": identifier, "node": identifier, "wait": duration},
    messages.Progress: {"id": identifier, "fraction": fraction},
    messages.Result: {"id": identifier, "body": body, "hops": _hops, "wait": duration, "tag": text(limits.ID_LENGTH)},
    messages.Failed: {
        "id": identifier, "error": short, "message": prose,
        "traceback": text(limits.TRACEBACK_LENGTH, cut=True), "hops": _hops,
    },
    messages.Refused: {
        "id": id_or_empty, "node": identifier, "reason": identifier, "message": prose, "retry_after": duration,
        "instead": id_or_empty,
    },
    messages.Expired: {"id": identifier, "message": prose, "hops": _hops},
    messages.Cancelled: {"id": identifier},
    messages.Birth: {
        "incarnation": count, "role": identifier, "capacity": count,
        "tasks": sequence(_record(messages.TaskInfo), limits.TASKS),
        "addresses": sequence(text(256), limits.ADDRESSES), "keeps": boolean,
    },
    messages.Gone: {"incarnation": count},
    messages.Beat: {
        "incarnation": count, "seq": count, "ttl": duration, "running": count, "queued": count,
        "wait": duration, "cpu": fraction, "memory": fraction, "uplink": boolean, "draining": boolean,
        "quarantined": sequence(short, limits.HOPS),
    },
    messages.Replica: {
        "key": key, "progress": count, "epoch": count, "home": identifier, "guardian": id_or_empty, "data": kept,
        "left": duration, "safe": boolean,
    },
    messages.Seek: {"key": key, "progress": count, "epoch": count},
    messages.Kept: {
        "key": key, "node": identifier, "home": id_or_empty, "guardian": id_or_empty, "progress": count,
        "epoch": count, "safe": boolean, "refuses": boolean,
    },
    messages.Transfer: {
        "id": identifier, "size": integer(1, limits.BODY_SIZE), "head": octets(limits.HEAD_SIZE), "tag": tag,
        "node": id_or_empty,
    },
    messages.Chunk: {
        "id": identifier, "at": integer(0, limits.BODY_SIZE), "data": octets(limits.CHUNK_SIZE, view=True), "tag": tag,
        "node": id_or_empty,
    },
    messages.Got: {
        "id": identifier, "upto": integer(0, limits.BODY_SIZE), "again": boolean, "tag": tag, "node": id_or_empty,
    },
}  # fmt: skip

TYPES: dict[str, type] = {
    "task": messages.Task,
    "cancel": messages.Cancel,
    "ask": messages.Ask,
    "accepted": messages.Accepted,
    "progress": messages.Progress,
    "result": messages.Result,
    "failed": messages.Failed,
    "refused": messages.Refused,
    "deadline-exceeded": messages.Expired,
    "cancelled": messages.Cancelled,
    "birth": messages.Birth,
    "gone": messages.Gone,
    "beat": messages.Beat,
    "replica": messages.Replica,
    "seek": messages.Seek,
    "kept": messages.Kept,
    "transfer": messages.Transfer,
    "chunk": messages.Chunk,
    "got": messages.Got,
}
NAMES = {kind: name for name, kind in TYPES.items()}
DEFAULTS: dict[type, dict[str, Any]] = {
    kind: {f.name: f.default for f in kind.__dataclass_fields__.values()}  # type: ignore[attr-defined]
    for kind in FIELDS
}
"""In the order of the class. ``MISSING`` of those that may not be left out."""


def build(kind: type, item: dict[Any, Any], prefix: str = "") -> Any:
    """Check one field after the other, as they are in the map. Raises WireError for the first that is wrong or else for
    one that is missing; ``prefix`` is the way to the map."""
    checked, checks = {}, FIELDS[kind]
    for field, value in item.items():
        check = checks.get(field)
        if check is not None and value is not None:
            checked[field] = check(value, prefix + field)
    for field, default in DEFAULTS[kind].items():
        if default is MISSING and field not in checked:
            raise WireError("is missing", prefix + field)
    return kind(**checked)
