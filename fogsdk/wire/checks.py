"""What a field of a message may hold."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from typing import Any

from fogsdk.errors import TooLarge, WireError
from fogsdk.wire import limits
from fogsdk.wire.frozen import dataclass
from fogsdk.wire.messages import Body
from fogsdk.wire.topics import check_id

_LONE_SURROGATE = re.compile("[\ud800-\udfff]")  # JSON can write these, UTF-8 cannot


@dataclass(frozen=True, slots=True)
class Check:
    """Called with a value and the name of its field, a check returns the value as the message has it, or raises
    WireError, which names the field.

    ``full`` does that for any value. What is of just this ``kind``, and of which ``when`` is true, is right as it
    stands; ``when`` is an expression of Python about the value ``$``, or empty. ``record`` is the class that the
    entries of an array become, where they are maps.
    """

    full: Callable[[Any, str], Any]
    kind: type
    when: str = ""
    record: type | None = None

    def __call__(self, value: Any, field: str) -> Any:
        return self.full(value, field)


def number(low: float, high: float) -> Check:
    """A check for numbers of a range, which become floats."""

    def check(value: Any, field: str) -> float:
        if type(value) not in (int, float) or not low <= value <= high or math.isnan(value):
            raise WireError(f"must be a number from {low} to {high}", field)
        return float(value)

    return Check(check, float, f"{float(low)} <= $ <= {float(high)}")  # to compare it with integers takes longer


def integer(low: int, high: int) -> Check:
    """A check for integers of a range."""

    def check(value: Any, field: str) -> int:
        if type(value) is not int or not low <= value <= high:
            raise WireError(f"must be an integer from {low} to {high}", field)
        return value

    return Check(check, int, f"{low} <= $ <= {high}")


def text(length: int, cut: bool = False) -> Check:
    """A check for text of so many characters; longer text is ``cut`` or refused."""

    def check(value: Any, field: str) -> str:
        if not isinstance(value, str):
            raise WireError("must be text", field)
        if len(value) > length and not cut:
            raise WireError(f"{len(value)} characters, the limit is {length}", field)
        if not value.isascii() and _LONE_SURROGATE.search(value):
            raise WireError("must be Unicode text", field)
        return value[:length]

    return Check(check, str, f"len($) <= {length} and $.isascii()")


def some_text(length: int) -> Check:
    """A check for text of so many characters, not empty."""
    any_text = text(length)

    def check(value: Any, field: str) -> str:
        if not any_text(value, field):
            raise WireError("must not be empty", field)
        return str(value)

    return Check(check, str, f"$ and {any_text.when}")


def choice(*known: str) -> Check:
    """A check for one of some words."""

    def check(value: Any, field: str) -> str:
        if not isinstance(value, str) or value not in known:
            raise WireError(f"must be one of {', '.join(known)}", field)
        return value

    return Check(check, str, f"$ in {known}")


def sequence(check_one: Check, length: int) -> Check:
    """A check for arrays of so many entries, each of which is checked."""

    def check(value: Any, field: str) -> tuple[Any, ...]:
        if not isinstance(value, (list, tuple)):
            raise WireError("must be an array", field)
        if len(value) > length:
            raise WireError(f"{len(value)} entries, the limit is {length}", field)
        return tuple([check_one(each, f"{field}[{index}]") for index, each in enumerate(value)])

    return Check(check, list, f"len($) <= {length}" if check_one.record else "False", check_one.record)


def octets(most: int, view: bool = False) -> Check:
    """A check for so many bytes; they may stay a ``view`` of the payload, or are copied."""

    def check(value: Any, field: str) -> Body:
        if not isinstance(value, (bytes, memoryview)):
            raise WireError("must be a byte string", field)
        if len(value) > most:
            raise TooLarge(f"{len(value)} bytes, the limit is {most}", field)
        return value if view else bytes(value)

    return Check(check, bytes, f"len($) <= {most}")


def _boolean(value: Any, field: str) -> bool:
    if not isinstance(value, bool):
        raise WireError("must be true or false", field)
    return value


def _id_or_empty(value: Any, field: str) -> str:
    return "" if value == "" else check_id(value, field)


boolean = Check(_boolean, bool)
identifier = Check(check_id, str, "is_id($)")
id_or_empty = Check(_id_or_empty, str, "not $ or is_id($)")
ids = sequence(identifier, limits.HOPS)
fraction = number(0.0, 1.0)
duration = integer(0, limits.DURATION)
float_duration = number(0.0, limits.DURATION)
count = integer(0, 2**53)
name = some_text(limits.NAME_LENGTH)
key = some_text(limits.KEY_LENGTH)
short = text(limits.NAME_LENGTH)
prose = text(limits.TEXT_LENGTH, cut=True)
tag = text(limits.ID_LENGTH)
weight = choice("light", "middle", "heavy", "auto")
body = octets(limits.BODY_SIZE, view=True)
kept = octets(limits.RECORD_SIZE)
