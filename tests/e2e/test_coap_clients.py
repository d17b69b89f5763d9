"""A stranger's CoAP client, the one of libcoap, has tasks run and gets every kind of outcome."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path
from typing import Any

import aiocoap
import cbor2
import pytest

from fogsdk.node.door_requests import MOST_BODY
from tests.e2e import coap
from tests.e2e.journal import Journal
from tests.e2e.site import Site, StartSite
from tests.support.waiting import eventually

CBOR = ("-A", "60")


@pytest.fixture(scope="module")
def url(site: Site) -> str:
    """A node of the module's site that serves CoAP."""
    return coap.serve(site, "c1")["c1"]


# ---------------------------------------------------------------- outcomes


def test_a_quick_task_is_answered_by_its_result_in_json(url: str) -> None:
    result = coap.post(url, "increment", 41).value
    assert (result["type"], result["value"], result["hops"][0]["node"]) == ("result", 42, "c1")


def test_it_is_answered_in_cbor_where_that_is_asked_for_or_was_sent(url: str, tmp_path: Path) -> None:
    answer = tmp_path / "answer"
    coap.post(url, "give_back", "grüß 🌍", flags=(*CBOR, "-o", str(answer)))
    assert cbor2.loads(cbor2.loads(answer.read_bytes())["body"]) == [["grüß 🌍"], {}]
    with coap.plain(url) as socket:
        body = cbor2.dumps({"args": [b"\0\xff"], "kwargs": {"a": 1}})
        response = socket.ask(coap.request(aiocoap.POST, "/fog/v1/tasks/give_back", body))
    assert response.code is aiocoap.CHANGED
    assert cbor2.loads(cbor2.loads(response.payload)["body"]) == [[b"\0\xff"], {"a": 1}]


@pytest.mark.parametrize(
    ("task", "args", "query", "code", "said"),
    [
        ("fail", ["no such book"], "", "5.00", {"type": "failed", "error": "LookupError", "message": "no such book"}),
        ("fly", [], "", "4.04", {"type": "refused", "reason": "unknown-task", "node": "c1"}),
        ("increment", [1, 2, 3], "?id=a-1", "4.00", {"type": "refused", "reason": "bad-arguments", "id": "a-1"}),
        ("increment", [], "?colour=red&id=a-2", "4.00", {"type": "refused", "reason": "malformed", "id": "a-2"}),
        ("increment", [1], "?priority=high", "4.00", {"type": "refused", "reason": "malformed"}),
        ("increment", [1], "?deadline=soon", "4.00", {"type": "refused", "reason": "malformed"}),
        ("increment", [1], "?sender=No%20Id", "4.00", {"type": "refused", "reason": "malformed"}),
        ("increment", [1, 30], "?deadline=300ms", "5.04", {"type": "deadline-exceeded"}),
    ],
)
def test_what_goes_wrong_has_a_code_of_its_own_and_words(
    url: str, task: str, args: list[Any], query: str, code: str, said: dict[str, Any]
) -> None:
    answer = coap.post(url, task, *args, query=query)
    assert answer.code == code
    assert answer.value | said == answer.value
    if said["type"] == "failed":
        assert "raise LookupError(message)" in answer.value["traceback"]


def test_a_body_that_is_none_and_formats_that_are_not_known_are_refused(url: str) -> None:
    tasks = f"{url}/fog/v1/tasks/increment"
    assert "not JSON" in coap.client(tasks, method="post", body='{"args": [1').value["message"]
    assert "args, kwargs" in coap.client(tasks, method="post", body='{"argument": 1}').value["message"]
    assert coap.client(tasks, "-t", "41", method="post", body="<a/>").code == "4.15"
    assert coap.client(tasks, "-A", "41", method="post", body="{}").code == "4.06"
    assert coap.client(tasks, "-O", "9999,x", method="post", body="{}").code == "4.02"
    assert coap.client(f"{url}/nothing").code == "4.04"
    assert coap.client(f"{url}/fog/v1/nodes", method="put", body="{}").code == "4.05"


def test_an_overloaded_node_says_when_to_come_back(start_site: StartSite, journal: Journal, tmp_path: Path) -> None:
    url = coap.serve(start_site(), "full", flags=("--queue-limit", "1"))["full"]
    coap.post(url, "hold", journal.path, "first", str(tmp_path / "gate"), query="?wait=0")
    with coap.plain(url) as socket:
        response = socket.ask(coap.request(aiocoap.POST, "/fog/v1/tasks/increment", b'{"args":[1]}'))
    assert response.code is aiocoap.SERVICE_UNAVAILABLE
    assert json.loads(response.payload)["reason"] == "overloaded"
    assert response.opt.max_age >= 1


# ---------------------------------------------------------------- long tasks


def created(url: str, *arguments: str) -> tuple[dict[str, Any], str]:
    """Post a task of which the answer is not waited for; returns what is said, and where its outcome will be."""
    command = [coap.PROGRAM, "-v", "6", "-m", "post", "-f", "-", f"{url}/fog/v1/tasks/work?wait=0"]
    body = json.dumps({"args": [*arguments[:2], float(arguments[2])]}).encode()
    done = subprocess.run(command, input=body, capture_output=True, timeout=20, check=True)
    [line] = [line for line in done.stdout.decode().splitlines() if "c:2.01" in line]
    return json.loads(line.partition(":: '")[2][:-1]), "/".join(re.findall(r"Location-Path:([^,\s]+)", line))


def test_a_long_task_has_a_location_that_is_observed_until_its_outcome(url: str, journal: Journal) -> None:
    accepted, location = created(url, journal.path, "long", "1.0")
    assert (accepted["type"], accepted["node"]) == ("accepted", "c1")
    watched = coap.client(f"{url}/{location}", "-w", "-s", "4").out
    said = [json.loads(line) for line in watched.splitlines() if line]
    fractions = [each["fraction"] for each in said if each["type"] == "progress"]
    assert len(fractions) >= 3
    assert fractions == sorted(fractions)
    assert any(each["type"] == "result" and each["value"] == "long" for each in said)
    assert coap.client(f"{url}/{location}").value["value"] == "long"  # and it can be fetched afterwards


def test_a_long_task_can_be_polled_and_cancelled(url: str, journal: Journal) -> None:
    _, location = created(url, journal.path, "endless", "30.0")
    eventually(lambda: journal.begun("endless"))
    assert coap.client(f"{url}/{location}").value["type"] in ("accepted", "progress")
    assert coap.client(f"{url}/{location}", method="delete").value["type"] == "cancelled"
    gone = coap.client(f"{url}/{location}")
    assert (gone.code, gone.value["type"]) == ("4.04", "cancelled")
    assert not journal.ended("endless")


def test_an_outcome_that_nobody_knows_of_is_refused(url: str) -> None:
    answer = coap.client(f"{url}/fog/v1/outcomes/nobody/nothing")
    assert (answer.code, answer.value["reason"]) == ("4.04", "unknown-id")
    assert coap.client(f"{url}/fog/v1/outcomes/No%20Id/nothing").code == "4.00"


# ---------------------------------------------------------------- once, and of any size


def test_a_request_with_an_id_runs_once_however_often_it_comes(url: str, journal: Journal) -> None:
    for _ in range(3):  # each from a port of its own
        answer = coap.post(url, "work", journal.path, "once", 0.1, query="?id=k-1&sender=kitchen").value
        assert (answer["id"], answer["value"]) == ("k-1", "once")
    assert len(journal.begun("once")) == 1


def test_a_datagram_that_comes_twice_runs_its_task_once(url: str, journal: Journal) -> None:
    body = json.dumps({"args": [journal.path, "doubled", 0.3]}).encode()
    datagram = coap.request(aiocoap.POST, "/fog/v1/tasks/work", body, mid=77)
    with coap.plain(url) as socket:
        socket.send(datagram)
        first = socket.ask(datagram)
        assert json.loads(first.payload)["value"] == "doubled"
        assert first.mtype is aiocoap.CON  # a separate response: it took longer than an acknowledgement may
        socket.send(datagram)
        assert socket.receive().mid in (77, first.mid)  # once more what was said before
    assert len(journal.begun("doubled")) == 1


def test_large_bodies_go_in_blocks_both_ways(url: str) -> None:
    text = "ö" * 300_000
    assert coap.post(url, "give_back", text).value["value"] == [[text], {}]


def test_a_body_over_the_limit_is_refused_with_its_first_block(url: str) -> None:
    with coap.plain(url) as socket:
        path, first = "/fog/v1/tasks/give_back", (0, True, 6)
        response = socket.ask(coap.request(aiocoap.POST, path, bytes(1024), block1=first, size1=MOST_BODY + 1))
    assert (response.code, response.opt.size1) == (aiocoap.REQUEST_ENTITY_TOO_LARGE, MOST_BODY)


def test_a_block_out_of_order_is_told_to_begin_again(url: str) -> None:
    with coap.plain(url) as socket:
        request = coap.request(aiocoap.POST, "/fog/v1/tasks/give_back", bytes(1024), block1=(5, True, 6))
        assert socket.ask(request).code is aiocoap.REQUEST_ENTITY_INCOMPLETE


# ---------------------------------------------------------------- what there is


def links(text: str) -> dict[str, dict[str, str]]:
    """Read the CoRE Link Format (RFC 6690): each target with its attributes."""
    found: dict[str, dict[str, str]] = {}
    link = re.compile(r'<([^>]*)>((?:;[^=;,]+(?:="(?:[^"\\]|\\.)*"|=[^";,]*)?)*)(?:,|$)')
    at = 0
    while at < len(text):
        match = link.match(text, at)
        assert match, f"not in the Link Format: {text[at : at + 80]!r}"
        attributes = re.findall(r';([^=;,]+)="((?:[^"\\]|\\.)*)"', match[2])
        found[match[1]] = {name: re.sub(r"\\(.)", r"\1", value) for name, value in attributes}
        at = match.end()
    return found


def test_well_known_core_lists_the_tasks(url: str) -> None:
    listed = links(coap.client(f"{url}/.well-known/core").out)
    task = listed["/fog/v1/tasks/increment"]
    assert task["rt"] == "fog.task"
    assert task["title"].startswith("increment(number: int, seconds: float = 0.0) -> int: Return the next number")
    assert {"/fog/v1/tasks", "/fog/v1/nodes"} <= listed.keys()
    assert links(coap.client(f"{url}/.well-known/core?rt=fog.nodes").out).keys() == {"/fog/v1/nodes"}
    assert len(links(coap.client(f"{url}/.well-known/core?href=/fog/v1/tasks/*").out)) == len(listed) - 2


def test_tasks_and_nodes_are_told_as_maps(url: str) -> None:
    tasks = coap.client(f"{url}/fog/v1/tasks").value["tasks"]
    [increment] = [task for task in tasks if task["name"] == "increment"]
    assert increment == coap.client(f"{url}/fog/v1/tasks/increment").value
    nodes = coap.client(f"{url}/fog/v1/nodes").value["nodes"]
    assert nodes[0]["node"] == "c1"
    assert f"{url}" in nodes[0]["addresses"]
    assert coap.client(f"{url}/fog/v1/tasks/fly").code == "4.04"
