"""Timers: every key is due once, at the time it was last set to, and in order."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from fogsdk.core.timers import Timers


def test_keys_are_due_in_order_of_time_and_then_of_setting() -> None:
    timers: Timers[str] = Timers()
    for key, at in (("late", 30), ("b", 10), ("a", 10), ("early", 5)):
        timers.set(key, at)
    assert timers.next() == 5
    assert timers.pop_due(4) == []
    assert timers.pop_due(10) == ["early", "b", "a"]
    assert timers.next() == 30


def test_setting_a_key_again_replaces_its_time() -> None:
    timers: Timers[str] = Timers()
    timers.set("a", 10)
    timers.set("a", 20)
    assert timers.pop_due(15) == []
    timers.set("a", 5)
    assert timers.pop_due(15) == ["a"]
    assert timers.next() is None
    assert timers.pop_due(100) == []


def test_a_dropped_key_is_not_due() -> None:
    timers: Timers[str] = Timers()
    timers.set("a", 10)
    timers.drop("a")
    timers.drop("never set")
    assert timers.next() is None
    assert timers.pop_due(100) == []


def test_keys_are_never_compared() -> None:
    timers: Timers[complex] = Timers()
    timers.set(1j, 10)
    timers.set(2j, 10)
    assert timers.pop_due(10) == [1j, 2j]


def test_setting_one_key_over_and_over_takes_no_more_memory() -> None:
    timers: Timers[str] = Timers()
    for at in range(10_000):
        timers.set("a", 20_000 - at)
    assert len(timers._heap) < 200
    assert timers.next() == 10_001


def test_setting_and_dropping_one_key_over_and_over_takes_no_more_memory() -> None:
    timers: Timers[str] = Timers()
    timers.set("b", 5)
    for _ in range(10_000):
        timers.set("a", 5)
        timers.drop("a")
    timers.set("a", 5)
    assert len(timers._heap) < 200
    assert timers.pop_due(5) == ["b", "a"]


STEPS = st.lists(
    st.tuples(st.just("set"), st.integers(0, 5), st.integers(0, 20))
    | st.tuples(st.just("drop"), st.integers(0, 5), st.just(0))
    | st.tuples(st.just("pop"), st.integers(0, 20), st.just(0)),
    max_size=200,
)


@given(STEPS)
def test_timers_are_a_map_from_key_to_time(steps: list[tuple[str, int, int]]) -> None:
    timers: Timers[int] = Timers()
    model: dict[int, int] = {}
    for step, key, at in steps:
        if step == "set":
            timers.set(key, at)
            model[key] = at
        elif step == "drop":
            timers.drop(key)
            model.pop(key, None)
        else:
            due = timers.pop_due(key)
            times = [model.pop(each) for each in due]
            assert times == sorted(times)
            assert all(time <= key for time in times)
            assert all(time > key for time in model.values())
        assert timers.next() == min(model.values(), default=None)
