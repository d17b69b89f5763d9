"""Searches for records: each ends, whoever begins it when."""

from __future__ import annotations

from fogsdk.core.commands import Send
from fogsdk.core.records import Sought
from fogsdk.core.seeking import ASK_AGAIN, MOST_SEARCHES, SEEK_WITHIN, Seeking
from fogsdk.wire.messages import Kept, Seek

NODES = ["n1", "n2"]


def full() -> Seeking:
    """As many searches as may be under way."""
    seeking = Seeking(lambda node, question: [Send("a", node, question)])
    for number in range(MOST_SEARCHES):
        seeking.begin(Seek(f"k{number}"), NODES, 0)
    return seeking


def ends(seeking: Seeking, until: int) -> dict[str, int]:
    """When each search ended."""
    ended: dict[str, int] = {}
    while (at := seeking.deadline()) is not None and at <= until:
        ended.update({each.key: at for each in seeking.tick(at) if isinstance(each, Sought)})
    return ended


def test_one_more_than_may_be_waits_and_ends_too() -> None:
    seeking = full()
    assert seeking.begin(Seek("mine"), NODES, 0) == []
    ended = ends(seeking, 10_000)
    assert len(ended) == MOST_SEARCHES + 1
    assert ended["mine"] <= 2 * SEEK_WITHIN + ASK_AGAIN


def test_one_that_waits_and_has_nobody_to_ask_any_more_ends_at_once_and_hinders_no_other() -> None:
    seeking = full()
    for number in range(10):
        seeking.begin(Seek(f"w{number}"), NODES, 0)
    assert seeking.begin(Seek("w3"), [], 100) == [Sought("w3", None)]
    assert len(ends(seeking, 10_000)) == MOST_SEARCHES + 9


def test_one_that_waits_and_is_begun_by_another_call_ends_though_an_answer_is_lost() -> None:
    seeking = full()
    seeking.begin(Seek("mine"), NODES, 0)
    for node in NODES:
        seeking.answered(Kept("k0", node))
    assert len(seeking.begin(Seek("mine"), NODES, 100)) == len(NODES)
    seeking.answered(Kept("mine", "n1"))
    assert ends(seeking, 10_000)["mine"] == 100 + SEEK_WITHIN
