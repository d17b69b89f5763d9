"""Fault plans: TOML that says which faults strike what, when or how often, for how long and how hard."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fogsdk.errors import ConfigError
from fogsdk.node.config_kinds import Seconds, kind_of
from fogsdk.sim.agenda import SECOND

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

NODE_KINDS = ("crash", "power", "restart", "freeze", "slow", "worker-death")
TRAVEL_KINDS = ("cable", "partition", "one-way", "loss", "delay", "duplicate", "reorder")
KINDS = (*NODE_KINDS, *TRAVEL_KINDS, "broker-crash", "cloud-away")
_DEFAULT_TARGETS = {"broker-crash": "broker-*", "cloud-away": "bridge"} | dict.fromkeys(TRAVEL_KINDS, "*")

Span = tuple[int, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """One line of a plan. Spans are drawn from between two bounds; all times are in microseconds.

    ``target`` and ``brokers`` are patterns as the shell has them; ``together`` targets are struck at once. ``chance``
    is that of each message, ``delay`` what each message or event takes longer, ``factor`` how much longer jobs take,
    ``direction`` (in, out) what a one-way cut stops. An ``aimed`` one waits until its target promises something, by a
    ``receipt`` or by the result of a session's ``step``, and strikes at that moment. What does not return stays dead.
    """

    kind: str
    target: str
    at: tuple[int, ...] = ()
    per_minute: float = 0.0
    lasts: Span = (2 * SECOND, 2 * SECOND)
    together: int = 1
    chance: float = 0.1
    delay: Span = (0, 0)
    factor: float = 1.0
    direction: str = "out"
    brokers: str = "*"
    aimed: str = ""
    returns: bool = True


@dataclass(frozen=True, slots=True)
class Plan:
    """All faults of a run. ``nodes_down`` bounds how many nodes are dead at once, or may seem so to others, if that is
    to be bounded."""

    faults: tuple[Fault, ...] = ()
    nodes_down: int | None = None


def load(path: Path) -> Plan:
    """Read a plan. Raises ConfigError that says what is wrong in the file, and what may stand there."""
    try:
        document = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise ConfigError(f"{path} is not TOML: {error}") from error
    try:
        return read(document)
    except ConfigError as error:
        raise ConfigError(f"{path}: {error}") from None


def read(document: Mapping[str, Any]) -> Plan:
    """Make a plan of what a TOML parser returned. Raises ConfigError."""
    _only(document, ("fault", "nodes_down"), "a plan")
    faults = document.get("fault", [])
    if not isinstance(faults, list) or not all(isinstance(fault, dict) for fault in faults):
        raise ConfigError("faults are tables: [[fault]]")
    down = document.get("nodes_down")
    if down is not None and (type(down) is not int or down < 1):
        raise ConfigError("nodes_down must be a whole number of at least 1")
    return Plan(tuple(_fault(fault, number) for number, fault in enumerate(faults, start=1)), down)


def _fault(table: Mapping[str, Any], number: int) -> Fault:
    kind = table.get("kind")
    if kind not in KINDS:
        raise ConfigError(f"fault {number}: kind must be one of {', '.join(KINDS)}, not {kind!r}")
    where = f"fault {number} ({kind})"
    _only(table, (*_READERS, "kind"), where)
    values: dict[str, Any] = {"target": _DEFAULT_TARGETS.get(kind, "node-*")}
    for key, value in table.items():
        if key != "kind":
            try:
                values[key] = _READERS[key](value)
            except (ValueError, TypeError) as error:
                raise ConfigError(f"{where}: {key} must be {error}, not {value!r}") from None
    if not values.get("at") and not values.get("per_minute"):
        raise ConfigError(f'{where}: say when: at = ["10s", "1m"], or how often: per_minute = 3')
    return Fault(kind=kind, **values)


def _only(table: Mapping[str, Any], known: tuple[str, ...], where: str) -> None:
    for key in table:
        if key not in known:
            raise ConfigError(f"{where} has no {key!r}; it may have {', '.join(known)}")


def _time(value: Any, expected: str = 'a time such as "500ms", "10s" or "2m"') -> int:
    try:
        return int(kind_of(Seconds).parse(value) * SECOND)
    except (ValueError, AttributeError):
        raise ValueError(expected) from None


def _times(value: Any) -> tuple[int, ...]:
    expected = 'times such as "10s" or ["10s", "2m"]'
    return tuple(_time(each, expected) for each in (value if isinstance(value, list) else [value]))


def _span(value: Any) -> Span:
    expected = 'a time such as "2s", or two between which it is drawn: ["1s", "5s"]'
    times = _times(value)
    if len(times) not in (1, 2) or times[0] > times[-1]:
        raise ValueError(expected)
    return times[0], times[-1]


def _text(value: Any) -> str:
    if not isinstance(value, str) or not value:
        raise ValueError('a pattern such as "node-1" or "node-*"')
    return value


def _way(value: Any) -> str:
    if value not in ("in", "out"):
        raise ValueError('"in" or "out"')
    return str(value)


def _number(low: float, high: float) -> Any:
    def read_number(value: Any) -> float:
        if type(value) not in (int, float) or not low <= value <= high:
            raise ValueError(f"a number from {low:g} to {high:g}")
        return float(value)

    return read_number


def _promise(value: Any) -> str:
    if value not in ("receipt", "step"):
        raise ValueError('"receipt" or "step"')
    return str(value)


def _flag(value: Any) -> bool:
    if not isinstance(value, bool):
        raise ValueError("true or false")
    return value


def _count(value: Any) -> int:
    if type(value) is not int or value < 1:
        raise ValueError("a whole number of at least 1")
    return value


_READERS: dict[str, Any] = {
    "target": _text,
    "at": _times,
    "per_minute": _number(0, 100_000),
    "lasts": _span,
    "together": _count,
    "chance": _number(0, 1),
    "delay": _span,
    "factor": _number(1, 1000),
    "direction": _way,
    "brokers": _text,
    "aimed": _promise,
    "returns": _flag,
}
