"""CoAP's parts, each by itself: keys read from a file, contexts, link format, bounds on what is on its way."""

from __future__ import annotations

import asyncio
import socket
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import aiocoap
import pytest
from aiocoap.blockwise import ContinueException, IncompleteException
from aiocoap.error import RenderableError

from fogsdk.device.coap_oscore import device_context
from fogsdk.errors import ConfigError
from fogsdk.node import coap_blocks, coap_keys
from fogsdk.node.coap_blocks import Blocks
from fogsdk.node.coap_door import CoapDoor
from fogsdk.node.coap_keys import Keys
from fogsdk.node.coap_listing import links
from fogsdk.node.coap_server import MOST_RECENT, Messages, Server, Tokens
from fogsdk.node.config import NodeSettings
from tests.support.ports import free_port

KEY = "00112233445566778899aabbccddeeff"


# ---------------------------------------------------------------- keys


def keys(tmp_path: Path, text: str) -> Keys:
    (tmp_path / "keys").write_text(text)
    (tmp_path / "keys").chmod(0o600)
    return Keys(tmp_path / "keys")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "no line"),
        ("kitchen", "line 1: must be a device's name and its key"),
        ("\nkitchen a b", "line 2"),
        ("Kitchen " + KEY, "a-z"),
        ("kitchen secret", "hexadecimal"),
        ("kitchen 0011", "at least 32"),
        (f"kitchen {KEY}\nkitchen {KEY[::-1]}", "line 2: kitchen has a key already"),
    ],
)
def test_a_file_of_keys_that_cannot_be_right_is_told_with_its_line(tmp_path: Path, text: str, words: str) -> None:
    with pytest.raises(ConfigError, match=words) as caught:
        keys(tmp_path, text)
    assert "secret" not in str(caught.value)


def test_a_file_of_keys_that_others_can_read_is_refused(tmp_path: Path) -> None:
    (tmp_path / "keys").write_text(f"kitchen {KEY}")
    (tmp_path / "keys").chmod(0o640)
    with pytest.raises(ConfigError, match="can be read by others"):
        Keys(tmp_path / "keys")


def test_a_file_of_keys_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read"):
        Keys(tmp_path / "nothing")


def sealed(context: Any, number: int = 0) -> Any:
    """A request as it comes in, encrypted."""
    message = aiocoap.Message(code=aiocoap.GET, uri_path=("a", str(number)))
    protected, _ = context.protect(message)
    protected.mid, protected.mtype = number, aiocoap.CON
    return aiocoap.Message.decode(protected.encode(), SimpleNamespace())


def test_with_more_contexts_than_are_remembered_a_new_epoch_begins_and_nothing_old_is_good_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(coap_keys, "MOST_CONTEXTS", 4)
    node = keys(tmp_path, f"kitchen {KEY}")
    epoch = node.epoch
    contexts = [device_context("kitchen", bytes.fromhex(KEY), epoch) for _ in range(5)]
    recorded = [sealed(context) for context in contexts]
    for request in recorded:
        opened, _ = node.open(request)
        assert opened.opt.uri_path == ("a", "0")
    assert node.epoch != epoch
    for request in recorded:
        with pytest.raises(RenderableError):
            node.open(request)
    fresh = device_context("kitchen", bytes.fromhex(KEY), node.epoch)
    assert node.open(sealed(fresh, 7))[0].opt.uri_path == ("a", "7")


def test_no_two_contexts_of_a_device_have_a_key_in_common(tmp_path: Path) -> None:
    node = keys(tmp_path, f"kitchen {KEY}")
    made = [device_context("kitchen", bytes.fromhex(KEY), node.epoch) for _ in range(50)]
    assert len({context.sender_key for context in made}) == 50


# ---------------------------------------------------------------- link format


def test_names_and_words_of_all_kinds_keep_within_the_link_format() -> None:
    task = {"name": 'a/b,"c"ü', "signature": "(x: str = '\\n')", "summary": "line\nbreak; and, all"}
    text = links([task], ["rt=fog.task"])
    assert text.startswith("</fog/v1/tasks/a%2Fb%2C%22c%22%C3%BC>;")
    assert text.endswith("""title="a/b,\\"c\\"ü(x: str = '\\\\n'): line break; and, all\"""")


# ---------------------------------------------------------------- blocks


def block(number: int, more: bool, payload: bytes, sender: str = "a") -> Any:
    remote = SimpleNamespace(blockwise_key=sender)
    message = aiocoap.Message(code=aiocoap.POST, payload=payload, uri_path=("x",), block1=(number, more, 6))
    message.remote = remote
    return message


def run(story: Any) -> None:
    asyncio.run(story())


def test_a_body_is_put_together_from_its_blocks_in_order() -> None:
    async def story() -> None:
        blocks = Blocks()
        for number in range(3):
            with pytest.raises(ContinueException):
                blocks.take(block(number, True, bytes([number]) * 1024))
            with pytest.raises(ContinueException):
                blocks.take(block(number, True, b"x" * 1024, "b"))
        assert blocks.take(block(3, False, b"end")) == b"".join(bytes([n]) * 1024 for n in range(3)) + b"end"
        with pytest.raises(IncompleteException):
            blocks.take(block(4, False, b"more"))
        with pytest.raises(IncompleteException):
            blocks.take(block(5, True, b"x" * 1024, "b"))

    run(story)


def test_bodies_on_their_way_are_bounded_and_the_oldest_make_room(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(coap_blocks, "MOST_BODIES", 10)

    async def story() -> None:
        blocks = Blocks()
        for number in range(50):
            with pytest.raises(ContinueException):
                blocks.take(block(0, True, bytes(1024), str(number)))
        with pytest.raises(IncompleteException):
            blocks.take(block(1, False, b"", "0"))
        assert len(blocks.take(block(1, False, b"end", "49"))) == 1027
        assert len(blocks._coming.kept) <= 10
        assert blocks._coming.size == sum(len(body.data) for body in blocks._coming.kept.values())

    run(story)


def test_an_answer_is_cut_as_the_client_wants_it() -> None:
    async def story() -> None:
        blocks = Blocks()
        answer = aiocoap.Message(code=aiocoap.CONTENT, payload=bytes(range(256)) * 10, content_format=60)
        request = aiocoap.Message(code=aiocoap.POST, uri_path=("x",), block2=(0, False, 2))
        request.remote = SimpleNamespace(blockwise_key="a")
        got, piece, number = b"", blocks.cut(request, answer), 0
        while True:
            got += piece.payload
            assert piece.opt.block2.size_exponent == 2
            if not piece.opt.block2.more:
                break
            number += 1
            request.opt.block2 = (number, False, 2)
            piece = blocks.more(request)
            assert piece.opt.content_format == 60
        assert got == answer.payload

    run(story)


# ---------------------------------------------------------------- the server


def settings(**more: Any) -> NodeSettings:
    return NodeSettings(**{"coap_port": free_port(), "node": "c1", **more})


def test_a_port_that_is_taken_is_told() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
        other.bind(("127.0.0.1", 0))
        port = other.getsockname()[1]
        with pytest.raises(ConfigError, match="set coap_port"):
            asyncio.run(Server.listen(CoapDoor(settings()), "127.0.0.1", port))


def test_the_network_gets_in_with_keys_or_where_that_is_said(tmp_path: Path) -> None:
    (tmp_path / "keys").write_text(f"kitchen {KEY}")
    with pytest.raises(ConfigError, match="coap_keys"):
        settings(host="192.0.2.7", broker="none")
    settings(host="192.0.2.7", broker="none", coap_keys=tmp_path / "keys")
    settings(host="192.0.2.7", broker="none", insecure_lan=True)


def test_what_is_remembered_of_requests_is_bounded() -> None:
    async def story() -> None:
        server = Server(loggername="test")
        messages = Messages(Tokens(server))
        for number in range(2 * MOST_RECENT):
            message = aiocoap.Message(code=aiocoap.GET, _mid=number % 65536, _mtype=aiocoap.CON)
            message.remote = ("somebody", number)
            assert not messages._deduplicate_message(message)
            assert messages._deduplicate_message(message)
        assert len(messages._recent_messages) == len(messages._seen) == MOST_RECENT

    run(story)
