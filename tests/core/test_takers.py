"""Asking: a ledger finds out by questions whether its takers live and have its tasks, soon and without asking much."""

from __future__ import annotations

from itertools import pairwise

from fogsdk.core.entry import FIRST_CHECK, Orphaned
from fogsdk.core.events import Moving
from fogsdk.core.ledger import LAST_CHECK
from fogsdk.core.takers import BYTES_PER_MS, LONGEST_SILENCE, PATIENCE, PROBE_AGAIN, PROBE_EVERY, SILENT_AFTER
from fogsdk.wire.messages import Accepted, Birth, Progress
from tests.core.desk import Desk, asked, available, orphans, result


def test_a_task_is_asked_after_less_and_less_often() -> None:
    """The younger of two tasks; about the older one the node itself is asked."""
    desk = Desk(answers=("n1",))
    desk.hand("older")
    desk.hand("t")
    desk.hear(Accepted("t", "n1"))
    times = asked(desk.run(30_000), "t")
    assert times[0] == FIRST_CHECK
    pauses = [later - earlier for earlier, later in pairwise(times)]
    assert pauses[:4] == [2 * FIRST_CHECK, 4 * FIRST_CHECK, 8 * FIRST_CHECK, 16 * FIRST_CHECK]
    assert set(pauses[4:]) == {LAST_CHECK}


def test_a_large_task_gets_time_to_arrive() -> None:
    desk = Desk()
    desk.hand("t", body=bytes(700 * BYTES_PER_MS))
    out = desk.run(FIRST_CHECK + 700)
    assert asked(out, "t") == [PROBE_EVERY + 700]


def test_large_tasks_wait_for_each_other_on_the_link() -> None:
    desk = Desk(answers=("n1", "n2"))
    desk.hand("t1", "n1", body=bytes(700 * BYTES_PER_MS))
    desk.hand("t2", "n2", body=bytes(800 * BYTES_PER_MS))
    out = desk.run(FIRST_CHECK + 1500)
    assert asked(out, "t2") == [PROBE_EVERY + 1500]


def test_a_taker_of_whom_nothing_is_heard_is_asked_about_its_oldest_task() -> None:
    desk = Desk(answers=("n1",))
    desk.hand("older")
    desk.now = 10
    desk.hand("younger")
    desk.hear(Accepted("older", "n1"))
    times = asked(desk.run(5000), "older")
    pauses = {later - earlier for earlier, later in pairwise(times)}
    assert max(pauses) <= 2 * PROBE_EVERY


def test_a_silent_taker_is_found_within_its_time_and_all_its_tasks_are_given_up() -> None:
    desk = Desk()
    for id in ("t1", "t2"):
        desk.hand(id)
    desk.hand("elsewhere", "n2")
    desk.answers = ("n2",)
    out = desk.run(2000)
    lost = [(at, each) for at, each in out if isinstance(each, Orphaned)]
    assert [each for _, each in lost] == [Orphaned("t1", "n1", "silent"), Orphaned("t2", "n1", "silent")]
    assert {at for at, _ in lost} == {SILENT_AFTER}
    assert [member.node for member in available(desk.directory, desk.now)] == ["n2"]


def test_of_a_lone_task_a_node_is_asked_once_at_a_time() -> None:
    """Asking whether the node lives and asking after its task are one question where there is one task."""
    desk = Desk(answers=("n1",))
    desk.hand("t")
    desk.hear(Accepted("t", "n1"))
    times = asked(desk.run(10_000), "t")
    assert {later - earlier for earlier, later in pairwise(times)} == {PROBE_EVERY}


def test_a_taker_that_does_not_answer_is_asked_faster() -> None:
    desk = Desk()
    desk.hand("t")
    times = asked(desk.run(SILENT_AFTER), "t")
    assert times == list(range(PROBE_EVERY, SILENT_AFTER, PROBE_AGAIN))


def test_a_taker_that_is_known_to_be_slow_is_waited_for_longer_but_not_for_ever() -> None:
    for usual, expected in ((200.0, PROBE_EVERY + PATIENCE * 200.0), (60_000.0, PROBE_EVERY + LONGEST_SILENCE)):
        desk = Desk()
        desk.directory.added("n1", usual, 0)
        desk.hand("t")
        [(at, _)] = [(at, each) for at, each in desk.run(10_000) if isinstance(each, Orphaned)][:1]
        assert at == expected


def test_how_slow_a_node_is_is_learned_also_from_what_it_answers_too_late() -> None:
    desk = Desk()
    desk.hand("t")
    desk.run(SILENT_AFTER)
    desk.ledger.assign("t", "n2", desk.now)
    desk.now = 1500
    desk.hear(result("t", "n1"))
    assert desk.directory.members["n1"].experience.extra.p95 == 1499
    assert "n1" in [member.node for member in available(desk.directory, desk.now)], "it lives"


def test_a_word_of_the_taker_about_any_task_is_enough() -> None:
    desk = Desk()
    desk.hand("t1")
    desk.hand("t2")
    for at in range(200, 3000, 200):
        assert not orphans(desk.run(at))
        desk.hear(Progress("t2", 0.1))
    assert not orphans(desk.run(3000))


def test_without_a_link_nobody_is_taken_for_silent_and_with_one_everything_is_asked_after() -> None:
    desk = Desk()
    desk.hand("t1")
    desk.hand("t2")
    desk.directory.link_down("a")
    desk.ledger.recheck(0)
    assert not orphans(desk.run(20_000))
    desk.directory.link_up("a", 20_000)
    desk.directory.hear("a", "n1", Birth(1, "fog", 2), 20_000)
    desk.ledger.recheck(20_000)
    out = desk.run(20_000)
    assert asked(out, "t1") == asked(out, "t2") == [20_000]


def test_what_is_handed_out_all_the_while_keeps_no_silent_node_from_being_found() -> None:
    desk = Desk(answers=("n2",))
    desk.hand("lost", "n1")
    for number in range(100):
        lost = orphans(desk.run(20 * number))
        if lost:
            break
        desk.hand(f"t{number}", "n2", body=b"small")
        desk.hear(result(f"t{number}", "n2"))
    assert lost
    assert desk.now <= SILENT_AFTER + 20


def test_what_was_answered_is_no_longer_on_its_way() -> None:
    """A node that falls silent after a stream of arguments is found as soon as ever, and so is a task that is lost."""
    desk = Desk(answers=("n2",))
    for number in range(2000):
        desk.hand(f"t{number}", ("n1", "n2")[number % 2], body=bytes(20 * BYTES_PER_MS))
        desk.now += 5
        desk.hear(result(f"t{number}", ("n1", "n2")[number % 2]))
    before = desk.now
    desk.hand("silent", "n1")
    desk.hand("lives", "n2")
    desk.hand("lost", "n2")
    out = desk.run(before + 2000)
    assert [at - before for at, each in out if isinstance(each, Orphaned)] == [SILENT_AFTER]
    assert asked(out, "lost")[0] - before == FIRST_CHECK


def test_what_went_before_an_answered_task_has_left_too() -> None:
    desk = Desk(answers=("n2",))
    for number in range(1000):
        desk.hand(f"t{number}", ("n1", "n2")[number % 2], body=bytes(200 * BYTES_PER_MS))
    desk.now = 100
    desk.hear(result("t999", "n2"))
    out = desk.run(2000)
    silent = {at for at, each in out if isinstance(each, Orphaned)}
    assert len(silent) == 1
    assert max(silent) <= 100 + SILENT_AFTER + PROBE_EVERY


def test_what_went_after_it_may_be_on_its_way_still() -> None:
    desk = Desk(answers=("n2",))
    desk.hand("before", "n2")
    desk.hand("large", "n1", body=bytes(3000 * BYTES_PER_MS))
    desk.hand("small", "n2")
    desk.hear(result("before", "n2"))
    assert asked(desk.run(3000), "large") == []
    desk.hear(result("small", "n2"))
    assert not orphans(desk.run(3000 + PROBE_EVERY))


def test_an_answer_over_one_link_says_nothing_of_another() -> None:
    desk = Desk("n1", answers=("n2",))
    desk.directory.link_up("b", 0)
    desk.directory.hear("b", "n2", Birth(1, "fog", 2), 0)
    desk.hand("large", "n1", body=bytes(3000 * BYTES_PER_MS))
    desk.hand("other", "n2", body=bytes(10 * BYTES_PER_MS))
    desk.hear(result("other", "n2"))
    assert asked(desk.run(3000), "large") == []


def test_of_a_body_in_chunks_what_is_under_way_may_be_on_its_way_and_no_more() -> None:
    """As long as those before it took, where there were any."""
    for took, until in ((0, 200), (40, 40)):
        desk = Desk()
        desk.hand("large", "n1", body=bytes(200 * BYTES_PER_MS))
        for at in range(1000):
            desk.now = at
            desk.ledger.moving(Moving("large", "n1", True, 200 * BYTES_PER_MS, took=took), at)
        desk.hand("small", "n2")
        out = desk.run(desk.now + 2000)
        assert asked(out, "small")[0] == 999 + until + PROBE_EVERY
