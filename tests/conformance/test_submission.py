"""What it means to hand in a task, whatever the way: one outcome, of the right kind, with what belongs to it."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.conformance.conftest import NODE, WAYS, OpenSite, a_name
from tests.conformance.link import Link, Order, Outcome
from tests.e2e.journal import Journal
from tests.support.waiting import eventually


def run(link: Link, name: str, *args: Any, **options: Any) -> Outcome:
    return link.hand_in(Order(name, args, **options)).outcome()


# ---------------------------------------------------------------- results


def test_a_result_and_who_ran_it(link: Link) -> None:
    outcome = run(link, "increment", 41)
    assert (outcome.kind, outcome.value, outcome.ran) == ("result", 42, (NODE,))


def test_keyword_arguments(link: Link) -> None:
    assert run(link, "increment", kwargs={"number": 1, "seconds": 0.0}).value == 2


@pytest.mark.parametrize(
    "value",
    [None, True, 0, -1, 2**53, 2**63 - 1, 0.1, "", [], {}, [[1, [2.5]], {"a": {"b": None}}]],
    ids=str,
)
def test_a_value_comes_back_as_it_was_and_of_its_type(link: Link, value: Any) -> None:
    [[returned], _] = run(link, "give_back", value).value
    assert returned == value
    assert type(returned) is type(value)


@pytest.mark.parametrize("text", ["grüß dich", "🌫️ 霧 ضباب", 'a "quote"\\ and \x00 \x1f \u2028', "e\u0301"])
def test_unicode_comes_back_as_it_was(link: Link, text: str) -> None:
    assert run(link, "give_back", text, kwargs={"straße": text}).value == [[text], {"straße": text}]


def test_bytes_come_back_as_bytes_and_in_json_as_base64url_text(link: Link) -> None:
    every = bytes(range(256))
    if link.json:
        value = run(link, "zeros", 5).value
        assert base64.urlsafe_b64decode(value + "=") == bytes(5)
    else:
        assert run(link, "give_back", every).value == [[every], {}]


def test_a_numpy_array_comes_back_as_one_and_in_json_as_lists(link: Link) -> None:
    if not link.arrays:
        outcome = run(link, "table", 2, 3)
        assert (outcome.kind, outcome.error) == ("failed", "WireError")
        assert "numpy is not installed here: install numpy, or send lists" in outcome.message
    elif link.json:
        assert run(link, "table", 2, 3).value == [[0.0, 1.0, 2.0], [3.0, 4.0, 5.0]]
    else:
        array = np.arange(6, dtype=np.float32).reshape(2, 3)
        value = run(link, "scale", array, kwargs={"factor": np.float32(2)}).value
        assert value.dtype == np.float32
        assert np.array_equal(value, 2 * array)


def test_a_large_body_goes_there_and_back(link: Link) -> None:
    text = "fog " * (256 * 1024)
    assert run(link, "give_back", text).value == [[text], {}]


def test_two_devices_may_use_the_same_ids(site: OpenSite, way: str) -> None:
    links = [WAYS[way](site, a_name(way)) for _ in range(2)]
    try:
        calls = [link.hand_in(Order("increment", (n,), id="same")) for n, link in enumerate(links)]
        assert [call.outcome().value for call in calls] == [1, 2]
    finally:
        for link in links:
            link.close()


def test_many_at_once_each_get_their_own_result(link: Link) -> None:
    calls = [link.hand_in(Order("increment", (number,))) for number in range(50)]
    assert [call.outcome().value for call in calls] == list(range(1, 51))


# ---------------------------------------------------------------- failures and refusals


def test_a_task_that_raises_fails_with_type_message_and_traceback(link: Link) -> None:
    outcome = run(link, "fail", "no such plant: grün")
    assert (outcome.kind, outcome.error, outcome.message) == ("failed", "LookupError", "no such plant: grün")
    assert "in fail" in outcome.traceback


def test_a_task_that_nobody_knows_is_refused_and_those_that_there_are_are_named(link: Link) -> None:
    outcome = run(link, "incremen")
    assert (outcome.kind, outcome.reason) == ("refused", "unknown-task")
    assert "'incremen'; there are: " in outcome.message


def test_arguments_that_do_not_fit_are_refused_and_the_signature_is_shown(link: Link) -> None:
    outcome = run(link, "increment", 1, 2, 3, 4)
    assert (outcome.kind, outcome.reason) == ("refused", "bad-arguments")
    assert "number: int" in outcome.message


def test_what_a_task_refuses_itself_is_refused_with_its_reason(link: Link) -> None:
    outcome = run(link, "refuse", "bad-arguments", "only on Sundays")
    assert (outcome.kind, outcome.reason, outcome.message) == ("refused", "bad-arguments", "only on Sundays")


def test_arguments_that_are_too_large_are_refused_and_the_limit_is_named(link: Link) -> None:
    outcome = run(link, "give_back", "x" * (link.most_body + 4096))
    assert (outcome.kind, outcome.reason) == ("refused", "too-large"), outcome.message
    assert "limit" in outcome.message


def test_heavy_work_without_a_cloud_is_refused_at_once(link: Link) -> None:
    outcome = run(link, "cloud_work")
    assert (outcome.kind, outcome.reason) == ("refused", "no-cloud")


def test_a_receipt_that_nobody_gave_is_refused(link: Link) -> None:
    outcome = run(link, "fog.fetch", "nobody/nothing")
    assert (outcome.kind, outcome.reason) == ("refused", "unknown-receipt")


def test_a_task_that_two_nodes_are_to_keep_is_refused_where_there_is_one(link: Link) -> None:
    outcome = run(link, "increment", 1, keep=60.0, copies=2)
    assert (outcome.kind, outcome.reason) == ("refused", "too-few-nodes")


def test_a_task_that_kills_its_workers_fails_and_is_then_quarantined(link: Link, way: str) -> None:
    deadly = f"die_{[*WAYS].index(way)}"  # each way has one of its own: it is in quarantine for all
    first = run(link, deadly)
    assert (first.kind, first.error) == ("failed", "WorkerDied")
    second = run(link, deadly)
    assert (second.kind, second.reason) == ("refused", "quarantined")
    assert run(link, "increment", 1).value == 2


# ---------------------------------------------------------------- deadline, cancel, progress


def test_a_deadline_that_passes_ends_the_task(link: Link, journal: Journal) -> None:
    outcome = run(link, "work", journal.path, "late", 10.0, deadline=0.4)
    assert outcome.kind == "deadline-exceeded"
    assert journal.begun("late")
    assert not journal.ended("late")


def test_a_task_that_is_cancelled_stops_and_its_worker_is_free(link: Link, journal: Journal, tmp_path: Path) -> None:
    gate = str(tmp_path / "gate")
    calls = [link.hand_in(Order("hold", (journal.path, name, gate))) for name in ("a", "b")]
    eventually(lambda: len(journal.begun()) == 2)
    for call in calls:
        call.cancel()
    assert [call.outcome().kind for call in calls] == ["cancelled", "cancelled"]
    assert run(link, "work", journal.path, "next", 0.0).kind == "result"
    assert not journal.ended("a") + journal.ended("b")


def test_progress_is_told_and_only_grows(link: Link, journal: Journal) -> None:
    call = link.hand_in(Order("work", (journal.path, "slow", 1.2)))
    assert call.outcome().kind == "result"
    told = call.progress()
    assert len(told) >= 3
    assert told == sorted(told)
    assert 0 <= told[0] < told[-1] <= 1


# ---------------------------------------------------------------- once, and in order


def test_a_task_that_is_handed_in_twice_runs_once(link: Link, journal: Journal) -> None:
    order = Order("work", (journal.path, "once", 0.3))
    first = link.hand_in(order)
    eventually(lambda: journal.begun("once"))
    assert link.repeat(order).outcome().value == first.outcome().value == "once"
    assert link.repeat(order).outcome().value == "once"
    assert len(journal.begun("once")) == 1


def test_what_is_urgent_comes_first(site: OpenSite, link: Link, journal: Journal, tmp_path: Path) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    calls = [link.hand_in(Order("hold", (journal.path, name, str(first)))) for name in ("a", "b")]
    eventually(lambda: len(journal.begun()) == 2)
    for name, priority in (("low", -5), ("ordinary", 0), ("urgent", 5), ("too", 5)):
        calls.append(link.hand_in(Order("hold", (journal.path, name, str(second)), priority=priority)))
    eventually(lambda: site.queued() == 4)
    first.touch()
    eventually(lambda: len(journal.begun()) == 4)
    assert {entry.name for entry in journal.begun()[2:]} == {"urgent", "too"}
    second.touch()
    assert {call.outcome().kind for call in calls} == {"result"}
