"""What a field of a message may hold: each check returns the value as the message has it, or raises WireError, which
names the field."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from typing import Any

from fogsdk.errors import TooLarge, WireError
from fogsdk.wire import limits
from fogsdk.wire.messages import Body
from fogsdk.wire.topics import check_id

Check = Callable[[Any, str], Any]

_LONE_SURROGATE = re.compile("[\ud800-\udfff]")  # JSON can write these, UTF-8 cannot


def number(value: Any, field: str, low: float, high: float) -> float:
    """A number, as a float."""
    if type(value) not in (int, float) or not low <= value <= high or math.isnan(value):
        raise WireError(f"must be a number from {low} to {high}", field)
    return float(value)


def integer(low: int, high: int) -> Check:
    """A check for integers of a range."""

    def check(value: Any, field: str) -> int:
        if type(value) is not int or not low <= value <= high:
            raise WireError(f"must be an integer from {low} to {high}", field)
        return value

    return check


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

    return check


def choice(*known: str) -> Check:
    """A check for one of some words."""

    def check(value: Any, field: str) -> str:
        if not isinstance(value, str) or value not in known:
            raise WireError(f"must be one of {', '.join(known)}", field)
        return value

    return check


def sequence(check_one: Check, length: int) -> Check:
    """A check for arrays of so many entries, each of which is checked."""

    def check(value: Any, field: str) -> tuple[Any, ...]:
        if not isinstance(value, (list, tuple)):
            raise WireError("must be an array", field)
        if len(value) > length:
            raise WireError(f"{len(value)} entries, the limit is {length}", field)
        return tuple([check_one(each, f"{field}[{index}]") for index, each in enumerate(value)])

    return check


def boolean(value: Any, field: str) -> bool:
    """True or false."""
    if not isinstance(value, bool):
        raise WireError("must be true or false", field)
    return value


def fraction(value: Any, field: str) -> float:
    """A number from 0 to 1."""
    return number(value, field, 0.0, 1.0)


def float_duration(value: Any, field: str) -> float:
    """Milliseconds, and parts of them."""
    return number(value, field, 0.0, limits.DURATION)


duration = integer(0, limits.DURATION)
count = integer(0, 2**53)
short = text(limits.NAME_LENGTH)
prose = text(limits.TEXT_LENGTH, cut=True)
ids = sequence(check_id, limits.HOPS)
weight = choice("light", "middle", "heavy", "auto")
tag = text(limits.ID_LENGTH)


def name(value: Any, field: str) -> str:
    """Text as of a task's name, not empty."""
    if not short(value, field):
        raise WireError("must not be empty", field)
    return str(value)


def key(value: Any, field: str) -> str:
    """Text as of a record's key, not empty."""
    if not text(limits.KEY_LENGTH)(value, field):
        raise WireError("must not be empty", field)
    return str(value)


def id_or_empty(value: Any, field: str) -> str:
    """An id, or nothing."""
    return "" if value == "" else check_id(value, field)


def octets(most: int, view: bool = False) -> Check:
    """A check for so many bytes; they may stay a ``view`` of the payload, or are copied."""

    def check(value: Any, field: str) -> Body:
        if not isinstance(value, (bytes, memoryview)):
            raise WireError("must be a byte string", field)
        if len(value) > most:
            raise TooLarge(f"{len(value)} bytes, the limit is {most}", field)
        return value if view else bytes(value)

    return check


body = octets(limits.BODY_SIZE, view=True)
kept = octets(limits.RECORD_SIZE)
