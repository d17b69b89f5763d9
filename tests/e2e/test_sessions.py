"""Sessions: every step takes effect exactly once, whoever dies, and two callers do not step over each other."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from fogsdk import DeadlineExceeded, Fog, SessionConflict, TaskFailed, TaskRefused
from tests.e2e.journal import Journal
from tests.e2e.site import Site, StartSite, wait_for_nodes
from tests.support.waiting import eventually

PATIENCE = 20.0  # seconds


@pytest.fixture(scope="module")
def pair(site: Site) -> Site:
    """The module's site, with a second node: for tests that break nothing."""
    site.start("n2")
    return site


def connect(site: Site) -> Fog:
    """A device that sees all nodes."""
    fog = site.connect()
    wait_for_nodes(fog, *site.nodes)
    return fog


# ---------------------------------------------------------------- steps


def test_each_step_gets_the_state_that_the_one_before_left(pair: Site) -> None:
    with connect(pair) as fog, connect(pair) as other:
        session = fog.session("steps")
        assert session.step == 0
        assert [session.run("count"), session.run("count", 10), session.run("count", by=5)] == [1, 11, 16]
        assert session.step == 3
        assert other.session("another").run("count") == 1
        resumed = other.session("steps")  # another device, or this one after a restart
        assert (resumed.step, resumed.run("count")) == (3, 17)


def test_a_step_that_fails_is_not_taken(pair: Site) -> None:
    with connect(pair) as fog:
        session = fog.session("failing")
        session.run("count")
        with pytest.raises(TaskFailed, match="no number after 1"):
            session.run("miscount")
        with pytest.raises(TaskRefused, match="state"):
            session.run("increment", 1)  # it takes none
        with pytest.raises(TaskRefused, match="unknown-task"):
            session.run("nothing")
        with pytest.raises(TaskRefused, match="bad-arguments"):
            session.run("count", nothing=1)
        assert session.step == 1
        assert session.run("count") == 2


def test_a_state_is_bounded_and_the_error_says_how(pair: Site) -> None:
    with connect(pair) as fog:
        session = fog.session("growing")
        assert session.run("grow", 1_000_000) == 1_000_000
        with pytest.raises(TaskFailed) as error:
            session.run("grow", 2**20)
        assert error.value.type == "StateTooLarge"
        assert "1048576" in error.value.message
        assert session.step == 1
        assert session.run("grow", 10) == 10


def test_threads_that_share_a_session_take_turns(pair: Site) -> None:
    results: list[int] = []
    with connect(pair) as fog:
        session = fog.session("threads")
        threads = [
            threading.Thread(target=lambda: results.extend(session.run("count") for _ in range(5))) for _ in range(4)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(PATIENCE)
    assert sorted(results) == list(range(1, 21))


# ---------------------------------------------------------------- two callers


def test_of_two_callers_the_second_is_told_and_goes_on_after_a_refresh(pair: Site) -> None:
    with connect(pair) as fog, connect(pair) as other:
        mine, theirs = fog.session("shared"), other.session("shared")
        assert (mine.step, theirs.step) == (0, 0)
        assert mine.run("count") == 1
        for _ in range(2):  # it stays a conflict until the caller has taken note
            with pytest.raises(SessionConflict):
                theirs.run("count")
        assert theirs.refresh() == 1
        assert theirs.run("count") == 2
        with pytest.raises(SessionConflict):
            mine.run("count")


def test_a_step_at_work_keeps_another_caller_out(pair: Site, journal: Journal, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    with connect(pair) as fog, connect(pair) as other:
        thread = threading.Thread(target=fog.session("busy").run, args=("count_at_gate", journal.path, "s", str(gate)))
        thread.start()
        eventually(lambda: journal.begun("s"))
        theirs = other.session("busy")
        with pytest.raises(SessionConflict):
            theirs.run("count")
        gate.touch()
        thread.join(PATIENCE)
        assert theirs.refresh() == 1
        assert theirs.run("count") == 2


# ---------------------------------------------------------------- a caller that gives up


def test_after_a_deadline_the_session_goes_on_from_wherever_it_is(pair: Site, journal: Journal, tmp_path: Path) -> None:
    with connect(pair) as fog:
        session = fog.session("late")
        assert session.run("count") == 1
        for number in range(3):
            with pytest.raises(DeadlineExceeded):
                session.run("count_at_gate", journal.path, f"late-{number}", str(tmp_path / "gate"), deadline=0.3)
        assert session.run("count") == 2
        assert session.step == 2


def test_a_step_that_was_taken_after_its_caller_gave_up_counts_and_is_no_conflict(pair: Site) -> None:
    """The deadline falls on every moment of a step, that of storing it included."""
    with connect(pair) as fog:
        session = fog.session("unsure")
        session.run("count")
        known = 1
        for tries in range(40):
            try:
                known = session.run("count", deadline=0.0005 * tries)
            except DeadlineExceeded:
                taken = session.run("count", deadline=PATIENCE)
                assert taken in (known + 1, known + 2)  # with the step of before, or without
                known = taken
            assert session.step == known


# ---------------------------------------------------------------- nodes die


def test_each_node_in_turn_is_killed_between_two_steps(start_site: StartSite) -> None:
    """And comes back: one of them is the session's home."""
    site = start_site("n1", "n2")
    with connect(site) as fog:
        session = fog.session("cart")
        expected = 0
        for node in ("n1", "n2", "n1", "n2"):
            expected += 1
            assert session.run("count", deadline=PATIENCE) == expected
            site.nodes[node].kill()
            expected += 1
            assert session.run("count", deadline=PATIENCE) == expected
            site.start(node)
            wait_for_nodes(fog, "n1", "n2")
        assert session.step == expected


@pytest.mark.parametrize("node", ["n1", "n2"])
def test_a_node_is_killed_during_a_step(start_site: StartSite, journal: Journal, tmp_path: Path, node: str) -> None:
    """One of the two is the session's home: the step takes effect once, on the other one if need be."""
    site = start_site("n1", "n2")
    gate = tmp_path / "gate"
    results: list[int] = []
    with connect(site) as fog:
        session = fog.session("cart")
        assert session.run("count") == 1
        call = ("count_at_gate", journal.path, "step", str(gate))
        thread = threading.Thread(target=lambda: results.append(session.run(*call)))
        thread.start()
        eventually(lambda: journal.begun("step"))
        site.nodes[node].kill()
        eventually(lambda: node not in fog.nodes())
        gate.touch()
        thread.join(PATIENCE)
        assert results == [2]
        assert session.run("count", deadline=PATIENCE) == 3


def test_every_node_is_killed_and_started_again(start_site: StartSite) -> None:
    site = start_site("n1", "n2")
    with connect(site) as fog:
        session = fog.session("cart")
        assert [session.run("count") for _ in range(3)] == [1, 2, 3]
        for node in site.nodes.values():
            node.kill()
        site.start("n1", "n2")
        assert session.run("count", deadline=PATIENCE) == 4
        assert fog.session("cart").refresh() == 4


def test_a_node_alone_keeps_sessions_over_its_own_death(start_site: StartSite) -> None:
    site = start_site("n1")
    with connect(site) as fog:
        session = fog.session("cart")
        for expected in range(1, 4):
            assert session.run("count", deadline=PATIENCE) == expected
            site.nodes["n1"].kill()
            site.start("n1")
