"""Whoever submits a task may be interrupted (Ctrl-C) anywhere within the ledger: nothing may be left in there of which
it does not know, nor anything that makes a later step raise."""

from __future__ import annotations

import sys
from collections.abc import Callable
from types import FrameType
from typing import Any

import pytest

from fogsdk.wire.messages import Gone
from tests.core.desk import Desk, result

STEPS: dict[str, Callable[[Desk], object]] = {
    "hand out": lambda desk: desk.hand("t", deadline=60_000),
    "settle": lambda desk: desk.hear(result("t")),
    "take back": lambda desk: desk.ledger.take_back("t"),
    "orphan": lambda desk: desk.ledger.node_gone("n1", "gone") if desk.directory.hear("a", "n1", Gone(1), 0) else None,
}


class Interruption:
    """Raises KeyboardInterrupt in place of the ``at``-th line that runs in the core."""

    def __init__(self, at: int) -> None:
        self.left = at

    def __call__(self, frame: FrameType, event: str, _: Any) -> Any:
        if "/fogsdk/core/" not in frame.f_code.co_filename:
            return None
        if event == "line":
            self.left -= 1
            if not self.left:
                raise KeyboardInterrupt
        return self


def interrupted(desk: Desk, step: Callable[[Desk], object], at: int) -> bool:
    """Whether a step has so many lines; if so it was interrupted there."""
    before, interruption = sys.gettrace(), Interruption(at)
    try:
        sys.settrace(interruption)
        step(desk)
    except KeyboardInterrupt:
        return True
    finally:
        sys.settrace(before)
    return False


@pytest.mark.parametrize("step", STEPS)
def test_an_interruption_leaves_nothing_behind_that_the_ledger_does_not_know(step: str) -> None:
    for at in range(1, 1000):
        desk = Desk()
        desk.hand("other", "n2")
        if step != "hand out":
            desk.hand("t", deadline=60_000)
        if not interrupted(desk, STEPS[step], at):
            break
        assert everywhere(desk) <= desk.ledger.entries.keys()
        desk.hear(result("other", "n2"))
        desk.run(100_000)
        desk.hear(result("t"))
        desk.run(200_000)
        desk.ledger.take_back("t")
        assert not everywhere(desk)
        assert not desk.ledger.entries
    else:
        pytest.fail("it never came to its end")
    assert at > 10, "lines were counted"


def everywhere(desk: Desk) -> set[str]:
    """The tasks that are written down anywhere beside the ledger's entries."""
    ledger = desk.ledger
    late = {id for kind in ledger.hedging._kinds.values() for id in kind.out}
    held = {id for taker in ledger._takers.by_node.values() for id in taker.ids}
    return late | held | {*ledger._first, *ledger._due._due, *ledger._expiries._due, *ledger._waiting}
