"""A reader and a writer for each class of messages: Python that is made from its fields when it is first needed, as
dataclasses makes ``__init__``. A loop over the fields that calls their checks takes three times as long.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import MISSING
from math import isfinite
from typing import Any

import cbor2

from fogsdk.wire import scalars
from fogsdk.wire.messages import Body
from fogsdk.wire.schema import DEFAULTS, FIELDS, NAMES
from fogsdk.wire.topics import is_id

Reader = Callable[[Any], Any]
"""Makes a message of a map. Raises WireError, KeyError or TypeError where :func:`fogsdk.wire.schema.build` raises
WireError, which says why."""
Writer = Callable[[Any, list[Body]], None]
"""Appends the CBOR of a message in pieces, as the library would write a map of what is not left out."""


class _Compiled(dict[type, Any]):
    """Functions by class, compiled when they are first asked for."""

    def __init__(self, source: Callable[[type, dict[str, Any]], list[str]]) -> None:
        self._source = source

    def __missing__(self, kind: type) -> Any:
        names: dict[str, Any] = {}
        exec("\n".join(self._source(kind, names)), names)  # noqa: S102 - all of it is written here
        self[kind] = names["compiled"]
        return self[kind]


def _reader(kind: type, names: dict[str, Any]) -> list[str]:
    names |= {"kind": kind, "is_id": is_id}
    lines = ["def compiled(item):"]
    needed = [f"{field}_" for field, default in DEFAULTS[kind].items() if default is MISSING]
    for number, (field, default) in enumerate(DEFAULTS[kind].items()):
        if number == len(needed) and kind in NAMES:  # then all else is left out
            lines.append(f" if len(item) == {number + 1} and 'type' in item: return kind({', '.join(needed)})")
        value, check, case = f"{field}_", FIELDS[kind][field], "if"
        if default is MISSING:
            lines.append(f" {value} = item[{field!r}]")
        else:
            lines += [f" {value} = item[{field!r}] if {field!r} in item else None"]
            lines.append(f" if {value} is None: {value} = {default!r}")
            case = "elif"
        right = f"type({value}) is {check.kind.__name__}" + (check.when and f" and ({check.when})".replace("$", value))
        if check.record:
            names[f"read_{field}"] = READERS[check.record]
            one, more = f"(read_{field}({value}[0]),)", f"tuple([read_{field}(each) for each in {value}])"
            lines.append(f" {case} {right}: {value} = {one} if len({value}) == 1 else {more}")
        else:
            lines.append(f" {case} {right}: pass")
        names[f"check_{field}"] = check
        lines.append(f" else: {value} = check_{field}({value}, '')")
    return [*lines, f" return kind({', '.join(f'{field}_' for field in DEFAULTS[kind])})"]


_PIECES = {
    str: "TEXT[size] + data if type($) is str and (size := len(data := $.encode())) < 256 else item($)",
    int: "OCTETS[$] if type($) is int and 0 <= $ < 24 else item($)",
    float: "DOUBLE(251, $) if type($) is float and isfinite($) else item($)",
    bytes: "OCTETS[64 + len($)] if len($) < 24 else head(2, len($)), $",
}
"""What is written for a value ``$``, by the class that it has as a rule."""


def _writer(kind: type, names: dict[str, Any]) -> list[str]:
    names |= {"TEXT": scalars.TEXT_HEADS, "OCTETS": scalars.OCTETS, "DOUBLE": scalars.DOUBLE, "isfinite": isfinite}
    names |= {"head": scalars.head, "item": scalars.item}
    begin = cbor2.dumps("type") + cbor2.dumps(NAMES[kind]) if kind in NAMES else b""
    lines = ["def compiled(message, out):", f" at, count = len(out), {int(bool(begin))}", f" out += (b'', {begin!r})"]
    for field, default in DEFAULTS[kind].items():
        value, key, check = f"{field}_", cbor2.dumps(field), FIELDS[kind][field]
        differs = "True" if default is MISSING else "$ is not None" if default is None else f"$ != {default!r}"
        lines += [f" {value} = message.{field}", f" if {differs}:".replace("$", value), "  count += 1"]
        if check.record:
            names[f"write_{field}"] = WRITERS[check.record]
            lines.append(f"  out += ({key!r}, head({scalars.ARRAY}, len({value})))")
            lines.append(f"  for each in {value}: write_{field}(each, out)")
        else:
            lines.append(f"  out += ({key!r}, {_PIECES.get(check.kind, 'item($)')})".replace("$", value))
    return [*lines, " out[at] = OCTETS[160 + count]"]


READERS: dict[type, Reader] = _Compiled(_reader)
WRITERS: dict[type, Writer] = _Compiled(_writer)
