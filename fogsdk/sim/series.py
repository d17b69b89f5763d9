"""What is measured during a run beside the tasks themselves, and how it is summed up."""

from __future__ import annotations

from array import array


class Deciding:
    """How long nodes take over a task that comes in: real time on this computer, the only one that is measured."""

    def __init__(self) -> None:
        self.nanoseconds: array[int] = array("q")

    def add(self, nanoseconds: int) -> None:
        """One task was taken in."""
        self.nanoseconds.append(nanoseconds)


def percentile(ordered: list[float], share: float) -> float | None:
    """The nearest-rank percentile of sorted numbers, None of none."""
    return ordered[max(0, -(-int(len(ordered) * share * 1000) // 1000) - 1)] if ordered else None
