"""Frames between the daemon and its workers: whole however they are cut, and nonsense is an error."""

from __future__ import annotations

import socket
from typing import Any

import cbor2
import pytest

from fogsdk.node.worker_frames import Inbox, pack


def test_frames_arrive_whole_however_they_are_cut() -> None:
    frames: list[tuple[list[Any], tuple[bytes, ...]]] = [
        (["ready", 7], ()),
        (["done", 0.5], (b"",)),
        (["split", 1.5], (b"a" * 300, b"", b"bc")),
        (["split", 2.5], (b"d" * 9000, b"e" * 9000, b"f", b"g" * 17000, b"")),
        (["done", 0.5], (b"h",)),
        ([2**40, "run", "naïve", None, None], (b"i" * 300,)),
        ([2**40, "done", 0.125], (b"",)),
        ([8, "run", "j", None, 2**30], (b"k",)),
        ([9, "run", "l", (0.5, 0.5), None], (b"m",)),
        ([10, "run", "n", None, None], (b"o" * 17000,)),
        ([10, "done", 0.5], (b"p" * 17000,)),
        ([11, "split", 1.5], (b"q", b"r")),
    ]
    stream = b"".join(piece for fields, bodies in frames for piece in pack(fields, bodies)[0])
    for step in (1, 7, 1000, 100_000):
        ours, theirs = socket.socketpair()
        with ours, theirs:
            inbox, seen = Inbox(ours), []
            for begin in range(0, len(stream), step):
                theirs.sendall(stream[begin : begin + step])
                seen += inbox.receive() or []
            assert [(list(map(_as_sent, fields)), bodies) for fields, bodies in seen] == frames
            theirs.close()
            assert inbox.receive() is None


def test_a_body_that_is_too_large_for_a_short_frame_has_another() -> None:
    for size in (2**19, 2**19 + 1):
        [head, body], _ = pack([10, "done", 0.5], (bytes(size),))
        ours, theirs = socket.socketpair()
        with ours, theirs:
            theirs.sendall(bytes(head) + bytes(body)[:1000])
            inbox = Inbox(ours)
            assert inbox.receive() == [], "it is not whole yet"
            theirs.settimeout(0)
            sent, seen = 1000, list[Any]()
            while not seen:
                sent += theirs.send(bytes(body)[sent:])
                seen += inbox.receive() or []
            assert seen == [([10, "done", 0.5], (bytes(size),))]


def test_a_jobs_name_that_is_no_text_is_an_error() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        theirs.sendall(b"\x01\x00\x00\x00\x0c" + bytes(8) + b"\x00\x02\xff\xff")
        with pytest.raises(ValueError, match="utf-8"):
            Inbox(ours).receive()


def _as_sent(field: Any) -> Any:
    return tuple(field) if isinstance(field, list) else field


@pytest.mark.parametrize(
    "nonsense",
    [
        *[b"\x00\x00\x00\x00\x00", b"\x00\xff\xff\xff\xff", b"\x00\x00\x00\x00\x02\xff\xff"],
        *[
            b"\x00" + len(header).to_bytes(4, "big") + header
            for header in map(cbor2.dumps, (5, {}, [], [1], [-1], [1, "body"]))
        ],
        b"\x01\x00\x00\x00\x09" + bytes(9),  # a job without the length of its name
        b"\x01\x00\x00\x00\x0c" + bytes(8) + b"\x00\x03ab",  # and one with less of a name than that
        b"\x02\x00\x00\x00\x0f" + bytes(15),  # a result without its time
        b"\x03\x00\x00\x00\x20" + bytes(32),
    ],
)
def test_bytes_that_are_no_frame_are_an_error(nonsense: bytes) -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        theirs.sendall(nonsense)
        with pytest.raises(ValueError, match="frame header"):
            Inbox(ours).receive()
