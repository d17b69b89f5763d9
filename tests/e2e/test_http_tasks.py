"""A task over HTTP means what it means over MQTT: results, refusals, dedupe, deadlines, progress, cancelling."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import cbor2
import numpy
import pytest

from fogsdk.node.door_requests import MOST_BODY
from fogsdk.wire import values
from tests.e2e.http_client import CBOR, TASKS, Client, serve, task
from tests.e2e.journal import Journal
from tests.e2e.site import Site
from tests.support.waiting import eventually

FORM = {"Content-Type": "application/x-www-form-urlencoded"}


@pytest.fixture(scope="module")
def http(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    """A node of a site of its own, for all tests of this module."""
    with Site(tmp_path_factory.mktemp("site")) as site:
        yield serve(site, "n1")


@pytest.fixture
def sender(request: pytest.FixtureRequest) -> str:
    """A name that no other test has: a node remembers what a sender has asked before."""
    return f"http-{abs(hash(request.node.name)):x}"


# ---------------------------------------------------------------- results


def test_a_task_in_json_gets_its_result_and_its_trace(http: Client) -> None:
    answer = http.run("increment", 41)
    assert (answer.status, answer.headers["Content-Type"]) == (200, "application/json")
    assert answer.said["value"] == 42
    assert len(answer.said["id"]) == 32
    [hop] = answer.said["trace"]
    assert (hop["node"], hop["action"]) == ("n1", "ran")


def test_every_kind_of_json_value_comes_back(http: Client) -> None:
    args: list[Any] = [None, True, -1, 0.5, "grüß\u2603", [], {"a": [1]}, 2**60]
    answer = http.request("POST", task("give_back"), json.dumps({"args": args, "kwargs": {"key": 1}}))
    assert http.run("give_back").value == [[], {}]
    assert answer.value == [args, {"key": 1}]


def test_a_task_without_a_body_has_no_arguments(http: Client) -> None:
    assert http.request("POST", task("give_back")).value == [[], {}]


def test_a_task_in_cbor_gets_its_result_in_cbor(http: Client) -> None:
    answer = http.run_cbor("give_back", b"\x00\xff", {"key": [1]})
    assert answer.headers["Content-Type"] == CBOR
    assert answer.value == [[b"\x00\xff", {"key": [1]}], {}]
    body = cbor2.dumps({"body": values.encode([[{1: "a key that is a number"}], {}])})
    assert http.request("POST", task("give_back"), body, {"Content-Type": CBOR, "Accept": CBOR}).value == [
        [{1: "a key that is a number"}],
        {},
    ]


def test_an_array_travels_as_one_in_cbor_and_as_numbers_in_json(http: Client) -> None:
    array = numpy.arange(6, dtype="uint16").reshape(2, 3)
    body = cbor2.dumps({"body": values.encode([[array], {"factor": 2.0}])})
    in_cbor = http.request("POST", task("scale"), body, {"Content-Type": CBOR, "Accept": CBOR})
    tag = in_cbor.said["value"]
    assert (values.decode(cbor2.dumps(tag)) == array * 2.0).all()
    in_json = http.request("POST", task("scale"), body, {"Content-Type": CBOR})
    assert in_json.value == [[0.0, 2.0, 4.0], [6.0, 8.0, 10.0]]


def test_large_arguments_and_results_come_through(http: Client) -> None:
    data = bytes(range(256)) * (40_000)  # 10 MB
    assert http.run_cbor("give_back", data).value == [[data], {}]
    assert http.run("give_back", "x" * 10_000_000).value == [["x" * 10_000_000], {}]


def test_what_json_cannot_hold_is_a_failure_that_says_so(http: Client) -> None:
    answer = http.run("zeros", 14_000_000)  # as text it is a third longer
    assert answer.problem == (500, "failed")
    assert answer.said["error"] == "WireError"
    assert len(http.run_cbor("zeros", 14_000_000).value) == 14_000_000


# ---------------------------------------------------------------- what else becomes of a task


def test_a_task_that_raises_is_a_problem_with_type_message_and_traceback(http: Client) -> None:
    answer = http.run("fail", "no such book")
    assert answer.problem == (500, "failed")
    assert (answer.said["error"], answer.said["message"]) == ("LookupError", "no such book")
    assert answer.said["detail"] == "LookupError: no such book"
    assert "e2e_tasks.py" in answer.said["traceback"]
    in_cbor = http.run("fail", "no such book", Accept=CBOR)
    assert (in_cbor.status, in_cbor.said["reason"]) == (500, "failed")


@pytest.mark.parametrize(
    ("path", "body", "headers", "problem", "detail"),
    [
        ("decrement", "{}", {}, (404, "unknown-task"), "there are: add_up"),
        ("fog.nonsense", "{}", {}, (404, "unknown-task"), "fog.report"),
        ("de%2Fcre%C3%A4", "{}", {}, (404, "unknown-task"), "'de/creä'"),
        ("increment", "{}", {}, (400, "bad-arguments"), "missing a required argument: 'number'"),
        ("increment", '{"args": 1}', {}, (400, "malformed"), "args: must be an array"),
        ("increment", '{"kwargs": [1]}', {}, (400, "malformed"), "kwargs: must be a map"),
        ("increment", '{"arg": [1]}', {}, (400, "malformed"), "there is no 'arg'; there are args, kwargs"),
        ("increment", '{"args": [1]', {}, (400, "malformed"), "not JSON"),
        ("increment", '{"args": [NaN]}', {}, (400, "malformed"), "not JSON"),
        ("increment", "[1]", {}, (400, "malformed"), "must be a map with args and kwargs"),
        ("increment", '{"args":' + "[" * 50 + "]" * 50 + "}", {}, (400, "bad-arguments"), "nest"),
        ("increment", b"\xff", {"Content-Type": CBOR}, (400, "malformed"), "not CBOR"),
        ("increment", "number=1", FORM, (415, "unsupported-type"), "send Content-Type: application/json"),
        ("increment", "{}", {"Content-Encoding": "gzip"}, (415, "unsupported-type"), "not compressed"),
        ("increment?deadlin=5s", "{}", {}, (400, "malformed"), "there is no option 'deadlin'; there are id"),
        ("increment?id=a&id=b", "{}", {}, (400, "malformed"), "id: is there more than once"),
        ("increment?id=A", "{}", {}, (400, "malformed"), "id: must be 1 to 64 of a-z"),
        ("increment?deadline=soon", "{}", {}, (400, "malformed"), "deadline: must be a duration above 0"),
        ("increment?priority=urgent", "{}", {}, (400, "malformed"), "priority: must be a whole number"),
        ("increment?priority=101", "{}", {}, (400, "malformed"), "priority: must be an integer from -100 to 100"),
        ("increment?weight=huge", "{}", {}, (400, "malformed"), "weight: must be one of light"),
        ("increment?sender=Me", "{}", {}, (400, "malformed"), "sender: must be 1 to 64 of a-z"),
        ("increment", "{}", {"Fog-Sender": "a b"}, (400, "malformed"), "sender: must be 1 to 64 of a-z"),
        ("x" * 200, "{}", {}, (400, "malformed"), "name: 200 characters"),
    ],
)
def test_a_task_that_cannot_run_is_a_problem_with_the_reason(
    http: Client, path: str, body: Any, headers: dict[str, str], problem: tuple[int, str], detail: str
) -> None:
    answer = http.request("POST", f"{TASKS}/{path}", body, headers)
    assert answer.problem == problem
    assert detail in answer.said["detail"]


def test_a_body_over_the_limit_is_refused(http: Client) -> None:
    def without_length() -> Iterator[bytes]:
        yield from [bytes(2**20)] * (MOST_BODY // 2**20 + 1)

    answer = http.request("POST", task("give_back"), bytes(MOST_BODY + 1))
    assert answer.problem == (413, "too-large")
    assert str(MOST_BODY) in answer.said["detail"]
    assert http.request("POST", task("give_back"), without_length()).problem == (413, "too-large")


def test_a_deadline_that_passes_is_a_gateway_timeout(http: Client, journal: Journal) -> None:
    answer = http.run("work", journal.path, "late", 20, query={"deadline": "200ms"})
    assert answer.problem == (504, "deadline-exceeded")
    assert "the deadline passed" in answer.said["detail"]


def test_a_task_of_higher_priority_leaves_the_queue_first(http: Client, journal: Journal, tmp_path: Path) -> None:
    gates = [tmp_path / f"gate-{number}" for number in range(2)]
    with ThreadPoolExecutor(6) as pool:
        holders = [pool.submit(http.run, "hold", journal.path, "holder", str(gate)) for gate in gates]
        eventually(lambda: len(journal.begun("holder")) == 2)
        later = [pool.submit(http.run, "work", journal.path, "low", 0.0, query={"priority": -1}) for _ in range(2)]
        eventually(lambda: _own(http)["queued"] == 2)
        urgent = pool.submit(http.run, "work", journal.path, "high", 0.0, query={"priority": "5"})
        eventually(lambda: _own(http)["queued"] == 3)
        gates[0].touch()  # one worker goes on, one stays blocked: the queue leaves one by one
        for future in [*later, urgent]:
            assert future.result().status == 200
        gates[1].touch()
        assert [each.result().status for each in holders] == [200, 200]
    names = [entry.name for entry in journal.begun() if entry.name != "holder"]
    assert names == ["high", "low", "low"]


def _own(http: Client) -> Any:
    return http.get("/fog/v1/nodes").said["nodes"][0]


# ---------------------------------------------------------------- once


def test_the_same_sender_and_id_run_once_whoever_asks_and_however_often(
    http: Client, journal: Journal, sender: str
) -> None:
    query = {"id": "once", "sender": sender}
    with ThreadPoolExecutor(4) as pool:
        asked = [pool.submit(http.run, "work", journal.path, "once", 0.3, query=query) for _ in range(4)]
        assert [each.result().value for each in asked] == ["once"] * 4
    by_header = http.run("work", journal.path, "once", 0.3, query={"id": "once"}, Fog_Sender=sender)
    assert by_header.value == "once"
    assert len(journal.begun("once")) == 1
    assert http.run("increment", 1, query={"id": "once", "sender": f"{sender}-2"}).value == 2, "another's id is another"


def test_a_task_without_an_id_gets_one_that_nobody_guesses(http: Client) -> None:
    assert http.run("increment", 1).said["id"] != http.run("increment", 1).said["id"]


# ---------------------------------------------------------------- asked for later


def test_a_task_that_takes_long_is_fetched_later(http: Client, journal: Journal, sender: str) -> None:
    query = {"id": "slow", "sender": sender}
    posted = http.run("work", journal.path, "slow", 1.0, query=query, Prefer="respond-async")
    assert posted.status == 202
    assert posted.headers["Preference-Applied"] == "respond-async"
    assert posted.headers["Location"] == f"/fog/v1/tasks/work/slow?sender={sender}"
    assert (posted.said["id"], posted.said["node"]) == ("slow", "n1")
    where = posted.headers["Location"]
    assert http.get(where).status == 202
    assert http.get(f"{where}&wait=100ms").status == 202
    assert 0.0 < http.get(where).said["progress"] < 1.0
    assert http.get(f"{where}&wait=10s").value == "slow"
    assert http.get(where).value == "slow", "it is kept"
    assert len(journal.begun("slow")) == 1


def test_a_quick_task_is_answered_at_once_all_the_same(http: Client) -> None:
    assert http.run("increment", 1, Prefer="respond-async").value == 2
    assert http.run("decrement", 1, Prefer="respond-async").problem == (404, "unknown-task")


def test_a_client_may_say_how_long_it_waits_before_it_comes_back(http: Client, journal: Journal) -> None:
    assert http.run("work", journal.path, "a", 0.3, Prefer="respond-async, wait=10").value == "a"
    assert http.run("work", journal.path, "b", 1.5, Prefer="respond-async, wait=1").status == 202


def test_an_id_that_nobody_used_is_not_found(http: Client) -> None:
    assert http.get(f"{TASKS}/increment/nothing").problem == (404, "unknown-id")
    assert http.get(f"{TASKS}/increment/nothing", Accept="text/event-stream").problem == (404, "unknown-id")
    assert http.get(f"{TASKS}/increment/NOTHING").problem == (400, "malformed")
    assert http.get(f"{TASKS}/increment/nothing?wait=long").problem == (400, "malformed")


def test_a_task_is_cancelled_by_deleting_it(http: Client, journal: Journal, sender: str) -> None:
    query = {"id": "long", "sender": sender}
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(http.run, "work", journal.path, "long", 20, query=query)
        eventually(lambda: journal.begun("long"))
        path = f"{TASKS}/work/long?sender={sender}"
        assert http.request("DELETE", path).status == 204
        assert waiting.result().problem == (409, "cancelled")
    assert http.get(path).problem == (409, "cancelled")
    assert http.request("DELETE", path).status == 204, "again"
    assert http.request("DELETE", f"{TASKS}/work/nothing").status == 204
    assert not journal.ended("long")


def test_a_task_that_was_done_first_cannot_be_cancelled_any_more(http: Client, sender: str) -> None:
    http.run("increment", 1, query={"id": "done", "sender": sender})
    assert http.request("DELETE", f"{TASKS}/increment/done?sender={sender}").value == 2


# ---------------------------------------------------------------- events


def test_events_tell_of_acceptance_progress_and_result(http: Client, journal: Journal, sender: str) -> None:
    query = {"id": "told", "sender": sender}
    body = json.dumps({"args": [journal.path, "told", 0.5]})
    with http.events("POST", task("work", query), body) as stream:
        events = list(stream)
    names = [event.name for event in events]
    assert (names[0], names[1], names[-1]) == ("accepted", "progress", "result")
    assert events[0].data["node"] == "n1"
    fractions = [event.data["fraction"] for event in events if event.name == "progress"]
    assert fractions == sorted(fractions)
    assert 0.0 <= fractions[0] <= fractions[-1] <= 1.0
    assert (events[-1].data["value"], events[-1].data["id"]) == ("told", "told")
    assert [event.id for event in events] == ["told"] * (len(events) - 1) + ["told/done"]


@pytest.mark.parametrize(
    ("name", "args", "query", "event", "reason"),
    [
        ("fail", ["no"], {}, "failed", "failed"),
        ("decrement", [], {}, "refused", "unknown-task"),
        ("increment", [1, 20], {"deadline": "100ms"}, "deadline-exceeded", "deadline-exceeded"),
    ],
)
def test_events_end_with_any_other_outcome_as_a_problem(
    http: Client, name: str, args: list[Any], query: dict[str, str], event: str, reason: str
) -> None:
    with http.events("POST", task(name, query), json.dumps({"args": args})) as stream:
        last = list(stream)[-1]
    assert (last.name, last.data["reason"]) == (event, reason)


def test_a_stream_that_broke_off_is_resumed(http: Client, journal: Journal, sender: str) -> None:
    """By asking again with what the browser says came last, by POST or GET; the task runs on."""
    headers = {"Fog-Sender": sender}
    body = json.dumps({"args": [journal.path, "resumed", 1.5]})
    with http.events("POST", task("work"), body, headers) as stream:
        first = next(stream)
    with http.events("POST", task("work"), body, {**headers, "Last-Event-ID": first.id}) as stream:
        assert next(stream).name == "accepted"
    path = f"{TASKS}/work/{first.id}?sender={sender}"
    with http.events("GET", path, headers={"Last-Event-ID": first.id}) as stream:
        last = list(stream)[-1]
    assert (last.name, last.data["value"], last.id) == ("result", "resumed", f"{first.id}/done")
    done = http.get(path, Accept="text/event-stream", Last_Event_ID=last.id)
    assert done.status == 204, "which tells a browser not to connect again"
    assert len(journal.begun("resumed")) == 1


def test_a_cancelled_task_ends_its_events(http: Client, journal: Journal, sender: str) -> None:
    query = {"id": "stopped", "sender": sender}
    with http.events("POST", task("work", query), json.dumps({"args": [journal.path, "stopped", 20]})) as stream:
        next(stream)
        stop = threading.Timer(0.1, http.request, ["DELETE", f"{TASKS}/work/stopped?sender={sender}"])
        stop.start()
        assert list(stream)[-1].name == "cancelled"
        stop.join()


# ---------------------------------------------------------------- posts and sessions


def test_a_posted_task_is_fetched_by_its_receipt(http: Client, journal: Journal) -> None:
    receipt = http.run("work", journal.path, "posted", 0.2, query={"keep": "1h"}).value
    assert (receipt["copies"], receipt["nodes"]) == (1, ["n1"])
    assert http.run("fog.fetch", receipt["receipt"]).value == "posted"
    assert http.run("fog.fetch", "nobody/nothing").problem == (404, "unknown-receipt")
    two = http.run("work", journal.path, "posted", 0.2, query={"keep": "1h", "copies": "2"})
    assert two.problem == (503, "too-few-nodes")


def test_steps_of_a_session_over_http(http: Client, sender: str) -> None:
    def step(number: int, after: str, id: str) -> Any:
        query = {"session": sender, "step": number, "after": after, "id": id, "sender": sender}
        return http.run("count", 5, query=query)

    first = step(1, "", "a")
    assert first.value == 5
    second = step(2, first.said["tag"], "b")
    assert second.value == 10
    assert step(2, first.said["tag"], "b").said["tag"] == second.said["tag"], "it is answered, not taken again"
    assert step(2, first.said["tag"], "c").problem == (409, "conflict")
