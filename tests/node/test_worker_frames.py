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
    ]
    stream = b"".join(piece for fields, bodies in frames for piece in pack(fields, bodies)[0])
    for step in (1, 7, 1000, 100_000):
        ours, theirs = socket.socketpair()
        with ours, theirs:
            inbox, seen = Inbox(ours), []
            for begin in range(0, len(stream), step):
                theirs.sendall(stream[begin : begin + step])
                seen += inbox.receive() or []
            assert seen == frames
            theirs.close()
            assert inbox.receive() is None


@pytest.mark.parametrize(
    "nonsense",
    [
        *[b"\x00\x00\x00\x00", b"\xff\xff\xff\xff", b"\x00\x00\x00\x02\xff\xff"],
        *[len(header).to_bytes(4, "big") + header for header in map(cbor2.dumps, (5, {}, [], [1], [-1], [1, "body"]))],
    ],
)
def test_bytes_that_are_no_frame_are_an_error(nonsense: bytes) -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        theirs.sendall(nonsense)
        with pytest.raises(ValueError, match="frame header"):
            Inbox(ours).receive()
