"""Hedging: what takes much longer than usual is given to a second node too; that costs little, and loses nothing."""

from __future__ import annotations

from typing import Any

import pytest

from fogsdk.core.commands import Settled
from fogsdk.core.hedging import BURST, ENOUGH, FACTOR, ONE_IN, SHORTEST, Hedging, Straggling
from fogsdk.core.takers import SILENT_AFTER
from fogsdk.wire.messages import Accepted, Ask, Birth, Cancel, Hop, Refused, Result, Task
from tests.core.desk import Desk, asked, orphans, result, sent

USUAL = 40
LATE = int(FACTOR * USUAL)


def practised(*nodes: str, tasks: int = 10 * ENOUGH, took: int = USUAL) -> Desk:
    """A desk that handed out some tasks, each of which took equally long."""
    desk = Desk(*nodes)
    for number in range(tasks):
        desk.hand(f"before-{number}")
        desk.now += took
        desk.hear(result(f"before-{number}"))
    return desk


def stragglers(desk: Desk, milliseconds: int) -> list[tuple[int, Straggling]]:
    """Which tasks were late, and after how long."""
    before = desk.now
    return [(at - before, each) for at, each in desk.run(desk.now + milliseconds) if isinstance(each, Straggling)]


def hedged(desk: Desk, **options: Any) -> Desk:
    """The same desk, with a task that n1 has, and n2 was given too when it was late."""
    desk.hand("t", **options)
    assert stragglers(desk, LATE) == [(LATE, Straggling("t", "n1"))]
    assert [node for node, _ in sent(desk.ledger.hedge("t", "n2", desk.now))] == ["n2"]
    return desk


# ---------------------------------------------------------------- when


def test_a_task_is_late_once_it_took_half_as_long_again_as_one_in_twenty_does() -> None:
    desk = practised()
    desk.hand("t")
    assert stragglers(desk, 500) == [(LATE, Straggling("t", "n1"))], "and no second time"


def test_a_task_that_is_back_is_not_late() -> None:
    desk = practised()
    desk.hand("t")
    desk.run(desk.now + LATE - 1)
    desk.hear(result("t"))
    assert stragglers(desk, 500) == []
    assert desk.ledger.deadline() is None


def test_until_enough_tasks_came_back_nothing_is_late() -> None:
    desk = practised(tasks=ENOUGH - 1)
    desk.hand("t")
    assert stragglers(desk, 500) == []


def test_what_is_quick_is_not_late_at_once() -> None:
    desk = practised(took=1)
    desk.hand("t")
    assert stragglers(desk, 500) == [(SHORTEST, Straggling("t", "n1"))]


def test_what_is_usual_is_learned_for_each_name_and_for_parts_by_themselves() -> None:
    desk = practised()
    desk.ledger.add(Task("other", "other work", b""), desk.now)
    desk.ledger.assign("other", "n1", desk.now)
    desk.hand("part", part=3)
    assert stragglers(desk, 500) == []


@pytest.mark.parametrize("options", [{"session": "cart", "step": 2}, {"keep": 60_000}])
def test_steps_of_sessions_and_posted_tasks_are_never_late(options: dict[str, Any]) -> None:
    desk = practised()
    desk.hand("t", **options)
    assert stragglers(desk, 500) == []


def test_what_may_go_to_one_node_only_is_never_late() -> None:
    desk = practised()
    desk.ledger.add(Task("t", "work", b""), desk.now, to="n1")
    desk.ledger.assign("t", "n1", desk.now)
    assert stragglers(desk, 500) == []


def test_a_task_that_got_a_new_taker_has_its_usual_time_again() -> None:
    desk = practised()
    desk.hand("t")
    desk.run(desk.now + LATE - 1)
    desk.ledger.node_gone("n1", "gone")
    desk.ledger.assign("t", "n2", desk.now)
    assert stragglers(desk, 200) == [(LATE, Straggling("t", "n2"))]


def test_a_part_of_all_tasks_can_be_hedged_and_no_more_in_a_row_than_a_few() -> None:
    hedging = Hedging()
    for _ in range(ENOUGH):
        hedging.came_back(Task("t", "work", b""), USUAL)
    for _ in range(1000):
        hedging.earn()
    tasks = [Task(f"t{number}", "work", b"") for number in range(200)]
    for task in tasks:
        hedging.handed_out(task, 0)
    for _ in hedging.late(LATE):
        hedging.spend(tasks[0], LATE)
    assert hedging.sent == BURST, "of all that are late at once"
    for at, task in enumerate(tasks):
        hedging.earn()
        hedging.handed_out(task, at)
        for _ in hedging.late(at + LATE):
            hedging.spend(task, LATE)
    assert hedging.sent == BURST + 200 // ONE_IN


# ---------------------------------------------------------------- who wins


def test_the_second_node_gets_the_same_task_and_is_told_who_has_it_already() -> None:
    desk = practised()
    desk.hand("t", body=b"\x80", deadline=5000)
    desk.run(desk.now + LATE)
    again = Task("t", "work", b"\x80", deadline=5000 - LATE, via=("n1",))
    assert sent(desk.ledger.hedge("t", "n2", desk.now)) == [("n2", again)]


def test_the_second_may_be_first_and_the_trace_says_why_it_was_asked() -> None:
    desk = hedged(practised())
    desk.now += 5
    cancel, settled = desk.hear(result("t", "n2"))
    assert sent([cancel]) == [("n1", Cancel("t"))]
    assert isinstance(settled, Settled)
    assert isinstance(settled.outcome, Result)
    assert settled.outcome.hops[0].node == "n2"
    assert settled.outcome.hops[1:] == (Hop("n1", "hedged", f"no answer in {LATE} ms, usually in {USUAL}"),)
    assert (desk.ledger.hedging.sent, desk.ledger.hedging.won) == (1, 1)
    assert desk.hear(result("t", "n1")) == []


def test_when_the_first_answers_after_all_the_second_is_told_to_stop() -> None:
    desk = hedged(practised())
    assert sent(desk.hear(result("t", "n1"))) == [("n2", Cancel("t"))]
    assert (desk.ledger.hedging.sent, desk.ledger.hedging.won) == (1, 0)


def test_a_task_that_nobody_wants_any_more_is_stopped_on_both_nodes() -> None:
    desk = hedged(practised())
    assert sent(desk.ledger.take_back("t")) == [("n1", Cancel("t")), ("n2", Cancel("t"))]


def test_a_final_refusal_of_the_first_stops_the_second() -> None:
    desk = hedged(practised())
    effects = desk.hear(Refused("t", "n1", "bad-arguments"))
    assert sent(effects) == [("n2", Cancel("t"))]
    assert effects[-1] == Settled("t", Refused("t", "n1", "bad-arguments"))


# ---------------------------------------------------------------- nothing is lost


@pytest.mark.parametrize("reason", ["overloaded", "leaving", "unknown-task", "bad-arguments", "quarantined"])
def test_when_the_second_refuses_the_first_is_waited_for_as_before(reason: str) -> None:
    desk = hedged(practised())
    assert desk.hear(Refused("t", "n2", reason)) == []
    assert desk.ledger.entries["t"].taker == "n1"
    heard = desk.now
    desk.hear(Accepted("t", "n1"))
    [(at, orphan)] = [(at, each) for at, each in desk.run(desk.now + 2000) if orphans([each])]
    assert at - heard == SILENT_AFTER, "it is still asked, and found out when it is silent"
    assert orphan == orphans([orphan])[0]
    assert isinstance(desk.hear(result("t", "n1"))[-1], Settled), "and its answer counts even then"


@pytest.mark.parametrize("why", ["gone", "silent", "leaving"])
def test_when_the_first_is_lost_the_second_takes_over_and_is_asked_whether_it_has_it(why: str) -> None:
    desk = hedged(practised())
    desk.answers = ("n2",)
    if why == "gone":
        effects = desk.ledger.node_gone("n1", why)
    elif why == "leaving":
        effects = desk.hear(Refused("t", "n1", why))
    else:
        effects = [each for _, each in desk.run(desk.now + SILENT_AFTER)]
    assert orphans(effects) == []
    assert desk.ledger.entries["t"].taker == "n2"
    out = desk.run(desk.now + 2000)
    assert asked(out, "t")
    assert {node for node, message in sent([each for _, each in out]) if message == Ask("t")} == {"n2"}
    assert isinstance(desk.hear(result("t", "n2"))[-1], Settled)


def test_a_second_that_never_got_the_task_is_sent_it_again_when_it_takes_over() -> None:
    desk = hedged(practised())
    desk.run(desk.now + 300)
    desk.ledger.node_gone("n1", "gone")
    assert [message.id for _, message in sent(desk.hear(Refused("t", "n2", "unknown-id")))] == ["t"]


def test_when_both_are_lost_the_task_needs_a_new_taker() -> None:
    desk = hedged(practised("n1", "n2", "n3"))
    desk.directory.link_down("a")
    desk.directory.link_up("a", desk.now)
    desk.directory.hear("a", "n3", Birth(1, "fog", 2), desk.now)
    assert [each.id for each in orphans(desk.ledger.node_gone("n1", "gone"))] == ["t"], "n2 is not there any more"


# ---------------------------------------------------------------- what is learned of it


def test_the_second_is_judged_by_its_own_time_and_the_first_by_what_it_took_at_least() -> None:
    desk = hedged(practised())
    first, second = (desk.directory.members[node] for node in ("n1", "n2"))
    desk.now += 9
    desk.hear(result("t", "n2", took=1.0))
    assert second.experience.extra.p95 == 9 - 1
    assert LATE + 9 - 1 in first.experience.extra._kept


def test_tasks_that_were_late_do_not_make_others_late_sooner() -> None:
    """The time that a hedged task took counts like any other: without it only the quick ones would be usual."""
    desk = practised()
    for number in range(ENOUGH):
        desk.hand(f"t{number}")
        desk.run(desk.now + LATE)
        desk.now += 40
        desk.hear(result(f"t{number}"))
    desk.hand("t")
    assert stragglers(desk, 500) == [(int(FACTOR * (LATE + 40)), Straggling("t", "n1"))]
