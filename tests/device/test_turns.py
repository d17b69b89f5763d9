"""Whose turn it is to read: what an interruption (Ctrl-C) in the thread that waits may leave behind."""

from __future__ import annotations

import selectors

import pytest

from fogsdk.device.turns import Turns, Wait


def test_who_is_interrupted_while_it_finds_out_what_is_due_has_the_connection_made_anew() -> None:
    """The core may be in the middle of something then; with a new connection it asks after everything."""
    out, said = ["task"], list[str]()

    def turn(_wait: Wait, leads: bool) -> None:
        assert leads
        out.clear()

    def is_early() -> bool:
        raise KeyboardInterrupt

    selector = selectors.DefaultSelector()
    turns = Turns(
        selector,
        turn,
        lambda task: out == [task],
        is_steady=lambda: True,
        is_early=is_early,
        wake=lambda: said.append("wake"),
        interrupted=lambda: said.append("interrupted"),
    )
    if not turns.may_lead:
        pytest.skip("there is no epoll here")
    with pytest.raises(KeyboardInterrupt):
        turns.attend("task", None)
    assert said == ["interrupted"]
    turns.end(selector.close)
