"""What is learned of a node: faults and late answers cost it tasks, fade with time, and survive its restart."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fogsdk.core.learned import (
    FAULT_HALF_LIFE,
    FAULTS_TO_HALF,
    FIRST_LINK_GUESS,
    LOSS_MS,
    PAUSE,
    SLOWNESS_HALF_LIFE,
    TAIL_WEIGHT,
    Learned,
)
from fogsdk.core.membership import Directory
from fogsdk.core.windows import KEPT, RENEW_EVERY, Window
from fogsdk.wire.messages import Beat, Birth, Gone

# ---------------------------------------------------------------- windows


def test_quantiles_are_of_the_nearest_rank() -> None:
    window = Window(range(1, 21))
    window.add(0)
    for _ in range(RENEW_EVERY):
        window.add(10)
    assert (window.p50, window.p95) == (10, 19)


def test_the_first_measurements_count_at_once() -> None:
    window = Window()
    assert (window.count, window.p50, window.p95) == (0, 0.0, 0.0)
    window.add(7)
    assert (window.p50, window.p95) == (7, 7)
    window.add(3)
    assert (window.p50, window.p95) == (3, 7)


@given(st.lists(st.integers(0, 10_000), max_size=150))
def test_a_window_is_of_the_latest_and_soon_up_to_date(values: list[int]) -> None:
    window = Window()
    stale = 0
    for number, value in enumerate(values, 1):
        window.add(value)
        latest = sorted(values[:number][-KEPT:])
        worst = next(each for each in latest if sum(other <= each for other in latest) >= 0.95 * len(latest))
        is_right = (window.count, window.p50, window.p95) == (len(latest), latest[(len(latest) - 1) // 2], worst)
        stale = 0 if is_right else stale + 1
        assert stale < RENEW_EVERY


# ---------------------------------------------------------------- faults


def site(*nodes: str) -> Directory:
    directory = Directory()
    directory.link_up("a", 0)
    for node in nodes or ("n",):
        directory.hear("a", node, Birth(1, "fog", 2), 0)
    return directory


def faults(directory: Directory, now: int = 0) -> float:
    learned = directory.members["n"].learned
    return learned.faults(now) if learned else 0.0


def test_a_fault_weighs_half_as_much_after_its_half_life() -> None:
    learned = Learned()
    assert learned.reliability(0) == 1.0
    learned.fault(0)
    learned.fault(FAULT_HALF_LIFE)
    assert learned.faults(FAULT_HALF_LIFE) == 1.5
    assert learned.faults(2 * FAULT_HALF_LIFE) == 0.75
    assert learned.reliability(FAULT_HALF_LIFE) == pytest.approx(FAULTS_TO_HALF / (FAULTS_TO_HALF + 1.5))


def test_a_node_that_dies_without_notice_failed() -> None:
    directory = site()
    directory.hear("a", "n", Gone(1), 0)
    assert faults(directory) == 1.0


def test_a_node_that_said_that_it_would_leave_did_not_fail() -> None:
    for notice in (Birth(1, "fog", 0), Beat(1, 1, 1000, draining=True)):
        directory = site()
        directory.hear("a", "n", notice, 0)
        directory.hear("a", "n", Gone(1), 0)
        assert faults(directory) == 0.0


def test_a_bridge_may_leave_without_notice() -> None:
    directory = site()
    directory.hear("a", "n", Birth(2, "cloud", 9), 0)
    directory.hear("a", "n", Gone(2), 0)
    assert faults(directory) == 1.0, "it was a fog node before, and started anew"


def test_a_node_that_is_started_anew_failed() -> None:
    directory = site()
    directory.hear("a", "n", Birth(2, "fog", 2), 0)
    assert faults(directory) == 1.0


def test_a_node_without_a_heartbeat_failed() -> None:
    directory = site()
    directory.watch(["n"], 0)
    directory.hear("a", "n", Beat(1, 1, 1000), 0)
    assert directory.lapse(1000) == ["n"]
    assert faults(directory, 1000) == 1.0


def test_several_signs_of_one_fault_are_one_fault_and_a_word_of_the_node_ends_it() -> None:
    directory = site()
    directory.watch(["n"], 0)
    directory.hear("a", "n", Beat(1, 1, 1000), 0)
    directory.suspect("n", 700)
    directory.lapse(1000)
    directory.hear("a", "n", Gone(1), 1000)
    directory.hear("a", "n", Birth(2, "fog", 2), 1000)
    assert faults(directory, 1000) == pytest.approx(1.0, abs=0.01)
    directory.suspect("n", 1000)
    assert faults(directory, 1000) == pytest.approx(2.0, abs=0.01)
    directory.answered("n", 1000)
    directory.suspect("n", 1000)
    assert faults(directory, 1000) == pytest.approx(3.0, abs=0.01)


def test_a_broker_that_dies_is_no_fault_of_the_nodes() -> None:
    directory = site()
    directory.link_down("a")
    directory.link_up("a", 10)
    directory.hear("a", "n", Birth(1, "fog", 2), 10)
    assert faults(directory) == 0.0


def test_nothing_is_forgotten_over_a_restart() -> None:
    directory = site()
    directory.added("n", 300.0, 0)
    directory.ran("n", "work", 70.0)
    directory.hear("a", "n", Gone(1), 0)
    directory.hear("a", "n", Birth(2, "fog", 2), 0)
    learned = directory.members["n"].experience
    assert (learned.faults(0), learned.extra.p95, directory.members["n"].ran("work")) == (1.0, 300.0, 70.0)


# ---------------------------------------------------------------- what a task is expected to take there


def completion(learned: Learned, now: int = 0, ran: float = 10.0, common: float = 10.0, busy: bool = False) -> float:
    return learned.completion(ran, common, busy, now)


def practised(*extras: float) -> Learned:
    learned = Learned()
    for extra in extras:
        learned.added(extra, 0)
    return learned


def test_without_experience_the_way_is_guessed() -> None:
    assert completion(Learned()) == 10.0 + FIRST_LINK_GUESS
    assert site().members["n"].completion("work", 10.0, 0) == 10.0 + FIRST_LINK_GUESS


def test_what_is_usual_is_expected_and_late_answers_cost() -> None:
    assert completion(practised(*[4.0] * 20)) == 14.0
    moody = practised(*[4.0] * 18, *[204.0] * 2, *[4.0] * 4)
    assert completion(moody) == 10.0 + 4.0 + TAIL_WEIGHT * 200.0


def test_each_fault_costs_the_chance_of_another() -> None:
    learned = practised(*[4.0] * 20)
    learned.fault(0)
    assert completion(learned) == pytest.approx(14.0 + (LOSS_MS + 10.0) / (FAULTS_TO_HALF + 1))
    assert completion(learned, FAULT_HALF_LIFE * 20) == pytest.approx(14.0, abs=0.1)


def test_slowness_fades_towards_what_is_common_but_not_while_it_is_tried() -> None:
    slow = practised(*[300.0] * 20)
    later = SLOWNESS_HALF_LIFE
    assert completion(slow, PAUSE, ran=90.0) == 390.0
    faded = (10.0 + 40.0) + (FIRST_LINK_GUESS + (300.0 - FIRST_LINK_GUESS) / 2)
    assert completion(slow, later, ran=90.0) == pytest.approx(faded)
    assert completion(slow, later, ran=90.0, busy=True) == 390.0
    assert completion(slow, 20 * later, ran=90.0) == pytest.approx(10.0 + FIRST_LINK_GUESS, abs=0.1)


def test_what_is_better_than_common_does_not_fade() -> None:
    fast = practised(*[1.0] * 20)
    assert completion(fast, 20 * SLOWNESS_HALF_LIFE, ran=2.0, common=10.0) == 3.0


def test_one_bad_answer_after_a_pause_is_enough_to_be_avoided_again_and_good_ones_to_be_trusted() -> None:
    later = 2 * SLOWNESS_HALF_LIFE
    slow, better = practised(*[300.0] * 20), practised(*[300.0] * 20)
    slow.added(300.0, later)
    assert completion(slow, later) > 100.0
    better.added(2.0, later)
    first = completion(better, later)
    assert first < completion(slow, later)
    for _ in range(40):
        better.added(2.0, later)
    assert completion(better, later) == 12.0


@given(st.lists(st.tuples(st.integers(0, 600_000), st.floats(-100, 1e12), st.booleans()), max_size=40))
def test_whatever_is_learned_an_expectation_is_a_sane_number(steps: list[tuple[int, float, bool]]) -> None:
    learned, now = Learned(), 0
    for pause, extra, failed in steps:
        now += pause
        learned.added(extra, now)
        if failed:
            learned.fault(now)
    assert 0.0 < learned.reliability(now) <= 1.0
    assert 10.0 <= completion(learned, now) < 1e9
    assert completion(learned, now + 10**12) <= completion(learned, now) + FIRST_LINK_GUESS + 1.0
