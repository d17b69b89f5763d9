"""Slow readers over HTTP: they are let go, and results on their way to them take up so much memory and no more."""

from __future__ import annotations

import asyncio
import json
import socket
from pathlib import Path

import pytest

from fogsdk.node import http_answers, http_pace, http_site, http_writing
from tests.node.executor_contract import on_a_loop
from tests.node.http_bench import Bench, Wire, at_bench, request

POST = "/fog/v1/tasks/increment"
LARGE = 20_000_000
MADE = "/fog/v1/tasks/mark/m"


@on_a_loop
async def test_who_does_not_read_the_answer_is_let_go(monkeypatch: pytest.MonkeyPatch) -> None:
    """Soon, however long the answer is."""
    monkeypatch.setattr(http_pace, "PATIENCE", 0.3)
    monkeypatch.setattr(http_pace, "SLOWEST", 10 * http_writing.PIECE)
    async with at_bench() as bench:
        wire = await _deaf(bench)
        body = json.dumps({"args": ["x" * 15_000_000]}).encode()
        await wire.send(request("POST", "/fog/v1/tasks/give_back", body))
        await _until_let_go(bench)


async def _deaf(bench: Bench) -> Wire:
    """A connection with little room on its way, that nobody reads from."""
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    sock.setblocking(False)
    await asyncio.get_running_loop().sock_connect(sock, ("127.0.0.1", bench.port))
    wire = await bench.connect(sock)
    wire.writer.transport.pause_reading()  # type: ignore[attr-defined]
    return wire


async def _until_let_go(bench: Bench) -> None:
    """Wait until the door has a connection, and then until it has none."""
    for there in (True, False):
        for _ in range(1000):
            if bool(bench.connections) is there:
                break
            await asyncio.sleep(0.01)
        else:
            raise AssertionError(f"{len(bench.connections)} connections")


@on_a_loop
async def test_large_results_on_their_way_out_are_bounded_all_together(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whether they go in one piece or as an event; and who reads nothing has little of them in its connection."""
    monkeypatch.setattr(http_writing, "MOST_DOWNLOADING", 3 * LARGE)
    async with at_bench() as bench:
        look = await _made(bench, tmp_path)
        deaf = await _deaf(bench)
        await deaf.send(look)
        assert await _buffered(bench) < 500_000
        for kind in ("application/cbor", "application/json"):
            refused = await bench.ask("GET", MADE, Accept=kind)
            assert (refused.status, refused.headers["retry-after"]) == (503, "1")
        assert (refused.said["reason"], refused.said["id"]) == ("overloaded", "m")
        following = await bench.connect()
        await following.send(request("GET", MADE, Accept="text/event-stream"))
        assert (await following.head()).status == 200
        assert b"event: refused" in await asyncio.wait_for(following.reader.readuntil(b"data"), 5)
        assert (await bench.ask("POST", POST, b'{"args":[1]}')).status == 200, "small ones still come through"
        deaf.writer.transport.abort()
        assert await bench.eventually_answers(MADE, Accept="application/cbor"), "there is room again"


async def _made(bench: Bench, folder: Path) -> bytes:
    """Have a large result made; returns the request for it."""
    body = json.dumps({"args": [str(folder / "marks"), LARGE]}).encode()
    await bench.ask("POST", "/fog/v1/tasks/mark?id=m", body, Prefer="respond-async, wait=20")
    return request("GET", MADE, Accept="application/cbor")


async def _buffered(bench: Bench) -> int:
    """Wait until the door cannot write on; the bytes that it holds for its one connection."""
    for _ in range(500):
        for each in bench.connections:
            held = each.transport.get_write_buffer_size() if each.transport is not None else 0
            if held:
                return held
        await asyncio.sleep(0.01)
    raise AssertionError("everything was taken")


@on_a_loop
async def test_a_result_that_is_too_long_for_json_is_not_even_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(http_answers, "_readable")
    async with at_bench() as bench:
        await _made(bench, tmp_path)
        answer = await bench.ask("GET", MADE)
        assert (answer.status, answer.said["reason"]) == (500, "failed")
        assert "the limit is 16777216" in answer.said["message"]


@on_a_loop
async def test_who_does_not_read_events_is_let_go_and_takes_up_no_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http_pace, "PATIENCE", 0.3)
    monkeypatch.setattr(http_pace, "SLOWEST", 10**9)
    monkeypatch.setattr(http_site, "EVERY", 0.001)
    monkeypatch.setattr(http_site.SiteRoutes, "_look", lambda _self: b'"%s"' % (b"x" * 50_000))
    async with at_bench() as bench:
        wire = await _deaf(bench)
        await wire.send(request("GET", "/fog/v1/nodes", Accept="text/event-stream"))
        await _until_let_go(bench)
