"""Learned numbers: moving averages of what was measured, with sensible guesses before anything was."""

from __future__ import annotations

from collections.abc import Callable

_SMOOTHING = 0.2
_MOST_NAMES = 4096
MOST_MS = 86_400_000.0
"""A run time beyond a day is learned as a day: whatever a trace says, sums of it stay sayable on the wire."""

GUESS_MS = {"light": 5.0, "auto": 20.0, "middle": 500.0, "heavy": 5000.0}
"""Run times assumed, by weight, until a first run was measured."""

LIGHT_BELOW_MS = 100.0
HEAVY_ABOVE_MS = 5000.0
"""Where ``auto`` draws its lines, in milliseconds of mean run time."""


def smoothed(old: float | None, new: float) -> float:
    """Exponentially weighted moving average."""
    return new if old is None else old + _SMOOTHING * (new - old)


class Costs:
    """Mean run time of each task, in milliseconds, as measured in one place. Bounded: the oldest name is forgotten."""

    def __init__(self) -> None:
        self._mean: dict[str, float] = {}
        self.mean: Callable[[str], float | None] = self._mean.get
        """The mean run time, None before the first run."""

    def learn(self, name: str, ran: float) -> None:
        """Take in one measured run time."""
        known = self._mean.get(name)
        if known is None and len(self._mean) >= _MOST_NAMES:
            del self._mean[next(iter(self._mean))]
        if ran > MOST_MS:
            ran = MOST_MS
        self._mean[name] = ran if known is None else known + _SMOOTHING * (ran - known)

    def weight(self, name: str, declared: str) -> str:
        """The weight a task has: what was declared, or for ``auto`` what its run times say."""
        if declared != "auto":
            return declared
        mean = self._mean.get(name)
        if mean is None or mean < LIGHT_BELOW_MS:
            return "light"
        return "middle" if mean < HEAVY_ABOVE_MS else "heavy"
