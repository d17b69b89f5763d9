"""How messages travel: how long they take, and what bad weather makes of them.

Connections keep the order of messages, as TCP does. What is *cut* off waits at the cut and arrives late, if the
connection outlives it; what bad weather *loses* is gone, as where a broker's queue for a slow client is full.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass

FASTEST, JITTER = 300, 700
"""Microseconds from sender to receiver through the broker on a good day: at least, and at most beyond that."""
OUT_OF_ORDER = 20_000
"""Microseconds by which a message that loses its place may be late."""
GIVEN_UP_AFTER = (7_000_000, 8_000_000)
"""Microseconds after which a broker gives up a connection that is dead or cut: as measured on mosquitto 2.0.11."""
WILL_AFTER = 2_000
"""Microseconds from a process's death to its will: as measured on mosquitto 2.0.11."""


@dataclass(frozen=True, slots=True)
class Weather:
    """What befalls messages to and from a machine: chances for each, and a delay in microseconds between two bounds."""

    loss: float = 0.0
    duplicate: float = 0.0
    reorder: float = 0.0
    delay: tuple[int, int] = (0, 0)


@dataclass(frozen=True, eq=False, slots=True)
class Cut:
    """A machine is cut off from some brokers: for what it sends (``outward``), for what it is sent, or for both."""

    brokers: tuple[str, ...]
    inward: bool = True
    outward: bool = True


def copies(weathers: Sequence[Weather], chance: random.Random) -> list[tuple[int, bool]]:
    """The delay of each copy that arrives, and whether it keeps its place; none where the message is lost."""
    arriving = [(0, True)]
    for weather in weathers:
        if chance.random() < weather.loss:
            return []
        low, high = weather.delay
        late = chance.randint(low, high)
        arriving = [(delay + late, ordered) for delay, ordered in arriving]
        if weather.reorder and chance.random() < weather.reorder:
            arriving = [(delay + chance.randrange(OUT_OF_ORDER), False) for delay, _ in arriving]
        if chance.random() < weather.duplicate:
            arriving.append((arriving[0][0] + chance.randrange(OUT_OF_ORDER), False))
    return arriving
