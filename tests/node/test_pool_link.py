"""The daemon's end of a worker's socket: what comes over it, polled for or not, and what ends it."""

from __future__ import annotations

import asyncio
import os
import socket
import time

import cbor2
import pytest

from fogsdk.node import shared_body, worker_frames
from fogsdk.node.pool_link import Link
from fogsdk.node.worker_frames import PIECES, Frame, Inbox
from tests.node.executor_contract import PATIENCE, on_a_loop


@pytest.mark.skipif(not hasattr(os, "memfd_create"), reason="only Linux gives out files of this size")
@on_a_loop
async def test_a_body_for_which_there_is_no_memory_ends_the_link() -> None:
    """The jobs of its worker are lost then, and run again: nobody waits for them until their deadline."""
    ours, theirs = socket.socketpair()
    ended = asyncio.Event()
    link = Link(ours, print, ended.set)
    size = 2**47  # more than a process has addresses for
    body = os.memfd_create("body", os.MFD_ALLOW_SEALING)
    os.ftruncate(body, size)
    header = cbor2.dumps([1, -size, 1, "done", 0.5])
    with theirs:
        theirs.sendmsg([b"\x00" + len(header).to_bytes(4, "big") + header], worker_frames.attached([body]))
        os.close(body)
        await asyncio.wait_for(ended.wait(), PATIENCE)
        link.send(["after that"])
        assert theirs.recv(1) == b"", "it is closed"


@on_a_loop
async def test_who_polls_gets_what_is_there_at_once_and_waits_no_longer_than_it_says() -> None:
    ours, theirs = socket.socketpair()
    heard: list[Frame] = []
    link = Link(ours, heard.extend, on_end=lambda: None)
    with theirs:
        began = time.perf_counter()
        assert not link.busy_poll(0.01)
        assert time.perf_counter() - began >= 0.01
        worker_frames.send(theirs, [1, "done", 0.5], [b"body"])
        assert link.busy_poll(PATIENCE)
        assert heard == [([1, "done", 0.5], (b"body",))]
        link.close()
        assert not link.busy_poll(PATIENCE)


@on_a_loop
async def test_what_may_leave_soon_leaves_at_the_end_of_a_turn_or_with_as_much_as_one_system_call_takes() -> None:
    ours, theirs = socket.socketpair()
    theirs.setblocking(False)
    link = Link(ours, print, on_end=lambda: None)
    inbox = Inbox(theirs)

    def came() -> int:
        try:
            return len(inbox.receive() or [])
        except BlockingIOError:
            return 0

    with theirs:
        link.send(["at once"])
        assert came() == 1
        for number in range(PIECES - 1):
            link.send([number], soon=True)
        assert came() == 0
        link.send(["the last one"], soon=True)
        assert came() == PIECES
        link.send(["alone"], soon=True)
        assert came() == 0
        await asyncio.sleep(0)
        assert came() == 1
        link.close()


@on_a_loop
async def test_frames_with_more_shared_bodies_than_one_system_call_takes_come_whole() -> None:
    ours, theirs = socket.socketpair()
    link, inbox = Link(ours, print, on_end=lambda: None), Inbox(theirs)
    came: list[Frame] = []
    with theirs:
        sent = [[shared_body.put([b"%d of %d" % (body, frame)]) for body in range(100)] for frame in range(3)]
        for frame, bodies in enumerate(sent):
            link.send([frame], bodies, soon=True)
        await asyncio.sleep(0)
        while len(came) < len(sent):
            came += inbox.receive() or []
        assert [fields for fields, _ in came] == [[0], [1], [2]]
        assert [list(map(bytes, bodies)) for _, bodies in came] == [list(map(bytes, bodies)) for bodies in sent]
        link.close()
