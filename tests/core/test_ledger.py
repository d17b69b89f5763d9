"""The ledger: whoever hands out a task keeps it until its one outcome, whatever becomes of takers and messages."""

from __future__ import annotations

import pytest

from fogsdk.core.commands import Advanced, Send, Settled
from fogsdk.core.entry import Orphaned
from fogsdk.core.ledger import LAST_CHECK, MOST_ENDED, NEVER
from fogsdk.core.takers import PROBE_EVERY
from fogsdk.core.waiting import WAIT_AGAIN
from fogsdk.wire.messages import (
    Accepted,
    Cancel,
    Cancelled,
    Expired,
    Failed,
    Gone,
    Hop,
    Progress,
    Refused,
    Reply,
    Result,
    Task,
)
from tests.core.desk import Desk, asked, available, orphans, result, sent

# ---------------------------------------------------------------- the usual way


def test_a_task_is_sent_to_its_taker_in_the_senders_name() -> None:
    desk = Desk()
    [send] = desk.hand("t", "n2", b"\x80", priority=3)
    assert send == Send("a", "fog/v1/home/node/n2/task/dev", Task("t", "work", b"\x80", priority=3))


def test_the_outcome_settles_it_once() -> None:
    desk = Desk()
    desk.hand("t")
    assert desk.hear(Accepted("t", "n1", 50)) == []
    assert desk.ledger.entries["t"].held
    assert desk.hear(result("t")) == [Settled("t", result("t"))]
    assert desk.hear(result("t")) == []
    assert desk.ledger.entries == {}
    assert desk.ledger.deadline() is None


@pytest.mark.parametrize("outcome", [result("t"), Failed("t", "E", "m"), Expired("t", "late")])
def test_every_outcome_of_the_task_itself_is_final(outcome: Reply) -> None:
    desk = Desk()
    desk.hand("t")
    assert desk.hear(outcome) == [Settled("t", outcome)]  # type: ignore[arg-type]


def test_progress_is_told() -> None:
    desk = Desk()
    desk.hand("t")
    assert desk.hear(Progress("t", 0.5)) == [Advanced("t", 0.5)]
    assert desk.hear(Progress("nobodys", 0.5)) == []


def test_a_cancelled_that_nobody_asked_for_is_of_an_earlier_task_and_this_one_is_sent_again() -> None:
    desk = Desk()
    desk.hand("t")
    assert desk.hear(Cancelled("t")) == [], "not in a hurry"
    desk.now = PROBE_EVERY
    assert sent(desk.hear(Cancelled("t"))) == [("n1", Task("t", "work", b""))]


# ---------------------------------------------------------------- takers that are lost


def test_what_a_lost_node_held_needs_a_taker_and_the_trace_remembers() -> None:
    desk = Desk()
    desk.hand("t1")
    desk.hand("t2")
    desk.hand("other", "n2")
    desk.directory.hear("a", "n1", Gone(1), 0)
    assert desk.ledger.node_gone("n1", "gone") == [Orphaned("t1", "n1", "gone"), Orphaned("t2", "n1", "gone")]
    assert desk.ledger.node_gone("n1", "gone") == []
    desk.ledger.assign("t1", "n2", 0)
    [settled] = desk.hear(result("t1", "n2"))
    assert isinstance(settled, Settled)
    assert isinstance(settled.outcome, Result)
    assert [(hop.node, hop.action, hop.why) for hop in settled.outcome.hops] == [
        ("n2", "ran", ""),
        ("n1", "lost", "gone"),
    ]


def test_a_node_that_was_only_slow_may_still_answer_and_the_other_is_told_to_stop() -> None:
    desk = Desk()
    desk.hand("t")
    desk.run(2000)
    desk.ledger.assign("t", "n2", desk.now)
    effects = desk.hear(result("t", "n1"))
    assert sent(effects) == [("n2", Cancel("t"))]
    assert isinstance(effects[-1], Settled)


def test_the_first_answer_counts_and_the_slow_node_is_told_to_stop() -> None:
    desk = Desk()
    desk.hand("t")
    desk.run(2000)
    desk.ledger.assign("t", "n2", desk.now)
    assert sent(desk.hear(result("t", "n2"))) == [("n1", Cancel("t"))]
    assert sent(desk.hear(Accepted("t", "n1"))) == [("n1", Cancel("t"))], "it still works for nobody"
    assert desk.hear(result("t", "n1")) == []


def test_a_stranger_who_accepts_a_task_that_never_was_is_not_talked_to() -> None:
    assert Desk().hear(Accepted("never", "n1")) == []


def test_a_task_that_goes_back_to_a_node_that_had_it_is_not_cancelled_there() -> None:
    desk = Desk()
    desk.hand("t")
    desk.run(2000)
    desk.ledger.assign("t", "n1", desk.now)
    assert sent(desk.hear(result("t", "n1"))) == []


def test_a_task_for_a_node_out_of_reach_waits() -> None:
    desk = Desk()
    desk.directory.hear("a", "n1", Gone(1), 0)
    assert desk.hand("t", "n1") == []
    assert desk.run(WAIT_AGAIN) == [(WAIT_AGAIN, Orphaned("t", None, "no node"))]


def test_what_waits_for_a_node_need_not_wait_longer_when_one_comes() -> None:
    desk = Desk()
    desk.ledger.add(Task("t", "work", b""), 0)
    desk.ledger.wait("t", 0)
    desk.ledger.node_came("n1", 100)
    assert desk.run(100) == [(100, Orphaned("t", None, "no node"))]


def test_what_a_node_has_is_asked_after_when_it_comes_back() -> None:
    desk = Desk(answers=("n1",))
    desk.hand("t")
    desk.run(100)
    desk.ledger.node_came("n1", 100)
    assert asked(desk.run(100), "t") == [100]


def test_a_trace_does_not_grow_without_end() -> None:
    desk = Desk()
    desk.hand("t")
    for _ in range(50):
        desk.ledger.node_gone("n1", "gone")
        desk.ledger.assign("t", "n1", 0)
    assert len(desk.ledger.entries["t"].lost) == 8


# ---------------------------------------------------------------- refusals


@pytest.mark.parametrize(
    ("reason", "retry_after", "avoided_for"),
    [
        ("overloaded", 120, 120),
        ("overloaded", None, WAIT_AGAIN),
        ("leaving", 1000, 1000),
        ("unknown-task", None, LAST_CHECK),
        ("no-cloud", None, LAST_CHECK),
        ("no-room", None, NEVER - 10),
    ],
)
def test_a_node_that_cannot_take_it_now_is_avoided_for_a_while(
    reason: str, retry_after: int | None, avoided_for: int
) -> None:
    desk = Desk()
    desk.hand("t")
    desk.now = 10
    refused = Refused("t", "n1", reason, "", retry_after)
    assert desk.hear(refused) == [Orphaned("t", "n1", reason)]
    entry = desk.ledger.entries["t"]
    assert entry.avoid == {"n1": 10 + avoided_for}
    assert (entry.taker, entry.refusal) == (None, refused)


@pytest.mark.parametrize("reason", ["bad-arguments", "malformed", "too-large", "quarantined", "what-is-new"])
def test_other_refusals_are_final(reason: str) -> None:
    desk = Desk()
    desk.hand("t")
    assert desk.hear(Refused("t", "n1", reason)) == [Settled("t", Refused("t", "n1", reason))]


def test_a_full_node_gets_no_more_than_it_holds_until_a_result_comes_from_it() -> None:
    desk = Desk()
    for id in ("t1", "t2", "t3"):
        desk.hand(id)
    assert desk.ledger.has_room("n1")
    desk.hear(Refused("t3", "n1", "overloaded", "", 120))
    assert not desk.ledger.has_room("n1")
    assert desk.ledger.has_room("n2")
    assert [member.node for member in available(desk.directory, 119)] == ["n2"]
    desk.ledger.wait("t3", 0)
    desk.now = 50
    assert orphans(desk.hear(result("t1"))) == [Orphaned("t3", None, "overloaded")], "it need not wait any longer"
    assert desk.ledger.has_room("n1")


def test_a_node_that_is_full_for_some_may_have_room_for_what_is_more_urgent() -> None:
    desk = Desk()
    for id in ("t1", "t2"):
        desk.hand(id)
    desk.hear(Refused("t2", "n1", "overloaded", "", 120))
    assert not desk.ledger.has_room("n1", 0)
    assert desk.ledger.has_room("n1", 1)
    assert desk.directory.members["n1"].available(0, 1)
    assert not desk.directory.members["n1"].available(0, 0)


def test_a_node_that_refuses_a_task_for_its_deadline_is_not_full() -> None:
    desk = Desk()
    desk.hand("t1")
    desk.hand("t2", deadline=100)
    assert desk.hear(Refused("t2", "n1", "overloaded", "", 120)) == [Orphaned("t2", "n1", "overloaded")]
    assert desk.ledger.has_room("n1")
    assert "n1" in [member.node for member in available(desk.directory, 0)]


def test_no_node_is_believed_that_it_is_full_for_longer_than_it_would_be_asked_anyway() -> None:
    desk = Desk()
    desk.hand("t")
    desk.hear(Refused("t", "n1", "overloaded", "", 10**9))
    assert desk.ledger.entries["t"].avoid == {"n1": LAST_CHECK}
    assert [member.node for member in available(desk.directory, LAST_CHECK)] == ["n1", "n2"]


def test_a_refusal_of_one_who_does_not_have_it_changes_nothing() -> None:
    desk = Desk()
    desk.hand("t", "n1")
    assert desk.hear(Refused("t", "n2", "bad-arguments")) == []
    assert desk.ledger.entries["t"].taker == "n1"


def test_a_task_that_never_arrived_is_sent_again_but_not_in_a_hurry() -> None:
    desk = Desk()
    desk.hand("t", "n1", deadline=10_000)
    desk.now = PROBE_EVERY - 1
    assert desk.hear(Refused("t", "n1", "unknown-id")) == []
    desk.now = PROBE_EVERY
    again = desk.hear(Refused("t", "n1", "unknown-id"))
    assert sent(again) == [("n1", Task("t", "work", b"", deadline=10_000 - PROBE_EVERY))]
    assert desk.hear(Refused("t", "n1", "unknown-id")) == [], "that was about the first one"


# ---------------------------------------------------------------- the end


def test_a_deadline_ends_the_wait_and_says_what_was_the_matter() -> None:
    desk = Desk("n1", "n2", answers=("n1",))
    desk.hand("held", deadline=5000)
    desk.hear(Accepted("held", "n1"))
    desk.hand("refused", deadline=5000)
    desk.hear(Refused("refused", "n1", "overloaded", "n1 is full", 9000))
    desk.ledger.wait("refused", 0, 9000)
    desk.ledger.add(Task("alone", "work", b"", deadline=5000), 0)
    desk.ledger.wait("alone", 0, 9000)
    out = [effect for _, effect in desk.run(5000)]
    assert ("n1", Cancel("held")) in sent(out)
    texts = {each.id: each.outcome.message for each in out if isinstance(each, Settled)}  # type: ignore[union-attr]
    assert "n1 had accepted it" in texts["held"]
    assert "overloaded: n1 is full" in texts["refused"]
    assert "no node was there" in texts["alone"]
    assert desk.ledger.entries == {}


def test_a_deadline_counts_on_while_the_task_is_handed_from_node_to_node() -> None:
    desk = Desk()
    desk.hand("t", "n1", deadline=5000)
    desk.now = 700
    desk.ledger.node_gone("n1", "gone")
    assert sent(desk.ledger.assign("t", "n2", 700)) == [("n2", Task("t", "work", b"", deadline=4300))]


def test_a_task_that_is_taken_back_is_stopped_wherever_it_may_be() -> None:
    desk = Desk()
    desk.hand("t")
    desk.run(2000)
    desk.ledger.assign("t", "n2", desk.now)
    assert sorted(node for node, _ in sent(desk.ledger.take_back("t"))) == ["n1", "n2"]
    assert desk.ledger.take_back("t") == []
    assert desk.hear(result("t", "n2")) == []
    assert desk.ledger.deadline() is None


def test_only_so_many_ended_tasks_are_remembered() -> None:
    desk = Desk()
    for number in range(MOST_ENDED + 1):
        desk.hand(f"t{number}")
        desk.hear(result(f"t{number}"))
    assert desk.hear(Accepted("t0", "n1")) == []
    assert sent(desk.hear(Accepted("t1", "n1"))) == [("n1", Cancel("t1"))]


# ---------------------------------------------------------------- what is learned


def test_the_way_is_learned_from_answers_that_came_by_themselves() -> None:
    desk = Desk()
    desk.hand("t")
    desk.now = 40
    desk.hear(result("t", took=10.0))
    assert desk.directory.members["n1"].travel() == 30.0
    assert desk.directory.members["n1"].ran("work") == 1.0


def test_of_answers_that_come_together_the_last_of_each_node_is_learned_from_and_how_long_they_took_of_all() -> None:
    desk = Desk()
    for id, node in (("a", "n1"), ("b", "n1"), ("c", "n2")):
        desk.hand(id, node)
    for at, id, node in ((10, "a", "n1"), (20, "b", "n1"), (30, "c", "n2")):
        desk.ledger.hear(result(id, node, took=0.0), at)
    desk.ledger.lessons.catch_up()
    assert [desk.directory.members[node].travel() for node in ("n1", "n2")] == [20.0, 30.0]
    assert desk.ledger.hedging._kinds["work"].usual.count == 3


def test_a_part_that_comes_with_a_whole_task_does_not_keep_it_from_being_learned_from() -> None:
    desk = Desk()
    desk.hand("whole")
    desk.hand("part", part=1)
    desk.ledger.hear(result("whole"), 10)
    desk.ledger.hear(Result("part", b"", (Hop("n1", "ran", part=1, ran=9.0, took=9.0),)), 10)
    desk.ledger.lessons.catch_up()
    assert desk.directory.members["n1"].ran("work") == 1.0


def test_a_large_result_teaches_how_long_the_task_runs_and_nothing_of_the_way() -> None:
    desk = Desk()
    desk.ledger.inline = 100
    desk.hand("t")
    desk.now = 5000
    desk.hear(Result("t", bytes(101), (Hop("n1", "ran", ran=3000.0, took=3000.0),)))
    assert desk.ledger.lessons.costs.mean("work") == 3000.0
    assert desk.directory.members["n1"].experience.extra.count == 0


def test_the_way_is_not_learned_from_answers_that_were_asked_for() -> None:
    desk = Desk(answers=("n1",))
    desk.hand("t")
    desk.run(4000)
    desk.hear(result("t", took=10.0))
    assert desk.directory.members["n1"].experience.link_ms is None


def test_what_a_node_was_handed_counts_until_it_is_done_or_in_the_nodes_own_word() -> None:
    desk = Desk()
    member = desk.directory.members["n1"]
    for id in ("t1", "t2"):
        desk.ledger.add(Task(id, "work", b""), 0)
        desk.ledger.assign(id, "n1", 0, cost=100.0)
    assert member.outstanding_ms == 200.0
    desk.ledger.take_back("t1")
    assert member.outstanding_ms == 100.0
    desk.now = 10
    desk.hear(result("t2"))
    assert member.outstanding_ms == 0.0
