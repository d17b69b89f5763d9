"""When ``fog chaos`` does what to whom: read from a TOML file, or drawn by chance. The same seed, the same plan."""

from __future__ import annotations

import random
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fogsdk.errors import ConfigError
from fogsdk.node.chaos_order import TARGETS, Order
from fogsdk.node.config_kinds import Seconds, kind_of

Victims = Mapping[str, Sequence[str]]
"""The nodes that allow it, each with what can be disturbed of it."""

SHORTEST, LONGEST = 0.5, 5.0
"""Seconds that a disturbance drawn by chance lasts."""
_AMOUNTS: dict[str, dict[str, Sequence[float]]] = {
    "slow": {"factor": range(2, 21)},
    "drop": {"probability": [percent / 100 for percent in range(5, 55, 5)]},
    "delay": {"ms": range(20, 510, 10), "jitter": range(0, 210, 10)},
}
_WORDS = ("at", "every", "node")


@dataclass(frozen=True)
class Step:
    """One disturbance: ``at`` is in seconds from the start."""

    at: float
    node: str
    order: Order


@dataclass(frozen=True)
class Rule:
    """A line of a plan: what is done, first ``at``, then ``every`` so many seconds; to a node, to "any" or to "all"."""

    order: Order
    at: float
    every: float | None
    node: str


def read(path: Path) -> tuple[list[Rule], float | None]:
    """Read a plan, and how long it says to go on. Raises ConfigError."""
    if sys.version_info >= (3, 11):
        import tomllib
    else:
        import tomli as tomllib
    try:
        document: dict[str, Any] = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ConfigError(f"cannot read the plan {path}: {error}") from error
    entries = document.get("disturb")
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        raise ConfigError(
            f"{path}: a plan has one or more tables [[disturb]], each with what, target, at or every, for"
        )
    if strange := [key for key in document if key not in ("disturb", "for")]:
        raise ConfigError(f"{path}: a plan has [[disturb]] and for, not {', '.join(strange)}")
    rules = []
    for number, entry in enumerate(entries, 1):
        try:
            rules.append(_rule(entry))
        except ConfigError as error:
            raise ConfigError(f"{path}: [[disturb]] number {number}: {error}") from None
    return rules, _seconds(document, "for")


def _rule(entry: dict[str, Any]) -> Rule:
    every = _seconds(entry, "every")
    at = 0.0 if entry.get("at") == 0 else _seconds(entry, "at")
    if at is None and every is None:
        raise ConfigError("it says neither at nor every")
    node = entry.get("node", "any")
    if not isinstance(node, str):
        raise ConfigError(f'node is a name, "any" or "all", not {node!r}')
    order = {key: value for key, value in entry.items() if key not in _WORDS}
    if "for" in order:
        order["for"] = _seconds(order, "for")
    return Rule(Order.read(order), at if at is not None else every or 0.0, every, node)


def _seconds(table: dict[str, Any], key: str) -> float | None:
    if key not in table:
        return None
    kind = kind_of(Seconds)
    try:
        seconds: float = kind.from_toml(table[key])
    except ValueError:
        raise ConfigError(f"{key} is {kind.expected}, not {table[key]!r}") from None
    return seconds


def follow(rules: Sequence[Rule], victims: Victims, seconds: float, seed: int) -> list[Step]:
    """The steps of a plan. Raises ConfigError where no node has what it wants to disturb."""
    chance = random.Random(seed)
    steps = []
    for number, rule in enumerate(rules, 1):
        able = [node for node in sorted(victims) if rule.order.target in victims[node]]
        wanted = [node for node in able if rule.node in (node, "any", "all")]
        if not wanted:
            named = f"{rule.node} does not have that, or does not allow it"
            why = "no node has that and allows it" if rule.node in ("any", "all") else named
            raise ConfigError(f"[[disturb]] number {number}: {rule.order}: {why}")
        at = rule.at
        while at < seconds:
            chosen = wanted if rule.node != "any" else [chance.choice(wanted)]
            steps += [Step(at, node, rule.order) for node in chosen]
            if rule.every is None:
                break
            at += rule.every
    return sorted(steps, key=lambda step: step.at)


def draw(victims: Victims, seconds: float, rate: float, seed: int) -> list[Step]:
    """Steps by chance, ``rate`` a second, over before ``seconds`` are: never two at once to the same thing, and none
    to a node that is away."""
    chance = random.Random(seed)
    busy: dict[tuple[str, str], float] = {}
    steps = []
    for number in range(1, int(seconds * rate) + 1):
        at = number / rate
        lasts = min(round(chance.uniform(SHORTEST, LONGEST), 1), seconds - at)
        free = [
            (what, target, node)
            for what, targets in TARGETS.items()
            for target in targets
            for node in sorted(victims)
            if target in victims[node] and all(busy.get((node, each), 0.0) <= at for each in ("node", target))
        ]
        if not free or lasts <= 0:
            continue
        what, target = chance.choice(list(dict.fromkeys((what, target) for what, target, _ in free)))
        node = chance.choice([node for *kind, node in free if kind == [what, target]])
        amounts = {key: chance.choice(among) for key, among in _AMOUNTS.get(what, {}).items()}
        steps.append(Step(at, node, Order.read({"what": what, "target": target, "for": lasts, **amounts})))
        busy[node, target] = at + lasts
    return steps
