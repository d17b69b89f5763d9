"""The policies: each follows its own rule, on questions made by hand and on any other."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fogsdk.core.placement import (
    BUSY,
    GLANCES,
    MARGIN_MS,
    MOST_HOPS,
    MOST_PARTS,
    POLICIES,
    SLOWEST_PART,
    WORTH_SPLITTING_MS,
    Candidate,
    Decision,
    Lazily,
    Question,
    predictive,
    queue_wait,
    threshold,
)

ME = Candidate("me", workers=2, ran=100.0)
PI = Candidate("pi", workers=2, ran=100.0, travel=5.0)
MAC = Candidate("mac", workers=4, ran=20.0, travel=5.0)
CLOUD = Candidate("cloud", workers=100, ran=100.0, travel=50.0)


def ask(me: Candidate = ME, *others: Candidate, weight: str = "middle", **options: Any) -> Question:
    return Question("work", weight, me, others, **options)


# ---------------------------------------------------------------- predictive


def test_a_task_runs_here_when_no_neighbour_would_be_done_sooner() -> None:
    assert predictive(ask(ME, PI)).where == "here"


def test_a_task_goes_to_the_neighbour_that_is_done_soonest() -> None:
    decision = predictive(ask(ME, PI, MAC))
    assert (decision.where, decision.node) == ("there", "mac")
    assert "25 ms there" in decision.why


def test_a_queue_here_sends_a_task_away_and_a_queue_there_keeps_it() -> None:
    assert predictive(ask(replace(ME, wait=50.0), PI)).node == "pi"
    assert predictive(ask(replace(ME, wait=50.0), replace(PI, wait=60.0))).where == "here"


def test_a_gain_that_no_prediction_can_tell_is_not_worth_the_way() -> None:
    assert predictive(ask(replace(ME, ran=105.0 + MARGIN_MS), PI)).where == "here"
    assert predictive(ask(replace(ME, ran=105.1 + MARGIN_MS), PI)).where == "there"


def test_a_task_that_was_sent_here_stays_so_that_it_does_not_wander() -> None:
    decision = predictive(ask(replace(ME, wait=9000.0), MAC, via=["pi"]))
    assert decision == Decision("here", "sent here by pi")


def test_a_task_that_is_not_offered_here_goes_where_it_is() -> None:
    elsewhere = replace(ME, offers=False)
    assert predictive(ask(elsewhere, PI)).node == "pi"
    assert predictive(ask(elsewhere, PI, via=["mac"])).node == "pi"
    assert predictive(ask(elsewhere, clouds=[CLOUD])).node == "cloud"
    assert predictive(ask(elsewhere)).where == "wait"


def test_a_splittable_task_goes_to_every_free_worker_with_a_share_for_its_speed() -> None:
    decision = predictive(ask(ME, MAC, splittable=True))
    assert decision.where == "share"
    assert Counter(node for node, _ in decision.shares) == {"me": 2, "mac": 4}
    by_node = dict(decision.shares)
    assert by_node["mac"] == pytest.approx(5 * by_node["me"]), "a node five times as fast gets five times as much"
    assert sum(share for _, share in decision.shares) == pytest.approx(1.0)


def test_a_worker_that_would_hold_the_others_up_gets_no_part() -> None:
    crawling = replace(PI, ran=MAC.ran * SLOWEST_PART + 1)
    shares = predictive(ask(ME, MAC, crawling, splittable=True)).shares
    assert {node for node, _ in shares} == {"me", "mac"}


@pytest.mark.parametrize(
    "question",
    [
        ask(ME, MAC, splittable=True, part=True),
        ask(ME, MAC, splittable=True, weight="light"),
        ask(ME, MAC, splittable=False),
        ask(ME, MAC, splittable=True, via=["pi"]),
        ask(replace(ME, ran=WORTH_SPLITTING_MS - 1), MAC, splittable=True),
        ask(replace(ME, workers=1), replace(MAC, running=4), splittable=True),
    ],
    ids=["a part", "light", "not splittable", "sent here", "too short", "one worker free"],
)
def test_a_task_is_not_split_when_that_would_not_help(question: Question) -> None:
    assert predictive(question).where in ("here", "there")


def test_of_many_free_workers_every_node_gets_its_turn() -> None:
    many = [replace(PI, node=f"n{number}", workers=8) for number in range(5)]
    shares = predictive(ask(replace(ME, workers=8), *many, splittable=True)).shares
    counts = Counter(node for node, _ in shares)
    assert len(shares) == MOST_PARTS
    assert len(counts) == 6
    assert max(counts.values()) - min(counts.values()) <= 1


def test_a_heavy_task_goes_to_the_cloud() -> None:
    far = replace(CLOUD, node="far", wait=900.0)
    assert predictive(ask(ME, MAC, weight="heavy", clouds=[far, CLOUD], cloud_known=True)).node == "cloud"


def test_a_cloud_that_is_away_is_the_last_choice() -> None:
    away = replace(CLOUD, node="away", uplink=False)
    heavy = ask(ME, MAC, weight="heavy", clouds=[away, replace(CLOUD, wait=900.0)], cloud_known=True)
    assert predictive(heavy).node == "cloud"
    alone = replace(heavy, clouds=[away])
    assert predictive(alone).node == "away", "the bridge keeps it until the cloud is back"
    assert predictive(replace(alone, fallback=True)).node == "mac", "it says that it may run in the fog"


def test_a_heavy_task_without_a_bridge_waits_or_is_refused_with_a_way_out() -> None:
    assert predictive(ask(ME, weight="heavy", cloud_known=True)).where == "wait"
    refused = predictive(ask(ME, weight="heavy"))
    assert refused.where == "refuse"
    assert "fogcloud bridge" in refused.why
    assert predictive(ask(ME, weight="heavy", fallback=True)).where == "here"


def test_a_heavy_task_that_no_bridge_offers_is_refused_with_the_bridge_and_its_trouble() -> None:
    there = predictive(ask(ME, weight="heavy", bridge=CLOUD))
    assert there.where == "refuse"
    assert there.why.startswith("work is heavy and the core site of the cloud bridge cloud does not offer it")
    cut_off = predictive(ask(ME, weight="heavy", bridge=replace(CLOUD, uplink=False)))
    assert "the cloud bridge cloud does not offer it and does not reach its core site" in cut_off.why


# ---------------------------------------------------------------- what experience says


def test_a_sooner_node_that_failed_lately_is_passed_over_and_the_reason_says_so() -> None:
    risky = replace(MAC, completion=MAC.done + 300.0, faults=2.7)
    decision = predictive(ask(ME, risky))
    assert decision.where == "here"
    assert decision.why.endswith("; mac is sooner, but failed 3 times lately")
    decision = predictive(ask(replace(ME, wait=500.0), replace(risky, faults=0.6, completion=900.0), PI))
    assert decision.node == "pi"
    assert decision.why.endswith("; mac is sooner, but failed once lately")


def test_a_sooner_node_whose_answers_may_come_late_is_passed_over_too() -> None:
    decision = predictive(ask(ME, replace(MAC, completion=250.0, p95=900.0)))
    assert decision.where == "here"
    assert decision.why.endswith("; mac is sooner on average, but may add 900 ms")


def test_a_node_that_failed_is_still_taken_when_everything_else_takes_longer() -> None:
    decision = predictive(ask(replace(ME, wait=9000.0), replace(MAC, completion=400.0, faults=3.0)))
    assert (decision.node, "lately" in decision.why) == ("mac", False)


def test_a_node_that_would_cost_more_than_it_does_gets_no_part() -> None:
    risky = replace(MAC, completion=MAC.average + MAC.ran + 1.0)
    assert {node for node, _ in predictive(ask(ME, risky, splittable=True)).shares} == {"me"}
    less_so = replace(MAC, completion=MAC.average + MAC.ran)
    assert {node for node, _ in predictive(ask(ME, less_so, splittable=True)).shares} == {"me", "mac"}


# ---------------------------------------------------------------- threshold


def idle(one: Candidate) -> Candidate:
    return replace(one, cpu=0.2, memory=0.3)


def loaded(one: Candidate) -> Candidate:
    return replace(one, cpu=0.9, memory=0.4)


def test_idle_nodes_take_turns_by_their_weight() -> None:
    me, pi, mac = idle(ME), idle(PI), idle(MAC)
    decisions = [threshold(ask(me, pi, mac, turn=turn)) for turn in range(80)]
    counts = Counter(decision.node or "me" for decision in decisions)
    assert counts == {"me": 20, "pi": 20, "mac": 40}


def test_a_node_at_half_its_load_is_passed_over() -> None:
    full = loaded(MAC)
    decisions = [threshold(ask(idle(ME), idle(PI), full, turn=turn)) for turn in range(8)]
    assert {decision.node or "me" for decision in decisions} == {"me", "pi"}
    at_half = replace(MAC, cpu=BUSY, memory=BUSY)
    assert threshold(ask(idle(ME), at_half, turn=3)).where == "here"


def test_with_every_node_loaded_the_core_takes_over_and_without_one_the_least_loaded() -> None:
    me, pi = loaded(ME), replace(PI, cpu=0.8, memory=0.4)
    assert threshold(ask(me, pi, clouds=[CLOUD])).node == "cloud"
    assert threshold(ask(me, pi)).node == "pi"


def test_a_task_that_was_sent_to_an_idle_node_stays_there() -> None:
    assert threshold(ask(idle(ME), idle(MAC), via=["pi"], turn=5)).where == "here"


# ---------------------------------------------------------------- queue-wait


def waiting(here: float, there: float, required: float | None, **options: Any) -> Question:
    """W here, F there (round trip included), R: what the task requires of the wait."""
    left = None if required is None else required + ME.ran
    return ask(replace(ME, wait=here), replace(PI, wait=there - PI.travel), left=left, **options)


@pytest.mark.parametrize(
    ("here", "there", "required", "weight", "goes"),
    [
        (100.0, 10.0, 100.0, "light", "me"),  # W <= R
        (100.0, 10.0, None, "light", "me"),  # nothing is required
        (100.0, 99.0, 99.0, "light", "pi"),  # W > R, F < W
        (100.0, 100.0, 99.0, "light", "me"),  # F = W: not better there
        (100.0, 200.0, 99.0, "middle", "me"),  # F > W, not heavy
        (100.0, 200.0, 99.0, "heavy", "cloud"),  # F > W, heavy
        (100.0, 99.0, 99.0, "heavy", "pi"),  # the neighbour comes before the cloud
    ],
)
def test_the_rule_of_waits(here: float, there: float, required: float | None, weight: str, goes: str) -> None:
    decision = queue_wait(waiting(here, there, required, weight=weight, clouds=[CLOUD]))
    assert (decision.node or "me") == goes


def test_after_the_last_hop_a_task_stays() -> None:
    late = waiting(100.0, 10.0, 0.0, via=[f"n{number}" for number in range(MOST_HOPS)])
    assert queue_wait(late).where == "here"
    assert queue_wait(replace(late, via=late.via[1:])).where == "there"


def test_a_task_that_is_not_offered_here_goes_to_the_shortest_wait() -> None:
    elsewhere = ask(replace(ME, offers=False), replace(PI, wait=90.0), MAC)
    assert queue_wait(elsewhere).node == "mac"


# ---------------------------------------------------------------- any question

numbers = st.floats(0.0, 10_000.0)
candidates = st.builds(
    Candidate,
    st.just(""),
    st.integers(0, 6),
    st.integers(0, 6),
    st.integers(0, 6),
    numbers,
    numbers,
    numbers,
    st.floats(0.0, 1.0),
    st.floats(0.0, 1.0),
    st.booleans(),
    st.booleans(),
)
NAMES = ["a", "b", "c", "d"]


@st.composite
def questions(draw: st.DrawFn) -> Question:
    def some(names: list[str], **fixed: Any) -> list[Candidate]:
        return [replace(draw(candidates), node=name, **fixed) for name in names if draw(st.booleans())]

    return Question(
        "work",
        draw(st.sampled_from(["light", "middle", "heavy"])),
        replace(draw(candidates), node="me"),
        some(NAMES, offers=True),
        some(["cloud", "cloud-2"], offers=True),
        cloud_known=draw(st.booleans()),
        splittable=draw(st.booleans()),
        fallback=draw(st.booleans()),
        part=draw(st.booleans()),
        left=draw(st.none() | st.floats(-1000.0, 10_000.0)),
        via=draw(st.lists(st.sampled_from([*NAMES, "x"]), max_size=5)),
        turn=draw(st.integers(0, 1000)),
    )


@pytest.mark.parametrize("name", POLICIES)
@given(question=questions())
def test_every_answer_can_be_carried_out(name: str, question: Question) -> None:
    decision = POLICIES[name](question)
    there = {one.node for one in (*question.others, *question.clouds)}
    assert decision.why
    assert POLICIES[name](question) == decision, "the same question, another answer"
    match decision.where:
        case "here":
            assert question.me.offers
        case "there":
            assert decision.node in there
        case "share":
            assert {node for node, _ in decision.shares} <= {question.me.node, *there}
            assert 2 <= len(decision.shares) <= MOST_PARTS
            assert sum(share for _, share in decision.shares) == pytest.approx(1.0)
            assert all(share > 0.0 for _, share in decision.shares)
        case _:
            assert decision.where in ("wait", "refuse")


@pytest.mark.parametrize("name", ["queue-wait", "threshold"])
@given(question=questions())
def test_a_task_never_goes_back_to_a_fog_node_that_had_it(name: str, question: Question) -> None:
    assert POLICIES[name](question).node not in question.via


@given(questions())
def test_predictive_picks_the_least_predicted_completion(question: Question) -> None:
    decision = predictive(replace(question, weight="light", via=()))
    done = {one.node: one.done for one in question.others}
    if decision.where == "there" and decision.node in done:
        assert done[decision.node] == min(done.values())
        assert not question.me.offers or done[decision.node] + MARGIN_MS < question.me.done
    if decision.where == "here" and done:
        assert question.me.done <= min(done.values()) + MARGIN_MS


@pytest.mark.parametrize("name", GLANCES)
@given(question=questions())
def test_what_is_decided_at_a_glance_is_what_the_policy_says(name: str, question: Question) -> None:
    """Of a light task that is offered here, and that no other node had."""
    me = replace(question.me, offers=True, completion=None)
    question = replace(question, weight="light", me=me, via=())
    decision = GLANCES[name](me.queued, me.done, lambda: Lazily(lambda: list(question.others)))
    asked = POLICIES[name](question)
    assert decision == (asked if asked.where == "here" else None)


@given(questions())
def test_shares_follow_speed_and_free_workers(question: Question) -> None:
    decision = predictive(replace(question, weight="middle", splittable=True, part=False, via=()))
    if decision.where != "share":
        return
    nodes = {one.node: one for one in (question.me, *question.others)}
    parts = Counter(node for node, _ in decision.shares)
    assert all(count <= nodes[node].free for node, count in parts.items())
    work = [share * max(nodes[node].ran, 0.001) for node, share in decision.shares]
    assert max(work) == pytest.approx(min(work)), "every part takes equally long"


@given(questions(), st.integers(0, 10_000))
def test_in_turn_each_idle_node_gets_as_many_as_it_has_workers(question: Question, begin: int) -> None:
    question = replace(question, via=())
    able = [one for one in (question.me, *question.others) if one.offers and (one.cpu + one.memory) / 2 < BUSY]
    slots = sum(max(1, one.workers) for one in able)
    chosen = Counter(threshold(replace(question, turn=begin + turn)).node or "me" for turn in range(slots))
    assert not able or chosen == {one.node: max(1, one.workers) for one in able}


@given(st.data())
def test_the_published_rules_know_no_experience(data: st.DataObject) -> None:
    question = data.draw(questions())
    others = [replace(one, completion=data.draw(numbers), faults=3.0) for one in question.others]
    for rule in (threshold, queue_wait):
        assert rule(replace(question, others=others)) == rule(question)
