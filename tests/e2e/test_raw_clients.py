"""Whoever speaks MQTT can use the fog: tasks published by hand, in JSON or CBOR, with ids of their own choice."""

from __future__ import annotations

from collections.abc import Iterator

import cbor2
import pytest

from fogsdk.wire import limits
from tests.e2e.journal import Journal
from tests.e2e.rawdevice import RawDevice
from tests.e2e.site import Site
from tests.support.waiting import eventually


@pytest.fixture
def device(site: Site, request: pytest.FixtureRequest) -> Iterator[RawDevice]:
    name = f"raw-{abs(hash(request.node.name)):x}"  # a node remembers what a sender has asked before
    with RawDevice(site.broker.port, name) as device:
        yield device


@pytest.mark.parametrize("node", ["", "n1"])
def test_a_json_task_gets_a_json_result(device: RawDevice, node: str) -> None:
    """Sent to fog/v1/home/task/<sender>, or to fog/v1/home/node/n1/task/<sender>."""
    device.send({"type": "task", "id": "1", "name": "increment", "args": [41]}, node)
    _, payload, _ = device.next()
    assert payload.startswith(b'{"type":"result","id":"1"')
    assert b'"value":42' in payload
    assert b'"node":"n1","action":"ran"' in payload


def test_keyword_arguments_and_every_kind_of_json_value_come_back(device: RawDevice) -> None:
    value: list[object] = [None, True, -1, 0.5, "grüß", [], {"a": [1]}]
    device.send({"type": "task", "id": "1", "name": "give_back", "args": value, "kwargs": {"key": 1}})
    assert device.outcome("1")["value"] == [value, {"key": 1}]


def test_a_cbor_task_gets_a_cbor_result(device: RawDevice) -> None:
    device.send({"type": "task", "id": "1", "name": "increment", "args": [41]}, "n1", as_json=False)
    assert device.outcome("1")["body"] == b"\x18\x2a"  # 42, in CBOR


def test_a_batch_gets_an_answer_for_each(device: RawDevice) -> None:
    """What is wrong with one of them is no harm to the others."""
    tasks = [{"type": "task", "id": str(n), "name": "increment", "args": [n]} for n in range(3)]
    device.send([*tasks, {"type": "task", "id": "bad", "name": 7}], "n1")
    answers = device.outcomes(4)
    assert [answers[str(n)]["value"] for n in range(3)] == [1, 2, 3]
    assert (answers["bad"]["type"], answers["bad"]["reason"]) == ("refused", "malformed")
    assert "name" in answers["bad"]["message"]


def test_two_devices_that_use_the_same_ids_each_get_their_own_results(site: Site) -> None:
    with RawDevice(site.broker.port, "a") as a, RawDevice(site.broker.port, "b") as b:
        for number in range(50):
            a.send({"type": "task", "id": str(number), "name": "increment", "args": [number]}, "n1")
            b.send({"type": "task", "id": str(number), "name": "increment", "args": [number + 1000]}, "n1")
        for device, offset in ((a, 1), (b, 1001)):
            answers = device.outcomes(50)
            assert all(answers[str(number)]["value"] == number + offset for number in range(50))
        assert a.heard.empty()
        assert b.heard.empty()


def test_the_same_id_sent_again_gets_the_same_result_and_runs_once(device: RawDevice, journal: Journal) -> None:
    task = {"type": "task", "id": "1", "name": "work", "args": [journal.path, "once", 0.2]}
    device.send(task, "n1")
    eventually(lambda: journal.begun("once"))
    device.send(task, "n1")  # it runs: they attach to it
    device.send({"type": "ask", "id": "1"}, "n1")
    first = device.outcome("1")
    device.send(task, "n1")  # it is done: its result is kept
    device.send({"type": "ask", "id": "1"}, "n1")
    assert device.outcome("1") == device.outcome("1") == first
    assert first["value"] == "once"
    assert len(journal.begun("once")) == 1


def test_a_task_that_takes_a_while_is_accepted_reports_progress_and_can_be_cancelled(
    device: RawDevice, journal: Journal
) -> None:
    device.send({"type": "task", "id": "1", "name": "work", "args": [journal.path, "long", 20]}, "n1")
    words: dict[str, dict[str, object]] = {}
    while words.keys() < {"accepted", "progress"}:
        reply = device.reply()
        words[reply["type"]] = reply
    assert words["accepted"]["node"] == "n1"
    device.send({"type": "cancel", "id": "1"}, "n1")
    assert device.outcome("1") == {"type": "cancelled", "id": "1"}
    assert not journal.ended("long")


@pytest.mark.parametrize(
    ("task", "reason", "message"),
    [
        ({"name": "decrement"}, "unknown-task", "there are: add_up"),
        ({"name": "increment"}, "bad-arguments", "missing a required argument: 'number'"),
        ({"name": "increment", "args": 1}, "malformed", "args: must be an array"),
        ({"name": "increment", "kwargs": [1]}, "malformed", "kwargs: must be a map"),
        ({"name": "increment", "args": [1], "deadline": "soon"}, "malformed", "deadline: must be an integer"),
        ({}, "malformed", "name: is missing"),
    ],
)
def test_a_task_that_cannot_run_is_refused_with_the_reason(
    device: RawDevice, task: dict[str, object], reason: str, message: str
) -> None:
    device.send({"type": "task", "id": "1", **task})
    refused = device.outcome("1")
    assert (refused["type"], refused["node"], refused["reason"]) == ("refused", "n1", reason)
    assert message in refused["message"]


def test_a_state_over_the_limit_is_refused_by_the_node_too(device: RawDevice) -> None:
    task = {
        "type": "task",
        "id": "big",
        "name": "give_back",
        "body": b"\x82\x80\xa0",
        "state": bytes(limits.STATE_SIZE + 1),
    }
    device.send(task, "n1", as_json=False)
    refused = device.outcome("big")
    assert (refused["type"], refused["reason"]) == ("refused", "too-large")
    assert str(limits.STATE_SIZE) in refused["message"]


def test_a_message_over_the_limit_is_refused_unread(device: RawDevice) -> None:
    device.send_bytes(b'{"type":"task","id":"1"' + b" " * limits.MESSAGE_SIZE + b"}", "n1")
    refused = device.reply()
    assert (refused["type"], refused["id"], refused["reason"]) == ("refused", "", "too-large")
    assert str(limits.MESSAGE_SIZE) in refused["message"]


def test_a_task_that_fails_says_so_in_json(device: RawDevice) -> None:
    device.send({"type": "task", "id": "1", "name": "fail", "args": ["no such book"]})
    failed = device.outcome("1")
    assert (failed["type"], failed["error"], failed["message"]) == ("failed", "LookupError", "no such book")
    assert "e2e_tasks.py" in failed["traceback"]


def test_a_deadline_that_passes_is_reported(device: RawDevice, journal: Journal) -> None:
    args = [journal.path, "late", 20]
    device.send({"type": "task", "id": "1", "name": "work", "args": args, "deadline": 200}, "n1")
    assert device.outcome("1")["type"] == "deadline-exceeded"


def test_one_large_payload_is_taken_and_answered_by_one(device: RawDevice) -> None:
    """A client that knows no chunks gets a result of up to 16 MiB whole, once it has not answered for a moment."""
    data = bytes(range(256)) * 2**14
    device.send({"type": "task", "id": "1", "name": "give_back", "args": [data]}, "n1", as_json=False)
    assert cbor2.loads(device.outcome("1")["body"]) == [[data], {}]


def test_a_result_that_is_too_large_for_one_payload_says_so_to_who_takes_no_chunks(device: RawDevice) -> None:
    device.send({"type": "task", "id": "1", "name": "zeros", "args": [limits.MESSAGE_SIZE]}, "n1", as_json=False)
    failed = device.outcome("1")
    assert (failed["type"], failed["error"]) == ("failed", "WireError")
    assert "takes no chunks" in failed["message"]
