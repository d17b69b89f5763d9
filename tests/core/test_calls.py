"""Calls that wait for a record: bounded, and no sender has all the places."""

from __future__ import annotations

import pytest

from fogsdk.core.calls import MOST_CALLS, Call, Calls
from fogsdk.core.events import Asked
from fogsdk.errors import TaskRefused
from fogsdk.wire.messages import Task


def opened(calls: Calls, sender: str, number: int) -> Call:
    task = Task(f"t{number}", "fog.fetch", b"")
    return calls.open(Asked("a", sender, task), task, "post", lambda _call, _now: [], 0)


def test_one_sender_leaves_as_much_as_it_has_to_the_others() -> None:
    calls = Calls()
    mine = [opened(calls, "dev", number) for number in range(MOST_CALLS // 2)]
    with pytest.raises(TaskRefused, match=f"{MOST_CALLS // 2} of them yours"):
        opened(calls, "dev", MOST_CALLS)
    opened(calls, "other", 1)
    for call in mine[:2]:
        calls.close(call)
        calls.close(call)
    opened(calls, "dev", MOST_CALLS)


def test_nothing_is_left_of_a_sender_whose_calls_are_over() -> None:
    calls = Calls()
    call = opened(calls, "dev", 1)
    calls.wait(call)
    calls.close(call)
    assert len(calls) == 0
    assert not calls._of
