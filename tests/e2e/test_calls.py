"""run, submit and map: results in, errors out, arguments of every kind, in order and within bounds."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fogsdk import DeadlineExceeded, Fog, TaskFailed, TaskRefused
from fogsdk.wire import limits
from tests.e2e.journal import Journal
from tests.e2e.site import Site


def test_run_returns_what_the_task_returns(fog: Fog) -> None:
    assert fog.run("increment", 41) == 42


def test_arguments_of_every_kind_come_back_as_they_went(fog: Fog) -> None:
    args = [None, True, -(2**70), 0.1, "grüß 🌍", b"\x00\xff", [1, [2]], {"a": {"b": 1}}]
    assert fog.run("give_back", *args, key="word") == [args, {"key": "word"}]


@pytest.mark.parametrize("dtype", ["bool", "int8", "uint16", "int64", "float32", "float64"])
def test_numpy_arrays_go_there_and_come_back(fog: Fog, dtype: str) -> None:
    array = np.arange(24).astype(dtype).reshape(2, 3, 4)
    [[returned], _] = fog.run("give_back", array)
    np.testing.assert_array_equal(returned, array)
    np.testing.assert_allclose(fog.run("scale", np.linspace(0, 1, 5), factor=3.0), np.linspace(0, 3, 5))


def test_a_megabyte_goes_there_and_comes_back(fog: Fog) -> None:
    data = bytes(range(256)) * 4096
    assert fog.run("give_back", data) == [[data], {}]


def test_400_light_tasks_pipelined_on_one_connection_give_400_results(fog: Fog) -> None:
    futures = [fog.submit("increment", number) for number in range(400)]
    assert [future.result() for future in futures] == list(range(1, 401))


# ---------------------------------------------------------------- map


def test_map_yields_in_the_order_of_the_items_not_of_the_results(fog: Fog, journal: Journal) -> None:
    names, seconds = ["slow", "quick"], [0.3, 0.0]
    assert list(fog.map("work", [journal.path] * 2, names, seconds)) == names
    assert [entry.name for entry in journal.ended()] == ["quick", "slow"]


def test_map_goes_as_far_as_the_shortest_of_its_iterables(fog: Fog) -> None:
    assert list(fog.map("increment", [1, 2, 3], [0.0, 0.0])) == [2, 3]
    assert list(fog.map("increment", [])) == []


def test_map_takes_items_only_as_results_are_consumed(fog: Fog) -> None:
    taken: list[int] = []

    def items() -> Iterator[int]:
        for number in itertools.count():
            taken.append(number)
            yield number

    results = fog.map("increment", items(), in_flight=4)
    assert not taken
    for consumed in range(1, 20):
        assert next(results) == consumed
        assert len(taken) <= consumed + 4


def test_map_raises_the_first_failure_and_cancels_the_rest(fog: Fog, journal: Journal) -> None:
    names, seconds = ["first", "second"], [-1.0, 30.0]
    with pytest.raises(TaskRefused):
        list(fog.map("work", [journal.path] * 2, names, seconds, ["too", "many"]))
    futures = fog.map("work", [journal.path] * 2, names, [0.0, 30.0])
    assert next(futures) == "first"
    futures.close()  # type: ignore[attr-defined]  # what a loop that is left does
    assert fog.run("increment", 1) == 2
    assert not journal.ended("second")


# ---------------------------------------------------------------- what goes wrong


def test_a_task_that_raises_gives_type_message_and_traceback(fog: Fog) -> None:
    with pytest.raises(TaskFailed) as caught:
        fog.run("fail", "no such book")
    assert (caught.value.type, caught.value.message) == ("LookupError", "no such book")
    assert "e2e_tasks.py" in caught.value.traceback
    assert "raise LookupError(message)" in caught.value.traceback
    assert "no such book" in str(caught.value)


def test_an_unknown_task_is_refused_with_the_names_there_are(fog: Fog) -> None:
    with pytest.raises(TaskRefused, match="increment") as caught:
        fog.run("decrement", 1)
    assert caught.value.reason == "unknown-task"


@pytest.mark.parametrize(("args", "kwargs"), [((), {}), ((1, 2, 3), {}), ((1,), {"unknown": 2})])
def test_arguments_that_do_not_fit_are_refused_with_the_signature(
    fog: Fog, args: tuple[int, ...], kwargs: dict[str, Any]
) -> None:
    with pytest.raises(TaskRefused, match=r"increment\(number: int, seconds: float = 0\.0\)") as caught:
        fog.run("increment", *args, **kwargs)
    assert caught.value.reason == "bad-arguments"


def test_arguments_that_cannot_be_sent_are_refused_at_once(fog: Fog) -> None:
    with pytest.raises(TaskRefused, match=r"cannot send a builtins\.object") as caught:
        fog.submit("increment", object())
    assert caught.value.reason == "bad-arguments"


def test_arguments_over_the_limit_are_refused_before_sending(fog: Fog) -> None:
    with pytest.raises(TaskRefused, match=str(limits.BODY_SIZE)) as caught:
        fog.submit("give_back", bytes(limits.BODY_SIZE))
    assert caught.value.reason == "too-large"


def test_a_result_over_the_limit_fails_with_its_size(fog: Fog) -> None:
    with pytest.raises(TaskFailed, match=str(limits.BODY_SIZE)) as caught:
        fog.run("zeros", limits.BODY_SIZE + 1)
    assert caught.value.type == "TooLarge"


def test_a_deadline_that_passes_is_reported_and_stops_the_task(fog: Fog, journal: Journal) -> None:
    with pytest.raises(DeadlineExceeded):
        fog.run("work", journal.path, "late", 1.0, deadline=0.2)
    # It occupied one of two workers: had it not been stopped, it would end beside this one.
    assert fog.run("work", journal.path, "later", 1.0) == "later"
    assert [entry.name for entry in journal.begun()] == ["late", "later"]
    assert [entry.name for entry in journal.ended()] == ["later"]


@pytest.mark.parametrize("deadline", [np.int64(20), np.float32(20), Decimal(20), Fraction(20), 20])
def test_a_deadline_is_whatever_is_a_number(fog: Fog, deadline: Any) -> None:
    assert fog.run("increment", 1, deadline=deadline) == 2


def test_a_function_in_place_of_a_task_s_name_is_answered_with_its_name(fog: Fog) -> None:
    def increment() -> None: ...

    with pytest.raises(ValueError, match="'increment' for one"):
        fog.submit(increment)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "options", [{"priority": 101}, {"priority": 0.5}, {"deadline": -1}, {"deadline": "2s"}, {"weight": "huge"}]
)
def test_options_out_of_range_are_refused(fog: Fog, options: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=next(iter(options))):
        fog.submit("increment", 1, **options)  # type: ignore[arg-type]


def test_what_a_task_prints_breaks_nothing(fog: Fog, site: Site) -> None:
    assert fog.run("chatter") == "said"
    assert fog.run("increment", 1) == 2
    assert "not a message of the protocol" in site.nodes["n1"].output


# ---------------------------------------------------------------- priorities


def test_a_higher_priority_leaves_the_queue_first(site: Site, fog: Fog, journal: Journal) -> None:
    gates = [Path(f"{journal.path}-gate-{number}") for number in range(2)]
    held = [fog.submit("hold", journal.path, "blocker", str(gate)) for gate in gates]
    futures = [
        fog.submit("work", journal.path, f"at-{priority}", 0.0, priority=priority) for priority in (-100, 0, 100, 50)
    ]
    site.wait_for_queue("n1", len(futures))
    gates[0].touch()  # one worker goes on, one stays blocked: the queue leaves one by one
    for future in futures:
        future.result()
    gates[1].touch()
    assert [each.result() for each in held] == ["blocker", "blocker"]
    order = [entry.name for entry in journal.begun() if entry.name != "blocker"]
    assert order == ["at-100", "at-50", "at-0", "at--100"]
