"""What comes from outside may be anything: it is refused clearly, logged sparingly, and the node works on."""

from __future__ import annotations

import json
import os
import random
from collections.abc import Iterator

import cbor2
import pytest

from fogsdk import Fog, TaskRefused
from fogsdk.wire import limits
from tests.e2e.journal import Journal
from tests.e2e.rawdevice import RawDevice
from tests.e2e.site import Site, StartSite
from tests.support.waiting import eventually

HUGE_NUMBER = 10**5000  # Python refuses to write it in decimal
DEEP = 100_000

_TASK = {"type": "task", "id": "1", "name": "increment", "args": [1]}

UNREADABLE: dict[str, bytes] = {
    "nothing": b"",
    "zeros": bytes(100),
    "text": b"hello",
    "half a CBOR map": b"\xbf\x64type",
    "half a JSON map": b'{"type":"task"',
    "JSON that is not UTF-8": b'{"type":"\xff"}',
    "JSON that is not a number": b'{"id":NaN}',
    "a JSON number of 100,000 digits": b'{"id":' + b"9" * 100_000 + b"}",
    "deep CBOR arrays": b"\x81" * DEEP + b"\x00",
    "deep CBOR maps": b"\xa1\x00" * DEEP + b"\x00",
    "deep CBOR tags": b"\xc1" * DEEP + b"\x00",
    "deep JSON arrays": b"[" * DEEP + b"]" * DEEP,
    "deep JSON maps": b'{"a":' * DEEP + b"1" + b"}" * DEEP,
    "a CBOR array of 2^62 entries": b"\x9b\x40" + bytes(7),
    "a CBOR byte string of 2^62 bytes": b"\x5b\x40" + bytes(7),
    "a CBOR value that contains itself": cbor2.dumps(cbor2.CBORTag(28, [cbor2.CBORTag(29, 0)])),
    "a number": cbor2.dumps(7),
    "more than a message may have": b"{" + bytes(limits.MESSAGE_SIZE),
    "a batch that is too long": cbor2.dumps([_TASK] * (limits.BATCH_LENGTH + 1)),
}

UNFIT: dict[str, dict[str, object]] = {
    "no type": {},
    "an unknown type": {"type": "gift"},
    "a type that is no text": {"type": [1]},
    "no id": {"type": "task", "name": "increment"},
    "an id with a slash": {**_TASK, "id": "a/b"},
    "an id that is too long": {**_TASK, "id": "x" * 65},
    "an id that is a huge number": {**_TASK, "id": HUGE_NUMBER},
    "a name that is a map": {**_TASK, "name": {"a": 1}},
    "arguments that are a number": {**_TASK, "args": 1},
    "arguments with a huge number": {**_TASK, "args": [HUGE_NUMBER], "priority": HUGE_NUMBER},
    "a body that is text": {**_TASK, "body": "[]"},
    "a deadline before now": {**_TASK, "deadline": -1},
    "a deadline that is a huge number": {**_TASK, "deadline": HUGE_NUMBER},
    "a priority that is not finite": {**_TASK, "priority": float("inf")},
    "a weight that does not exist": {**_TASK, "weight": "none"},
    "via of numbers": {**_TASK, "via": [1]},
    "via that is too long": {**_TASK, "via": ["n2"] * (limits.HOPS + 1)},
}


@pytest.fixture
def device(site: Site) -> Iterator[RawDevice]:
    with RawDevice(site.broker.port, f"device-{random.randrange(10**9)}") as device:
        yield device


@pytest.mark.parametrize("payload", UNREADABLE.values(), ids=UNREADABLE)
def test_what_cannot_be_read_is_refused_and_its_sender_told(device: RawDevice, payload: bytes) -> None:
    device.send_bytes(payload, "n1")
    refused = device.reply()
    assert (refused["type"], refused["id"], refused["node"]) == ("refused", "", "n1")
    assert refused["reason"] in ("malformed", "too-large")
    assert refused["message"]
    device.send({"type": "task", "id": "2", "name": "increment", "args": [1]}, "n1")
    assert device.outcome("2")["value"] == 2


@pytest.mark.parametrize("message", UNFIT.values(), ids=UNFIT)
def test_what_does_not_fit_is_refused_naming_the_field(device: RawDevice, message: dict[str, object]) -> None:
    device.send(message, "n1", as_json=False)
    refused = device.reply()
    assert (refused["type"], refused["reason"]) == ("refused", "malformed")
    assert refused["message"].split(":")[0].split("[")[0] in (message.keys() | {"id", "type"})
    device.send({"type": "task", "id": "2", "name": "increment", "args": [1]}, "n1")
    assert device.outcome("2")["value"] == 2


@pytest.mark.parametrize(
    "body",
    [os.urandom(100), b"", b"\x81" * 200, cbor2.dumps([1]), cbor2.dumps([[], {1: 2}]), cbor2.dumps("text")],
    ids=["noise", "nothing", "deep", "one number", "a keyword that is a number", "text"],
)
def test_a_body_that_is_no_arguments_is_refused(device: RawDevice, body: bytes) -> None:
    device.send({**_TASK, "body": body}, "n1", as_json=False)
    refused = device.outcome("1")
    assert (refused["type"], refused["reason"]) == ("refused", "bad-arguments")
    assert "arguments" in refused["message"]


def test_garbage_on_every_topic_harms_neither_node_nor_device(site: Site, fog: Fog) -> None:
    """The log gets a line of each kind in ten seconds, however much of it comes."""
    topics = (
        *("node/n1/task/rogue", "task/rogue", "node/n1/birth", "node/n1/beat", "node/n2/birth"),
        *("node/n2/beat", "reply/n1", f"reply/{fog.name}", "node/N1/birth", "task/ROGUE!", "node/n1/task/ü"),
    )
    fits = [cbor2.dumps(message) for message in UNFIT.values()]
    chance = random.Random(1)
    noise = [chance.randbytes(chance.randrange(1, 200)) for _ in range(20)]
    payloads = [payload for payload in (*UNREADABLE.values(), *fits, *noise) if len(payload) < 10**6]
    with site.client("rogue") as rogue:
        for topic in topics:
            for payload in payloads:
                rogue.publish(f"fog/v1/home/{topic}", payload, qos=0)
        rogue.publish("fog/v1/home/task/rogue", b"the last one")
    assert [fog.run("increment", number) for number in range(20)] == list(range(1, 21))
    log = site.nodes["n1"].output
    assert log.count("malformed: ") in (1, 2)
    assert log.count("too-large: ") <= 2
    assert "Traceback" not in log


# ---------------------------------------------------------------- nodes that are not what they say

_OFFER = [{"name": name, "weight": "middle", "split": True} for name in ("increment", "add_up")]
_BIRTH = {"type": "birth", "incarnation": 1, "role": "fog", "capacity": 2, "tasks": _OFFER}
_BEAT = {"type": "beat", "incarnation": 1, "seq": 1, "ttl": 2**40}

LIES: dict[str, list[tuple[str, dict[str, object], bool]]] = {
    "a node of endless capacity": [("node/n2/birth", {**_BIRTH, "capacity": 2**53}, True)],
    "a node without capacity": [("node/n2/birth", {**_BIRTH, "capacity": 0}, True)],
    "a node that waits for ages": [
        ("node/n2/birth", _BIRTH, True),
        ("node/n2/beat", {**_BEAT, "wait": 2**40, "running": 2**53, "queued": 2**53, "seq": 2**53}, False),
    ],
    "a node that beats at no time": [
        ("node/n2/birth", _BIRTH, True),
        ("node/n2/beat", {**_BEAT, "ttl": 0}, False),
    ],
    "a task whose name is no text in UTF-8": [
        ("node/n2/birth", {**_BIRTH, "tasks": [{"name": "\ud800"}], "addresses": ["\ud800"]}, True)
    ],
    "a cloud that is none": [("node/n2/birth", {**_BIRTH, "role": "cloud"}, True)],
    "another life of n1": [("node/n1/birth", {**_BIRTH, "incarnation": 2**52}, True)],
    "the last life of n1": [("node/n1/birth", {**_BIRTH, "incarnation": 2**53}, True)],
    "the end of n1": [("node/n1/birth", {"type": "gone", "incarnation": 2**53}, True)],
    "a beat of n1 that ends all beats": [("node/n1/beat", {**_BEAT, "incarnation": 2**53}, False)],
}


@pytest.mark.parametrize("lies", LIES.values(), ids=LIES)
def test_a_false_node_makes_no_true_one_useless(
    start_site: StartSite, journal: Journal, lies: list[tuple[str, dict[str, object], bool]]
) -> None:
    """What somebody else announces may draw tasks for a while; then they come back, and n1 stays reachable."""
    site = start_site("n1")
    with site.connect() as fog, site.client("liar") as liar:
        for topic, message, retained in lies:
            liar.publish(f"fog/v1/home/{topic}", json.dumps(message).encode(), retain=retained)
        _works(fog, journal)
    with site.connect() as fog:
        _works(fog, journal)
        eventually(lambda: "n1" in fog.nodes(), what="n1")
    assert "Traceback" not in site.nodes["n1"].output


def _works(fog: Fog, journal: Journal) -> None:
    assert fog.submit("increment", 1).result(10) == 2
    assert fog.submit("add_up", journal.path, list(range(100)), 0.05).result(10) == 4950
    with pytest.raises(TaskRefused, match="unknown-task"):
        fog.submit("decrement", 1).result(10)


def test_a_client_may_log_in_with_the_name_of_a_node_and_the_node_comes_back(start_site: StartSite) -> None:
    """The broker ends the older of two connections with one client id."""
    site = start_site("n1")
    with site.client("n1"):
        eventually(lambda: "lost" in site.nodes["n1"].output, what="the lost connection")
    with site.connect() as fog:
        assert fog.submit("increment", 1).result(10) == 2
