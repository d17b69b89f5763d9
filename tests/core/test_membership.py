"""The directory: who is there, as births, wills, beats and replies tell, whatever is late, old, doubled or lost."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fogsdk.core.learned import FIRST_LINK_GUESS
from fogsdk.core.membership import (
    FIRST_BEAT_WITHIN,
    FORGET_AFTER,
    FORGET_EVERY,
    MOST_MEMBERS,
    SHORTEST_TTL,
    SUSPECT_FOR,
    Directory,
)
from fogsdk.wire.messages import Beat, Birth, Gone, TaskInfo
from tests.core.desk import available


def birth(incarnation: int = 1, capacity: int = 2, *tasks: str) -> Birth:
    return Birth(incarnation, "fog", capacity, tuple(TaskInfo(name) for name in tasks))


def directory(*links: str) -> Directory:
    site = Directory()
    for link in links or ("a",):
        site.link_up(link, 0)
    return site


def present(site: Directory) -> list[str]:
    return [member.node for member in site.members.values() if member.present]


# ---------------------------------------------------------------- births and wills


def test_a_node_is_there_from_its_birth_to_its_will() -> None:
    site = directory()
    assert not site.hear("a", "n", birth(1, 2, "add"), 0)
    assert present(site) == ["n"]
    assert site.members["n"].tasks.keys() == {"add"}
    assert site.hear("a", "n", Gone(1), 10)
    assert present(site) == []
    assert not site.hear("a", "n", Gone(1), 20), "it was gone already"


def test_a_later_birth_says_that_what_the_node_held_is_lost() -> None:
    site = directory()
    site.hear("a", "n", birth(1), 0)
    assert site.hear("a", "n", birth(2), 10)
    assert present(site) == ["n"]


def test_the_same_birth_again_changes_what_the_node_offers_and_loses_nothing() -> None:
    site = directory()
    site.hear("a", "n", birth(1, 2, "add"), 0)
    assert not site.hear("a", "n", birth(1, 4, "sub"), 10)
    assert site.members["n"].tasks.keys() == {"sub"}
    assert site.members["n"].birth.capacity == 4


@pytest.mark.parametrize("old", [birth(1), Gone(1), Beat(1, 99, 1000)])
def test_what_is_left_of_an_earlier_life_is_ignored(old: Birth | Gone | Beat) -> None:
    """A stale will, or what a broker retained."""
    site = directory()
    site.hear("a", "n", birth(2, 5), 0)
    assert not site.hear("a", "n", old, 10)
    assert present(site) == ["n"]
    assert site.members["n"].birth.capacity == 5
    assert site.members["n"].beat is None


def test_a_node_that_was_gone_is_believed_in_whatever_incarnation_it_comes_back() -> None:
    """Its clock may have gone back, and the broker forgotten its earlier life."""
    site = directory()
    site.hear("a", "n", birth(9), 0)
    site.hear("a", "n", Gone(9), 10)
    assert not site.hear("a", "n", birth(2), 20)
    assert present(site) == ["n"]
    assert site.members["n"].birth.incarnation == 2


@pytest.mark.parametrize("message", [Gone(1), Beat(1, 1, 1000)])
def test_of_a_node_that_was_never_born_nothing_is_known(message: Gone | Beat) -> None:
    site = directory()
    assert not site.hear("a", "n", message, 0)
    assert site.members == {}


def test_what_was_learned_of_a_node_survives_its_restart() -> None:
    site = directory()
    site.hear("a", "n", birth(1), 0)
    site.ran("n", "add", 7.0)
    site.members["n"].experience.travelled(30.0)
    site.hear("a", "n", birth(2), 10)
    assert site.members["n"].ran("add") == 7.0
    assert site.members["n"].travel() == 30.0


# ---------------------------------------------------------------- several brokers


def test_a_node_is_gone_when_it_is_gone_from_every_broker() -> None:
    site = directory("a", "b")
    site.hear("a", "n", birth(), 0)
    site.hear("b", "n", birth(), 0)
    assert not site.hear("a", "n", Gone(1), 10)
    assert site.members["n"].link == "b"
    assert site.hear("b", "n", Gone(1), 20)


def test_a_broker_that_dies_says_nothing_about_the_nodes() -> None:
    site = directory("a", "b")
    site.hear("a", "n", birth(), 0)
    site.hear("b", "n", birth(), 0)
    site.link_down("a")
    assert present(site) == ["n"]
    assert site.links == ["b"]
    site.link_down("b")
    assert present(site) == []
    site.link_up("b", 100)
    site.hear("b", "n", birth(), 110)
    assert present(site) == ["n"]


def test_a_silent_node_is_tried_over_another_broker_next() -> None:
    site = directory("a", "b")
    site.hear("a", "n", birth(), 0)
    site.hear("b", "n", birth(), 0)
    site.suspect("n", 0)
    assert site.members["n"].link == "b"
    site.suspect("n", 0)
    assert site.members["n"].link == "a"


# ---------------------------------------------------------------- beats


def test_a_node_whose_beats_stop_is_lost_after_their_ttl() -> None:
    site = directory()
    site.hear("a", "n", birth(), 0)
    assert site.watch(["n"], 0) == (["n"], [])
    site.hear("a", "n", Beat(1, 1, 1000), 100)
    assert site.deadline() == 1100
    assert site.lapse(1099) == []
    assert site.lapse(1100) == ["n"]
    assert present(site) == []
    site.hear("a", "n", Beat(1, 2, 1000), 5000)
    assert present(site) == ["n"], "it was only slow"


def test_a_beat_that_asks_for_no_patience_gets_some() -> None:
    site = directory()
    site.hear("a", "n", birth(), 0)
    site.watch(["n"], 0)
    site.hear("a", "n", Beat(1, 1, 0), 100)
    assert site.deadline() == 100 + SHORTEST_TTL


def test_a_watched_node_has_time_for_its_first_beat() -> None:
    site = directory()
    site.hear("a", "n", birth(), 0)
    site.watch(["n"], 50)
    assert site.lapse(50 + FIRST_BEAT_WITHIN - 1) == []
    assert site.lapse(50 + FIRST_BEAT_WITHIN) == ["n"]


def test_a_node_that_is_not_watched_does_not_lapse() -> None:
    site = directory()
    site.hear("a", "n", birth(), 0)
    site.hear("a", "n", Beat(1, 1, 1000), 0)
    assert site.deadline() is None
    site.watch(["n"], 0)
    assert site.watch([], 0) == ([], ["n"])
    assert site.deadline() is None


def test_with_no_broker_left_nobody_lapses_and_with_one_everybody_has_time_again() -> None:
    site = directory()
    site.hear("a", "n", birth(), 0)
    site.watch(["n"], 0)
    site.link_down("a")
    assert site.deadline() is None
    site.link_up("a", 9000)
    assert site.deadline() == 9000 + FIRST_BEAT_WITHIN


def test_beats_that_overtook_each_other_do_not_turn_back() -> None:
    site = directory()
    site.hear("a", "n", birth(), 0)
    site.hear("a", "n", Beat(1, 5, 1000, wait=50), 10)
    site.hear("a", "n", Beat(1, 4, 1000, wait=99), 20)
    assert site.members["n"].beat == Beat(1, 5, 1000, wait=50)


# ---------------------------------------------------------------- who gets new tasks


def test_a_node_that_leaves_or_has_no_workers_gets_nothing_new() -> None:
    site = directory()
    site.hear("a", "n", birth(capacity=0), 0)
    assert available(site, 0) == []
    site.hear("a", "n", birth(), 0)
    assert available(site, 0) != []
    site.hear("a", "n", Beat(1, 1, 1000, draining=True), 0)
    assert available(site, 0) == []
    assert present(site) == ["n"]


def test_a_silent_node_is_passed_over_for_twice_as_long_each_time() -> None:
    site = directory()
    site.hear("a", "n", birth(), 0)
    now = 0
    for factor in (1, 2, 4, 8, 16, 16):
        site.suspect("n", now)
        assert available(site, now + SUSPECT_FOR * factor - 1) == []
        now += SUSPECT_FOR * factor
        assert available(site, now) != []


def test_a_suspected_node_that_is_heard_is_trusted_again() -> None:
    site = directory()
    site.hear("a", "n", birth(), 0)
    site.suspect("n", 0)
    site.answered("n", 10)
    assert available(site, 10) != []
    site.suspect("n", 20)
    assert available(site, 20 + SUSPECT_FOR) != [], "its earlier silence is forgotten"


def test_who_is_unknown_changes_nothing() -> None:
    site = directory()
    site.suspect("n", 0)
    site.answered("n", 0, 5)
    assert site.members == {}


# ---------------------------------------------------------------- how long a task would wait there


def test_the_wait_is_the_nodes_word_less_the_time_since_plus_what_was_handed_to_it_since() -> None:
    site = directory()
    site.hear("a", "n", birth(capacity=4), 0)
    member = site.members["n"]
    site.hear("a", "n", Beat(1, 1, 1000, wait=300), 100)
    assert member.queue(100) == 300.0
    assert member.queue(200) == 200.0
    assert member.queue(9000) == 0.0
    member.outstanding_ms += 80.0
    assert member.queue(200) == 200.0 + 80.0 / 4
    site.answered("n", 250, 40)
    assert member.queue(250) == 40.0, "what it was handed is in its own word now"


def test_the_way_is_guessed_and_then_learned() -> None:
    site = directory()
    site.hear("a", "n", birth(), 0)
    member = site.members["n"]
    assert member.travel() == FIRST_LINK_GUESS
    site.members["n"].experience.travelled(20.0)
    assert member.travel() == 20.0
    for _ in range(50):
        site.members["n"].experience.travelled(2.0)
    assert member.travel() == pytest.approx(2.0, abs=0.1)
    site.members["n"].experience.travelled(-50.0)
    assert member.travel() >= 0.0, "clocks do not make the way shorter than nothing"


# ---------------------------------------------------------------- bounds


def test_the_directory_has_an_end_and_makes_room_by_forgetting_who_is_long_gone() -> None:
    site = directory()
    for number in range(MOST_MEMBERS):
        site.hear("a", f"n{number}", birth(), 0)
    site.hear("a", "late", birth(), 0)
    assert "late" not in site.members
    site.hear("a", "n0", Gone(1), 0)
    site.hear("a", "late", birth(), FORGET_AFTER)
    assert "late" not in site.members, "n0 may still come back"
    site.hear("a", "late", birth(), FORGET_AFTER + FORGET_EVERY)
    assert "late" in site.members
    assert "n0" not in site.members


NODES = st.sampled_from(["n0", "n1", "n2"])
LINKS = st.sampled_from(["a", "b"])
SMALL = st.integers(0, 3)
EVENTS = st.one_of(
    st.tuples(st.just("hear"), LINKS, NODES, st.builds(birth, SMALL, SMALL) | st.builds(Gone, SMALL)
              | st.builds(Beat, SMALL, SMALL, st.integers(0, 2000))),
    st.tuples(st.sampled_from(["up", "down"]), LINKS, NODES, st.none()),
    st.tuples(st.sampled_from(["watch", "unwatch", "suspect", "lapse"]), LINKS, NODES, st.none()),
)  # fmt: skip


@given(st.lists(EVENTS, max_size=60), st.integers(1, 900))
def test_whatever_is_heard_in_whatever_order(events: list[tuple[str, str, str, object]], step: int) -> None:
    """No incarnation goes back while its node is there, who is gone is not present, only watched nodes have timers."""
    site = Directory()
    watched: list[str] = []
    known: dict[str, int] = {}
    for number, (what, link, node, message) in enumerate(events):
        now = number * step
        if what == "hear":
            assert isinstance(message, (Birth, Gone, Beat))
            before = node in present(site)
            was_lost = site.hear(link, node, message, now)
            assert before or not was_lost, "only who was there can be lost"
            if isinstance(message, Birth):
                known[node] = max(known[node], message.incarnation) if before else message.incarnation
        elif what == "up":
            site.link_up(link, now)
        elif what == "down":
            site.link_down(link)
        elif what in ("watch", "unwatch"):
            watched = [each for each in watched if each != node] + [node] * (what == "watch")
            site.watch(watched, now)
        elif what == "suspect":
            site.suspect(node, now)
        else:
            assert all(each in watched for each in site.lapse(now))
        assert {name: member.birth.incarnation for name, member in site.members.items()} == known
        assert all(member.links for member in site.members.values() if member.present)
        assert site.deadline() is None or watched
