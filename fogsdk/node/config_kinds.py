"""The kinds of value a setting can have: how each is read from text and from TOML, and shown as TOML.

The kind of a setting follows from its type annotation: ``str``, ``bool``, ``Path``, ``Literal[...]``, one of
the types defined here, ``tuple[..., ...]`` of one, and each of them ``| None`` for what can be left out.
"""

from __future__ import annotations

import dataclasses
import json
import math
import re
import types
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, TypeAlias, Union, get_args, get_origin
from urllib.parse import urlsplit

from fogsdk.errors import WireError
from fogsdk.wire.limits import ID_LENGTH
from fogsdk.wire.topics import check_id


def quote(value: object) -> str:
    """Write text as a TOML basic string; JSON's is one, but for DEL, which TOML wants escaped."""
    return json.dumps(str(value), ensure_ascii=False).replace("\x7f", "\\u007f")


@dataclass(frozen=True)
class Kind:
    """One kind of value. ``parse`` raises ValueError for text that is not one."""

    expected: str
    parse: Callable[[str], Any]
    metavar: str = "TEXT"
    native: tuple[type, ...] = ()  # the types that TOML has for it
    quoted: bool = True  # whether it may be a string in TOML
    show: Callable[[Any], str] = quote
    item: Kind | None = None  # what it is a list of
    switch: bool = False  # whether its flag takes no value: --mdns, --no-mdns
    optional: bool = False

    def from_text(self, text: str) -> Any:
        """Read it from the environment or a flag; where it is optional, empty text is None."""
        return None if self.optional and not text else self.parse(text)

    def from_toml(self, value: object) -> Any:
        """Read it from what a TOML parser returned; raises ValueError for a value of another type."""
        if self.item is not None and isinstance(value, list):
            return tuple(self.item.from_toml(item) for item in value)
        if type(value) in self.native or (self.quoted and isinstance(value, str)):
            return self.parse(str(value))
        raise ValueError(value)


def kind_of(annotation: Any) -> Kind:
    """Return the kind of value that a type annotation stands for."""
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        kind: Kind = arguments[1]
        return kind
    if origin in (Union, types.UnionType):
        return dataclasses.replace(kind_of(arguments[0]), optional=True)
    if origin is Literal:
        return _choice(arguments)
    if origin is tuple:
        return _list_of(kind_of(arguments[0]))
    return _PLAIN[annotation]


def whole_number(minimum: int, maximum: int | None = None) -> Kind:
    """A whole number within bounds: ``Annotated[int, whole_number(1)]``."""
    bounds = f"of at least {minimum}" if maximum is None else f"from {minimum} to {maximum}"

    def parse(text: str) -> int:
        number = int(text)
        if number < minimum or (maximum is not None and number > maximum):
            raise ValueError(text)
        return number

    return Kind(f"a whole number {bounds}", parse, "N", native=(int,), quoted=False, show=str)


def _choice(words: tuple[str, ...]) -> Kind:
    def parse(text: str) -> str:
        if text not in words:
            raise ValueError(text)
        return text

    return Kind("one of " + ", ".join(map(quote, words)), parse, "{" + ",".join(words) + "}")


def _list_of(item: Kind) -> Kind:
    def parse(text: str) -> tuple[Any, ...]:
        return tuple(item.parse(part.strip()) for part in text.split(",") if part.strip())

    def show(values: tuple[Any, ...]) -> str:
        return "[" + ", ".join(map(item.show, values)) + "]"

    expected = f"a list, each item {item.expected}"
    return Kind(expected, parse, f"{item.metavar},...", quoted=False, show=show, item=item)


def _measure(expected: str, metavar: str, units: dict[str, float], number: type[int] | type[float]) -> Kind:
    """An amount above 0 with a unit; an amount without one is in the unit of size 1."""
    sizes = {"": 1.0} | {unit.lower(): size for unit, size in units.items()}

    def parse(text: str) -> float:
        match = re.fullmatch(r"\s*(\d+(?:\.\d*)?(?:e[+-]?\d+)?)\s*([a-z]*)\s*", text.lower())
        if match is None or match[2] not in sizes:
            raise ValueError(text)
        amount = float(match[1]) * sizes[match[2]]
        if not 0 < amount < math.inf:
            raise ValueError(text)
        return number(amount)

    def show(amount: float) -> str:
        for unit, size in reversed(units.items()):
            count = amount / size
            if size >= 1 and count.is_integer() and number(count * size) == amount:
                return quote(f"{count:.0f}{unit}")
        return repr(amount)

    return Kind(expected, parse, metavar, native=(int, float) if number is float else (int,), show=show)


def _switch(text: str) -> bool:
    for value, words in ((True, ("true", "yes", "on", "1")), (False, ("false", "no", "off", "0"))):
        if text.lower() in words:
            return value
    raise ValueError(text)


def _show_switch(value: bool) -> str:
    return str(value).lower()


def _path(text: str) -> Path:
    if not text:
        raise ValueError(text)
    try:
        return Path(text).expanduser()
    except RuntimeError as error:
        raise ValueError(text) from error  # ~name, of somebody who is not here


def _id(text: str) -> str:
    try:
        return check_id(text, "")
    except WireError as error:
        raise ValueError(text) from error


def _broker_url(text: str) -> str:
    url = urlsplit(text)
    if url.scheme not in ("mqtt", "mqtts") or not url.hostname or "@" in url.netloc or url.path.strip("/"):
        raise ValueError(text)
    _ = url.port  # raises ValueError for what is not a port
    return text


def _origin(text: str) -> str:
    url = urlsplit(text)
    if url.scheme not in ("http", "https") or not url.hostname or text != f"{url.scheme}://{url.netloc}":
        raise ValueError(text)
    if "@" in url.netloc or url.port == 0:  # asking for the port raises ValueError for what is not one
        raise ValueError(text)
    return text.lower()


_PLAIN = {
    str: Kind("text", str),
    bool: Kind("true or false", _switch, native=(bool,), quoted=False, switch=True, show=_show_switch),
    Path: Kind("the path of a file", _path, "FILE"),
}

Count: TypeAlias = Annotated[int, whole_number(1)]
Port: TypeAlias = Annotated[int, whole_number(1, 65535)]
Id: TypeAlias = Annotated[str, Kind(f"1 to {ID_LENGTH} of a-z, 0-9 and '-'", _id, "ID")]
BrokerUrl: TypeAlias = Annotated[
    str,
    Kind(
        "mqtt://host:port or mqtts://host:port (a login goes into username and password_file)",
        _broker_url,
        "URL",
    ),
]
Origin: TypeAlias = Annotated[str, Kind("an origin like https://example.org", _origin, "ORIGIN")]
Seconds: TypeAlias = Annotated[
    float,
    _measure(
        'a duration above 0: seconds, or like "500ms", "30s", "5m", "2h", "1d"',
        "TIME",
        {"ms": 0.001, "s": 1, "m": 60, "h": 3600, "d": 86400},
        float,
    ),
]
Bytes: TypeAlias = Annotated[
    int,
    _measure(
        'a size above 0: bytes, or like "64K", "512M", "2G"',
        "SIZE",
        {"K": 2**10, "M": 2**20, "G": 2**30, "T": 2**40},
        int,
    ),
]
