"""Generated messages of every type, generated values, and generated garbage."""

from __future__ import annotations

import datetime
from typing import Any

import cbor2
from hypothesis import strategies as st

from fogsdk.wire import codec, schema, values
from fogsdk.wire.limits import DURATION
from fogsdk.wire.messages import (
    Accepted,
    Ask,
    Beat,
    Birth,
    Cancel,
    Cancelled,
    Chunk,
    Expired,
    Failed,
    Gone,
    Got,
    Hop,
    Kept,
    Message,
    Progress,
    Refused,
    Replica,
    Result,
    Seek,
    Task,
    TaskInfo,
    Transfer,
)

ids = st.text("abcdefghijklmnopqrstuvwxyz0123456789-", min_size=1, max_size=64)
no_id = st.just("") | ids
sizes = st.integers(1, 2**28)
names = st.text(min_size=1, max_size=128)
keys = st.text(min_size=1, max_size=256)
short = st.text(max_size=128)
prose = st.text(max_size=200)
counts = st.integers(0, 2**53)
durations = st.integers(0, DURATION)
fractions = st.floats(0.0, 1.0)
milliseconds = st.floats(0.0, float(DURATION))
weights = st.sampled_from(["light", "middle", "heavy", "auto"])


def optional(of: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """A field that may be left out."""
    return st.none() | of


def tuples(of: st.SearchStrategy[Any], most: int = 4) -> st.SearchStrategy[tuple[Any, ...]]:
    """A short array, as messages hold it."""
    return st.lists(of, max_size=most).map(tuple)


# What JSON carries without loss. Integers of 64 bits: larger ones become text.
json_scalars: st.SearchStrategy[Any] = (
    st.none()
    | st.booleans()
    | st.integers(-(2**64), 2**64 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=20)
)
json_values: st.SearchStrategy[Any] = st.recursive(
    json_scalars,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)

zones = st.integers(-720, 720).map(lambda minutes: datetime.timezone(datetime.timedelta(minutes=minutes)))

cbor_values: st.SearchStrategy[Any] = st.recursive(
    json_values
    | st.integers(-(2**80), 2**80)
    | st.floats(allow_nan=False)
    | st.binary(max_size=20)
    | st.decimals(allow_nan=False, allow_infinity=False)
    | st.fractions()
    | st.uuids()
    | st.datetimes(timezones=zones),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.text(max_size=8) | st.integers(), inner, max_size=4)
        | st.sets(st.integers() | st.text(max_size=4), max_size=4)
    ),
    max_leaves=12,
)


def _encodes(value: Any) -> bool:
    try:
        cbor2.dumps(value)
    except (cbor2.CBOREncodeError, ValueError, TypeError, OverflowError):
        return False
    return True


# Well-formed CBOR that nobody meant: any tag around anything.
odd_cbor: st.SearchStrategy[Any] = st.recursive(
    json_values
    | st.binary(max_size=20)
    | st.floats()
    | st.integers()
    | st.just(cbor2.undefined)
    | st.integers(0, 19).map(cbor2.CBORSimpleValue),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.text(max_size=8) | st.integers() | st.floats() | st.booleans(), inner, max_size=4)
        | st.builds(cbor2.CBORTag, st.sampled_from(range(300)) | st.integers(0, 2**64 - 1), inner)
    ),
    max_leaves=12,
).filter(_encodes)


arguments = st.builds(
    lambda args, kwargs: values.encode([args, kwargs]),
    st.lists(json_values, max_size=3),
    st.dictionaries(st.text(max_size=8), json_values, max_size=3),
)
json_bodies = json_values.map(values.encode)

hops = st.builds(
    Hop,
    ids,
    st.sampled_from(["ran", "sent", "split", "merged", "lost", "hedged"]),
    prose,
    optional(counts),
    milliseconds,
    milliseconds,
    milliseconds,
)
infos = st.builds(
    TaskInfo,
    names,
    short,
    weights,
    optional(durations),
    optional(counts),
    st.booleans(),
    optional(st.just("fog")),
    prose,
    prose,
)

MESSAGES: dict[str, st.SearchStrategy[Message]] = {
    "task": st.builds(
        Task,
        ids,
        names,
        arguments,
        optional(durations),
        st.integers(-100, 100),
        optional(weights),
        optional(counts),
        tuples(ids),
        optional(durations),
        optional(st.integers(1, 2)),
        optional(names),
        optional(st.integers(1, 2**53)),
        st.text(max_size=64),
    ),
    "cancel": st.builds(Cancel, ids),
    "ask": st.builds(Ask, ids),
    "accepted": st.builds(Accepted, ids, ids, optional(durations)),
    "progress": st.builds(Progress, ids, fractions),
    "result": st.builds(Result, ids, json_bodies, tuples(hops), durations, st.text(max_size=64)),
    "failed": st.builds(Failed, ids, short, prose, prose, tuples(hops)),
    "refused": st.builds(Refused, no_id, ids, ids, prose, optional(durations), no_id),
    "deadline-exceeded": st.builds(Expired, ids, prose, tuples(hops)),
    "cancelled": st.builds(Cancelled, ids),
    "birth": st.builds(Birth, counts, ids, counts, tuples(infos), tuples(st.text(max_size=256)), st.booleans()),
    "gone": st.builds(Gone, counts),
    "beat": st.builds(
        Beat,
        counts,
        counts,
        durations,
        counts,
        counts,
        durations,
        fractions,
        fractions,
        optional(st.booleans()),
        st.booleans(),
        tuples(short),
    ),
    "replica": st.builds(Replica, keys, counts, counts, ids, no_id, st.binary(max_size=20), durations, st.booleans()),
    "seek": st.builds(Seek, keys, optional(counts), counts),
    "kept": st.builds(Kept, keys, ids, no_id, no_id, counts, counts, st.booleans(), st.booleans()),
    "transfer": st.builds(Transfer, ids, sizes, st.binary(max_size=20), st.text(max_size=64), no_id),
    "chunk": st.builds(Chunk, ids, sizes, st.binary(max_size=20), st.text(max_size=64), no_id),
    "got": st.builds(Got, ids, sizes, st.booleans(), st.text(max_size=64), no_id),
}
"""One strategy for each type of message, by its name on the wire."""

messages: st.SearchStrategy[Message] = st.one_of(
    *[each for name, each in MESSAGES.items() if name not in ("replica", "transfer", "chunk")]
)
"""All that JSON can carry too."""


@st.composite
def damaged(draw: st.DrawFn) -> bytes:
    """A valid payload with some bytes changed, cut off or put in."""
    payload = bytearray(codec.encode([draw(messages)], as_json=draw(st.booleans())))
    for _ in range(draw(st.integers(1, 5))):
        at = draw(st.integers(0, len(payload)))
        match draw(st.sampled_from(["change", "cut", "insert", "repeat"])):
            case "change" if at < len(payload):
                payload[at] = draw(st.integers(0, 255))
            case "cut":
                del payload[at : at + draw(st.integers(1, 8))]
            case "insert":
                payload[at:at] = draw(st.binary(max_size=8))
            case "repeat":
                payload[at:at] = payload[at : at + 40]
    return bytes(payload)


@st.composite
def misfits(draw: st.DrawFn, wrong: st.SearchStrategy[Any] = json_values) -> dict[str, Any]:
    """A message as a map in which some fields are of the wrong kind, missing, or unknown."""
    item: dict[str, Any] = cbor2.loads(codec.encode([draw(messages)]))
    for _ in range(draw(st.integers(1, 3))):
        field = draw(st.sampled_from(sorted(item)) | st.text(max_size=8) | st.sampled_from(FIELDS))
        if draw(st.booleans()):
            item[field] = draw(wrong)
        else:
            item.pop(field, None)
        if not item:
            break
    return item


FIELDS = sorted({field for fields in schema.FIELDS.values() for field in fields} | {"args", "kwargs", "value", "type"})
