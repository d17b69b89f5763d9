"""Whatever comes in on the CoAP port, the node answers what is well-formed, and makes no fuss about the rest."""

from __future__ import annotations

import json
import random
from pathlib import Path

import aiocoap
import cbor2
import psutil
import pytest

from tests.e2e import coap
from tests.e2e.site import Site

MOST_GROWTH = 48 * 2**20  # bytes: what is remembered of requests is bounded, but it is something


@pytest.fixture(params=["plain", "oscore"])
def node(request: pytest.FixtureRequest, site: Site, tmp_path: Path) -> tuple[Site, str]:
    """A site and the name of its node that serves CoAP, with keys or without."""
    name = f"c-{request.param}"
    (tmp_path / "keys").write_text(f"kitchen {'00' * 16}\n")
    (tmp_path / "keys").chmod(0o600)
    flags = ("--coap-keys", str(tmp_path / "keys"), "--insecure-lan") if request.param == "oscore" else ()
    return site, coap.serve(site, name, flags=flags)[name]


def valid(chance: random.Random, number: int) -> bytes:
    """A request that is well-formed, with what a node knows and what it does not in it."""
    paths = (
        "/.well-known/core", "/fog/v1/tasks", "/fog/v1/tasks/increment", "/fog/v1/nodes", "/fog/v1/oscore",
        "/fog/v1/outcomes/a/b", "/fog/v1/messages/a", "/fog/v1/messages/a/b", "/.well-known/edhoc", "/", "/ü/%",
    )  # fmt: skip
    payloads = (
        b"", b"{}", b'{"args":[1]}', b"[", b"\xff", cbor2.dumps({"args": [1]}), cbor2.dumps([{"type": "task"}]),
        json.dumps({"args": [[[]]] * 9}).encode(), bytes(1024), cbor2.dumps({"type": "ask", "id": "a"}),
    )  # fmt: skip
    options = {
        "uri_query": tuple(chance.choices(["id=a", "id=A", "sender=a", "wait=0", "x", "=", "deadline=1h"], k=2)),
        "accept": chance.choice([None, 40, 50, 60, 9999]),
        "content_format": chance.choice([None, 0, 50, 60, 11542]),
        "observe": chance.choice([None, None, 0, 1, 2**24 - 1]),
        "block1": chance.choice([None, None, (0, True, 6), (0, False, 2), (2**20 - 1, True, 6), (3, False, 0)]),
        "block2": chance.choice([None, None, (0, False, 6), (0, False, 0), (1, False, 6), (2**20 - 1, False, 6)]),
        "oscore": chance.choice([None, None, None, b"", b"\x09\x01", bytes(12)]),
        "proxy_uri": chance.choice([None, None, None, "coap://else.where/"]),
    }
    code = chance.choice([aiocoap.GET, aiocoap.POST, aiocoap.PUT, aiocoap.DELETE, aiocoap.FETCH])
    return coap.request(
        code, chance.choice(paths), chance.choice(payloads), number % 65536, bytes([number % 256]), **options
    )


def spoilt(chance: random.Random, datagram: bytes) -> bytes:
    """A datagram with some bits wrong, or cut short, or all noise."""
    if chance.random() < 0.2:
        return chance.randbytes(chance.randrange(64))
    data = bytearray(datagram[: chance.randrange(1, len(datagram) + 1)])
    for _ in range(chance.randrange(1, 6)):
        data[chance.randrange(len(data))] = chance.randrange(256)
    return bytes(data)


def test_noise_neither_ends_a_node_nor_fills_its_log_nor_its_memory(node: tuple[Site, str]) -> None:
    site, url = node
    seed = random.randrange(2**32)
    print("seed", seed)
    chance = random.Random(seed)
    [name] = [name for name in site.nodes if name in ("c-plain", "c-oscore")][-1:]
    process = psutil.Process(site.nodes[name].pid)
    before = process.memory_info().rss
    for number in range(1500):
        if number % 500 == 0:
            answered(url)
        with coap.plain(url) as socket:
            socket.send(spoilt(chance, valid(chance, number)))
            socket.send(valid(chance, number + 1))
    answered(url)
    output = site.nodes[name].output
    assert "Traceback" not in output
    assert "ERROR" not in output
    assert output.count("\n") < 400
    assert process.memory_info().rss - before < MOST_GROWTH


def answered(url: str) -> None:
    """The node answers a task, and anything that is well-formed."""
    chance = random.Random(1)
    assert coap.post(url, "increment", 1).value["value"] == 2
    with coap.plain(url) as socket:
        for number in range(20):
            assert socket.ask(valid(chance, 3000 + number)).code.is_response()
