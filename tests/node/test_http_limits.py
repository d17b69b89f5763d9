"""What one client may cost a node over HTTP: slow heads, slow bodies, too many of everything."""

from __future__ import annotations

import asyncio
import ssl
from pathlib import Path

import pytest

from fogsdk.core.events import Asked
from fogsdk.node import door_exchange, http_door, http_events, http_pace, http_requests
from fogsdk.node.http_files import read_page
from fogsdk.wire.messages import Ask
from tests.node.executor_contract import on_a_loop
from tests.node.http_bench import Bench, Wire, at_bench, request
from tests.support.authority import Authority

POST = "/fog/v1/tasks/increment"


@on_a_loop
async def test_a_head_that_does_not_come_ends_the_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http_door, "IDLE", 0.3)
    async with at_bench() as bench:
        silent, slow = await bench.connect(), await bench.connect()
        await slow.send(b"POST /fog/v1/tasks/increment HTTP/1.1\r\nHost: ")
        assert await asyncio.wait_for(silent.ended(), 5) == b""
        assert await asyncio.wait_for(slow.ended(), 5) == b""


@on_a_loop
async def test_a_body_that_does_not_come_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whether nothing comes any more, or it trickles in so slowly that it would never be over."""
    monkeypatch.setattr(http_pace, "PATIENCE", 0.3)
    async with at_bench() as bench:
        stuck, slow = await bench.connect(), await bench.connect()
        for wire in (stuck, slow):
            await wire.send(request("POST", POST, b'{"args":[1]}')[:-5])
        dripping = asyncio.ensure_future(_drip(slow))
        for wire in (stuck, slow):
            answer = await asyncio.wait_for(wire.answer(), 5)
            assert (answer.status, answer.said["reason"]) == (408, "too-slow")
            assert answer.headers["connection"] == "close"
        dripping.cancel()


async def _drip(wire: Wire) -> None:
    for _ in range(4):
        await asyncio.sleep(0.1)
        await wire.send(b" ")


@on_a_loop
async def test_with_expect_a_body_that_is_too_large_is_refused_before_it_is_sent() -> None:
    async with at_bench() as bench:
        wire = await bench.connect()
        await wire.send(request("POST", POST, Content_Length=str(10**9), Expect="100-continue"))
        answer = await asyncio.wait_for(wire.answer(), 5)
        assert (answer.status, answer.said["reason"]) == (413, "too-large")
        assert await asyncio.wait_for(wire.ended(), 5) == b"", "what would come now is no request"


@on_a_loop
async def test_with_expect_a_body_that_is_wanted_is_asked_for() -> None:
    async with at_bench() as bench:
        wire, body = await bench.connect(), b'{"args":[1]}'
        await wire.send(request("POST", POST, body, Expect="100-continue")[: -len(body)])
        assert (await asyncio.wait_for(wire.head(), 5)).status == 100
        await wire.send(body)
        answer = await wire.answer()
        assert (answer.status, answer.said["value"]) == (200, 2)


@on_a_loop
async def test_bodies_on_their_way_are_bounded_all_together(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http_requests, "_MOST_UPLOADING", 400_000)
    async with at_bench() as bench:
        first = await bench.connect()
        await first.send(request("POST", POST, Content_Length="150000", Expect="100-continue"))
        assert (await first.head()).status == 100
        second = await bench.ask("POST", POST, Content_Length="150000", Expect="100-continue")
        assert (second.status, second.said["reason"], second.headers["retry-after"]) == (503, "overloaded", "1")
        assert (await bench.ask("POST", POST, b'{"args":[1]}')).status == 200, "small ones still come through"


@on_a_loop
async def test_a_header_that_is_too_long_is_refused() -> None:
    async with at_bench() as bench:
        answer = await bench.ask("GET", "/fog/v1/tasks", X_Long="x" * 10_000)
        assert answer.status == 400
        answer = await bench.ask("GET", "/" + "x" * 10_000)
        assert answer.status == 400
        wire = await bench.connect()
        await wire.send(b"GET / HTTP/1.1\r\nHost: a\r\n" + b"X: y\r\n" * 100 + b"\r\n")
        assert (await wire.answer()).status == 400


@on_a_loop
async def test_connections_beyond_the_limit_are_turned_away(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http_door, "MOST_CONNECTIONS", 6)
    async with at_bench() as bench:
        held = [await bench.connect() for _ in range(3)]
        for wire in held:
            await wire.send(request("GET", "/fog/v1/tasks"))
            assert (await wire.answer()).status == 200
        turned_away = await bench.connect()
        answer = await asyncio.wait_for(turned_away.answer(), 5)
        assert (answer.status, answer.headers["retry-after"]) == (503, "1")
        held[0].close()
        assert await bench.eventually_answers("/fog/v1/tasks")


@on_a_loop
async def test_one_address_has_its_share_of_the_connections(monkeypatch: pytest.MonkeyPatch) -> None:
    """And those of many are no more than there are."""
    monkeypatch.setattr(http_door, "MOST_CONNECTIONS", 6)
    async with at_bench() as bench:
        there = [0] * 4
        for number in range(4):
            for _ in range(4):
                wire = await bench.connect(source=f"127.0.0.{number + 1}")
                await wire.send(request("GET", "/fog/v1/tasks"))
                there[number] += (await asyncio.wait_for(wire.answer(), 5)).status == 200
        assert there == [3, 1, 1, 0]


@on_a_loop
async def test_connections_without_a_handshake_count_and_end(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(http_door, "MOST_CONNECTIONS", 6)
    monkeypatch.setattr(http_door, "HANDSHAKE", 1.0)
    authority = Authority(tmp_path / "ca")
    cert, key = authority.issue("node")
    async with at_bench(http_cert=cert, http_key=key) as bench:
        silent = [await bench.connect() for _ in range(3)]
        turned_away = await bench.connect()
        assert (await asyncio.wait_for(turned_away.answer(), 5)).status == 503
        for wire in silent:
            assert await asyncio.wait_for(wire.ended(), 5) == b""
        context = ssl.create_default_context(cafile=str(authority.file))
        reader, writer = await asyncio.open_connection("127.0.0.1", bench.port, ssl=context)
        secured = Wire(reader, writer)
        await secured.send(request("GET", "/fog/v1/tasks"))
        assert (await asyncio.wait_for(secured.answer(), 5)).status == 200
        secured.close()


@on_a_loop
async def test_requests_that_wait_are_bounded_and_one_address_has_its_share_whatever_names_it_gives(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(door_exchange, "MOST_WATCHERS", 5)
    async with at_bench() as bench:
        for name in ("a", "b"):
            wire = await bench.connect()
            await wire.send(request("POST", f"/fog/v1/tasks/hang?sender={name}"))
        await _until_held(bench, 2)
        assert (await bench.ask("GET", f"{POST}/x?sender=c")).said["reason"] == "overloaded"
        for number in (2, 3):
            meek = await bench.connect(source=f"127.0.0.{number}")
            await meek.send(request("POST", "/fog/v1/tasks/hang"))
            await _until_held(bench, number + 1)
        for number in (1, 2, 3, 4):
            wire = await bench.connect(source=f"127.0.0.{number}")
            await wire.send(request("POST", POST, b'{"args":[1]}'))
            answer = await wire.answer()
            assert (answer.status, answer.said["reason"]) == (503, "overloaded")


@on_a_loop
async def test_one_address_may_wait_for_256_tasks_at_once() -> None:
    """As a gateway, or a program that has many tasks, does."""
    async with at_bench(queue_limit=600) as bench:
        for _ in range(256):
            wire = await bench.connect()
            await wire.send(request("POST", "/fog/v1/tasks/hang"))
        await _until_held(bench, 256)
        assert (await bench.ask("GET", "/fog/v1/tasks")).status == 200


@on_a_loop
async def test_one_token_has_its_share_of_the_requests_that_wait(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(door_exchange, "MOST_WATCHERS", 5)
    tokens = tmp_path / "tokens"
    tokens.write_text("greedy greedy-greedy-greedy\nmeek meek-meek-meek-meek\n")
    tokens.chmod(0o600)
    greedy, meek = ({"Authorization": f"Bearer {name}"} for name in ("greedy-greedy-greedy", "meek-meek-meek-meek"))
    async with at_bench(http_tokens=tokens) as bench:
        for _ in range(2):
            wire = await bench.connect()
            await wire.send(request("POST", "/fog/v1/tasks/hang", **greedy))
        await _until_held(bench, 2)
        assert (await bench.ask("GET", f"{POST}/a", **greedy)).said["reason"] == "overloaded"
        assert (await bench.ask("GET", f"{POST}/a", **meek)).said["reason"] == "unknown-id"


async def _until_held(bench: Bench, count: int) -> None:
    for _ in range(500):
        if len(bench.runtime.node.held) == count:
            return
        await asyncio.sleep(0.01)
    raise AssertionError(f"{len(bench.runtime.node.held)} tasks are held, not {count}")


@on_a_loop
async def test_a_stream_without_events_is_kept_alive(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http_events, "KEEP_ALIVE", 0.1)
    async with at_bench() as bench:
        wire = await bench.connect()
        await wire.send(request("POST", "/fog/v1/tasks/hang", Accept="text/event-stream"))
        assert (await wire.head()).status == 200
        await asyncio.wait_for(wire.reader.readuntil(b"event: accepted"), 5)
        for _ in range(2):
            await asyncio.wait_for(wire.reader.readuntil(b"\n:\n\n"), 5)


@on_a_loop
async def test_a_client_that_hangs_up_has_its_task_cancelled_a_little_later(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(door_exchange, "GRACE", 0.3)
    async with at_bench() as bench:
        wire = await bench.connect()
        await wire.send(request("POST", "/fog/v1/tasks/hang"))
        await _until_held(bench, 1)
        wire.close()
        await asyncio.sleep(0.1)
        assert len(bench.runtime.node.held) == 1, "it may come back"
        await _until_held(bench, 0)


@on_a_loop
async def test_a_client_that_comes_back_has_its_task_still(monkeypatch: pytest.MonkeyPatch) -> None:
    """By polling, and even if it hangs up again."""
    monkeypatch.setattr(door_exchange, "GRACE", 0.2)
    async with at_bench() as bench:
        wire = await bench.connect()
        await wire.send(request("POST", "/fog/v1/tasks/hang?id=h"))
        await _until_held(bench, 1)
        wire.close()
        assert (await bench.ask("GET", "/fog/v1/tasks/hang/h")).status == 202
        await asyncio.sleep(0.4)
        assert (await bench.ask("GET", "/fog/v1/tasks/hang/h")).status == 202


@on_a_loop
async def test_a_task_to_be_fetched_later_needs_nobody_who_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(door_exchange, "GRACE", 0.1)
    async with at_bench() as bench:
        wire = await bench.connect()
        await wire.send(request("POST", "/fog/v1/tasks/hang", Prefer="respond-async"))
        assert (await wire.answer()).status == 202
        wire.close()
        await asyncio.sleep(0.3)
        assert len(bench.runtime.node.held) == 1


@on_a_loop
async def test_a_word_that_went_another_way_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """A sender that spoke of its task over another link since had the outcome there; who waits here gets it too."""
    monkeypatch.setattr(door_exchange, "ASK_EVERY", 0.2)
    async with at_bench() as bench:
        wire = await bench.connect()
        await wire.send(request("POST", "/fog/v1/tasks/pause?id=s&sender=me", b'{"args":[0.3]}'))
        await _until_held(bench, 1)
        bench.runtime.tell(Asked("mqtt://elsewhere", "me", Ask("s")))
        assert (await asyncio.wait_for(wire.answer(), 5)).status == 200


@on_a_loop
async def test_a_task_that_its_sender_went_on_with_another_way_is_not_cancelled(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(door_exchange, "GRACE", 0.1)
    async with at_bench() as bench:
        wire = await bench.connect()
        await wire.send(request("POST", "/fog/v1/tasks/hang?id=h&sender=me"))
        await _until_held(bench, 1)
        wire.close()
        bench.runtime.tell(Asked("mqtt://elsewhere", "me", Ask("h")))
        await asyncio.sleep(0.3)
        assert len(bench.runtime.node.held) == 1


@on_a_loop
async def test_a_node_that_ends_tells_whoever_waits() -> None:
    async with at_bench() as bench:
        waiting, following = await bench.connect(), await bench.connect()
        await waiting.send(request("POST", "/fog/v1/tasks/hang"))
        await following.send(request("POST", "/fog/v1/tasks/hang", Accept="text/event-stream"))
        await _until_held(bench, 2)
        await bench.runtime.close_doors()
        answer = await waiting.answer()
        assert (answer.status, answer.said["reason"]) == (503, "leaving")
        assert b"event: refused" in await following.ended()


def test_files_are_read_from_a_folder_of_any_shape(tmp_path: Path) -> None:
    (tmp_path / "part").mkdir()
    (tmp_path / "index.html").write_text("<p>")
    (tmp_path / "part" / "a.js").write_text("1")
    files = read_page(tmp_path)
    assert sorted(files) == ["", "index.html", "part/a.js"]
    assert files[""] is files["index.html"]
    assert files["part/a.js"].type == "text/javascript; charset=utf-8"
