"""Large bodies over links that are slow or go far, between real cores in virtual time: nothing leaves twice, and a body
takes about as long as the link needs for its bytes."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fogsdk.core.outgoing import FIRST_WINDOW, LEAST_WINDOW, TARGET
from fogsdk.wire import topics
from tests.core.large_world import LargeWorld, Way
from tests.core.test_transfers import value

KIB, MIB = 1024, 2**20
UP, DOWN = (topics.task("s", "n1", "c1"), "t1"), (topics.reply("s", "c1"), "t1")


def far(rate: float, delay: int) -> LargeWorld:
    """A node, and a client behind such a link."""
    world = LargeWorld(1)
    world.put_far("c1", rate, delay)
    world.add_node("n1")
    world.add_client("c1")
    world.soon(lambda: "n1" in world.peers["c1"].core.directory.members)
    return world


def times(world: LargeWorld, size: int) -> tuple[int, int]:
    """Milliseconds until the argument of a task is there, and from then on until its result is; nothing left twice."""
    begun = world.now
    argument = world.submit_large("c1", "t1", size)
    limit = begun + 3_600_000
    world.run_until(lambda: bool(world.runs), limit)
    up = world.now - begun
    assert value(world.outcome("c1", "t1", limit)) == argument
    assert len(world.runs) == 1
    # A result whose first answer is behind a queue of questions may come whole, in one payload.
    assert size <= world.carried[UP] < size + 100
    assert size <= world.carried.get(DOWN, size) < size + 100
    return up, world.now - begun - up


@pytest.mark.parametrize(
    ("rate", "delay", "size"),
    [
        (2, 30, 256 * KIB),
        (5, 30, 512 * KIB),
        (25, 30, MIB),
        (50, 30, MIB),
        (50, 5, 2 * MIB),
        (100, 30, MIB),
        (1000, 30, 4 * MIB),
        (1000, 300, 16 * MIB),
        (10_000, 50, 32 * MIB),
        (10_000, 75, 32 * MIB),
        (100_000, 10, 32 * MIB),
    ],
)
def test_a_body_takes_as_long_as_its_bytes_do_on_the_link(rate: float, delay: int, size: int) -> None:
    """And the few times there and back in which it is learned how much may be under way."""
    for took in times(far(rate, delay), size):
        assert took < 1.2 * size / rate + 12 * (2 * delay + TARGET)


@settings(max_examples=15)
@given(st.integers(20, 20_000), st.integers(0, 400), st.integers(300 * KIB, 2 * MIB))
def test_nothing_leaves_twice_on_any_link(rate: int, delay: int, size: int) -> None:
    """Where the delay is long, no more than the least is under way in it at the worst."""
    for took in times(far(rate, delay), size):
        assert took < 1.3 * size / rate + 1.3 * size / LEAST_WINDOW * (2 * delay) + 12 * (2 * delay + TARGET)


def test_what_is_under_way_does_not_queue_for_long() -> None:
    """A small task that comes in the middle of a large one, on a link whose delay is many times what it may wait."""
    world = far(1000, 150)
    world.submit_large("c1", "t1", 16 * MIB)
    world.soon(lambda: world.carried.get(UP, 0) > 8 * MIB)
    begun = world.now
    world.submit("c1", "small")
    world.outcome("c1", "small")
    assert world.now - begun < 2 * 150 + 150


def test_a_link_that_comes_back_slower_is_learned_anew() -> None:
    """It breaks, and what is there instead, under the same name, goes ten times as far: its queues are not seen where
    there are none."""
    world = far(10_000, 10)
    argument = world.submit_large("c1", "t1", 24 * MIB)
    world.soon(lambda: world.carried.get(UP, 0) > 6 * MIB)
    world.kill_broker("a")
    world.run(world.now + 500)
    world.put_far("c1", 10_000, 100)
    world.revive_broker("a")
    begun = world.now
    assert value(world.outcome("c1", "t1")) == argument
    assert world.now - begun < 12_000


@pytest.mark.parametrize("size", [MIB, 20 * MIB])
def test_a_receiver_that_is_busy_for_seconds_gets_its_result(size: int) -> None:
    """It reads nothing while, say, a callback of the program's runs. What fits comes in one payload then."""
    world = far(100_000, 1)
    argument = world.submit_large("c1", "t1", size)
    world.soon(lambda: bool(world.runs))
    world.down_to["c1"] = Way(100_000, 1, free_at=world.now + 2500)
    world.up_from["c1"] = Way(100_000, 1, free_at=world.now + 2500)
    assert value(world.outcome("c1", "t1")) == argument


def test_a_first_window_does_not_leave_again_for_questions_behind_it() -> None:
    """They queue with it, each has its answer, and one of those counts."""
    world = far(10, 30)
    world.submit_large("c1", "t1", 2 * FIRST_WINDOW)
    world.run(world.now + 40_000)
    assert world.carried[UP] < 10 * 40_000 + FIRST_WINDOW
