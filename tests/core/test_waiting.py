"""The line of tasks that no node can take now."""

from __future__ import annotations

from itertools import pairwise

from fogsdk.core.waiting import APART, WAIT_AGAIN, Waiting

MANY = 1000


def test_many_look_again_one_after_the_other() -> None:
    waiting = Waiting()
    turns = [waiting.add(f"t{number}", False, 0) for number in range(MANY)]
    assert turns[0] == WAIT_AGAIN
    assert {later - earlier for earlier, later in pairwise(turns)} <= {0, APART}
    assert turns[-1] == MANY * APART


def test_few_look_again_soon_also_where_many_did_before() -> None:
    waiting = Waiting()
    for number in range(MANY):
        waiting.add(f"t{number}", False, 0)
    for number in range(MANY):
        waiting.drop(f"t{number}")
    assert waiting.add("t", False, 100) == 100 + WAIT_AGAIN


def test_after_all_have_looked_the_first_ones_do_so_again_soon() -> None:
    waiting = Waiting()
    for number in range(MANY):
        waiting.add(f"t{number}", False, 0)
    waiting.all_look()
    assert waiting.add("t0", False, 100) == 100 + WAIT_AGAIN
    assert waiting.add("t1", False, 100) == 100 + WAIT_AGAIN + APART


def test_those_for_one_node_wait_in_a_line_of_their_own() -> None:
    waiting = Waiting()
    for number in range(MANY):
        waiting.add(f"t{number}", True, 0)
    assert waiting.add("free", False, 0) == WAIT_AGAIN
    assert waiting.first(MANY) == ["free"]
    assert len(list(waiting)) == MANY + 1
    waiting.drop("t0")
    waiting.drop("free")
    assert waiting.first(1) == []
    assert len(list(waiting)) == MANY - 1


def test_the_first_ones_have_the_first_turn() -> None:
    waiting = Waiting()
    for id in ("a", "b", "c"):
        waiting.add(id, False, 0)
    waiting.drop("a")
    waiting.add("a", False, 0)
    assert waiting.first(2) == ["b", "c"]
