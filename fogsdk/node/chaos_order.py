"""What a node can be made to suffer on purpose: one disturbance, checked and bounded.

As it travels, an order is a map: ``{"what": "freeze", "target": "workers", "for": 5}``. ``fog chaos`` writes it, and
the node reads it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from fogsdk.errors import ConfigError, WireError
from fogsdk.wire.topics import check_id

LONGEST = 300.0
LONGEST_AWAY = 60.0
"""Seconds that a disturbance may last, and one of the node itself: until then nobody can call it off."""

_PROCESSES = ("worker", "workers", "node", "broker")
TARGETS = {
    "kill": _PROCESSES,
    "freeze": _PROCESSES,
    "slow": _PROCESSES,
    "drop": ("links",),
    "delay": ("links",),
}
"""What can be done, and to what. A ``worker`` is one of the node's, at work if any is; ``workers`` are all of them."""

_AMOUNTS = {
    "slow": {"factor": (1.1, 100.0)},
    "drop": {"probability": (0.0, 1.0)},
    "delay": {"ms": (0.0, 10_000.0), "jitter": (0.0, 10_000.0)},
}
"""What else an order says, and between which numbers."""


@dataclass(frozen=True)
class Order:
    """One disturbance. ``seconds`` is how long it lasts, or, of what was killed, how long it stays away; a killed
    worker is replaced at once.

    ``factor`` is by how much something is slowed down, ``probability`` how much of the messages is lost, ``ms`` (plus
    up to ``jitter``) for how many milliseconds they are held back. A node obeys an order of the same ``id`` once.
    """

    what: str
    target: str
    seconds: float = 5.0
    factor: float = 10.0
    probability: float = 0.3
    ms: float = 200.0
    jitter: float = 0.0
    id: str = ""

    @classmethod
    def read(cls, order: Mapping[str, object]) -> Order:
        """Check an order. Raises ConfigError, which says what is wrong with it."""
        what, target = order.get("what"), order.get("target")
        if not isinstance(what, str) or what not in TARGETS:
            raise ConfigError(f"what is one of {', '.join(TARGETS)}, not {what!r}")
        targets = TARGETS[what]
        if target is None and len(targets) == 1:
            [target] = targets
        if not isinstance(target, str) or target not in targets:
            raise ConfigError(f"{what} is done to {' or '.join(targets)}, not to {target!r}")
        amounts = _AMOUNTS.get(what, {})
        known = {"what", "target", "for", "id", *amounts}
        if strange := [key for key in order if key not in known]:
            raise ConfigError(f"{what} takes {', '.join(['for', *amounts])}, not {', '.join(map(repr, strange))}")
        numbers = {key: _number(order, key, *bounds) for key, bounds in amounts.items() if key in order}
        if "for" in order:
            numbers["seconds"] = _number(order, "for", 0.0, LONGEST_AWAY if target == "node" else LONGEST)
        return cls(what, target, id=_id(order.get("id", "")), **numbers)

    def write(self) -> dict[str, object]:
        """The order as it travels."""
        amounts = {key: getattr(self, key) for key in _AMOUNTS.get(self.what, {})}
        return {"what": self.what, "target": self.target, "for": self.seconds, "id": self.id, **amounts}

    def __str__(self) -> str:
        match self.what:
            case "kill" if self.target in ("worker", "workers"):
                return f"kill {self.target}"
            case "slow":
                how = f"slow {self.target} {self.factor:g} times"
            case "drop":
                how = f"drop {self.probability:.0%} on {self.target}"
            case "delay":
                jitter = f" to {self.ms + self.jitter:g}" if self.jitter else ""
                how = f"delay {self.target} {self.ms:g}{jitter} ms"
            case _:
                how = f"{self.what} {self.target}"
        return f"{how} for {self.seconds:g} s"


def _id(value: object) -> str:
    try:
        return check_id(value, "id") if value else ""
    except WireError as error:
        raise ConfigError(str(error)) from None


def _number(order: Mapping[str, object], key: str, least: float, most: float) -> float:
    value = order[key]
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not least <= value <= most:
        raise ConfigError(f"{key} is a number from {least:g} to {most:g}, not {value!r}")
    return float(value)
