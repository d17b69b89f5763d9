"""Large bodies go to workers and back in shared memory: not copied, and gone with the processes that hold it."""

from __future__ import annotations

import contextlib
import fcntl
import gc
import os
import resource
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from fogsdk.node import shared_body, worker_frames
from fogsdk.node.shared_body import SharedBuffer, descriptor_of, put, take
from fogsdk.node.worker_frames import Inbox

SIZE = shared_body.SHARED
BIG = bytes(range(256)) * (SIZE // 256)


@pytest.fixture(autouse=True)
def no_descriptor_is_left() -> Iterator[None]:
    gc.collect()
    before = open_files()
    yield
    gc.collect()
    assert open_files() == before


def open_files() -> int:
    return len(list(Path("/dev/fd").iterdir()))


def test_pieces_are_put_together() -> None:
    body = put([b"ab", memoryview(BIG), b"c"])
    assert body == b"ab" + BIG + b"c"
    assert descriptor_of(body) is not None


def test_a_buffer_is_filled_in_any_order() -> None:
    buffer = SharedBuffer(len(BIG))
    buffer.write(SIZE // 2, BIG[SIZE // 2 :])
    buffer.write(0, memoryview(BIG)[: SIZE // 2])
    assert buffer.view() == BIG
    assert len(buffer) == len(BIG)


def test_a_part_of_shared_memory_has_no_descriptor_of_its_own() -> None:
    assert descriptor_of(put([BIG])[1:]) is None
    assert descriptor_of(memoryview(BIG)) is None
    assert descriptor_of(BIG) is None


def test_frames_carry_it_beside_other_bodies() -> None:
    ours, theirs = socket.socketpair()
    inbox = Inbox(theirs, private=True)
    with ours, theirs:
        for number in range(3):
            worker_frames.send(ours, ["x", number], [b"small", put([BIG, b"%d" % number]), b""])
            frames = inbox.receive()
            assert frames
            [(fields, (small, large, empty))] = frames
            assert fields == ["x", number]
            assert (small, large, empty) == (b"small", BIG + b"%d" % number, b"")
            assert isinstance(large, memoryview)
            large[0] = 1  # a task may write into its arguments


def test_who_writes_into_a_private_body_changes_no_other() -> None:
    body = put([BIG])
    number = descriptor_of(body)
    assert number is not None
    mine = take(os.dup(number), SIZE, private=True)
    mine[0] = 77
    assert body == BIG


def test_a_body_that_is_smaller_than_was_said_is_refused() -> None:
    """Who reads beyond the end of it would be killed (SIGBUS)."""
    number = descriptor_of(body := put([BIG]))
    assert number is not None
    with pytest.raises(ValueError, match="has fewer"):
        take(os.dup(number), len(body) + 1, private=False)


@pytest.mark.skipif(not hasattr(os, "memfd_create"), reason="only Linux has seals")
def test_what_was_taken_cannot_be_cut_short_any_more() -> None:
    number = descriptor_of(put_ := put([BIG]))
    assert number is not None
    view = take(os.dup(number), SIZE, private=False)
    with pytest.raises(PermissionError):
        os.ftruncate(number, 0)
    assert view == put_


@pytest.mark.skipif(not hasattr(os, "memfd_create"), reason="only Linux has seals")
def test_a_file_that_might_be_cut_short_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "body"
    path.write_bytes(BIG)
    with pytest.raises(ValueError, match="may lose some"):
        take(os.open(path, os.O_RDWR), SIZE, private=False)


@contextlib.contextmanager
def few_files() -> Iterator[None]:
    """So few that half of them are open."""
    ours, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    with Path(os.devnull).open() as latest:
        resource.setrlimit(resource.RLIMIT_NOFILE, (2 * latest.fileno(), most))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (ours, most))


def test_where_descriptors_get_scarce_bodies_are_copied_and_take_none() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs, few_files():
        before = open_files()
        buffer = SharedBuffer(SIZE)
        buffer.write(100, memoryview(BIG)[100:])
        buffer.write(0, BIG[:100])
        inbox = Inbox(theirs)
        worker_frames.send(ours, [], [put([BIG])])  # as by a worker, which has few open
        [(_, (came,))] = inbox.receive() or []
        assert buffer.view() == came == BIG
        assert isinstance(came, memoryview)
        assert (buffer.view().readonly, came.readonly) == (True, True)
        assert [descriptor_of(body) for body in (buffer.view(), came)] == [None, None]
        assert open_files() == before


def test_a_body_that_comes_when_no_file_can_be_opened_breaks_its_connection() -> None:
    """Who goes on reading takes another body for it."""
    ours, theirs = socket.socketpair()
    with ours, theirs, Path(os.devnull).open() as latest:
        worker_frames.send(ours, [], [put([BIG])])
        limits = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (latest.fileno(), limits[1]))
        try:
            with pytest.raises(ValueError, match="too many files are open"):
                Inbox(theirs).receive()
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, limits)


def test_what_cannot_be_written_leaves_no_descriptor_open() -> None:
    with pytest.raises(TypeError):
        put([BIG, range(SIZE)])  # type: ignore[list-item]


def test_descriptors_are_not_inherited() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        worker_frames.send(ours, [], [put([BIG])])
        frames = Inbox(theirs).receive()
        assert frames
        number = descriptor_of(frames[0][1][0])
        assert number is not None
        assert fcntl.fcntl(number, fcntl.F_GETFD) & fcntl.FD_CLOEXEC


def test_an_inbox_that_is_closed_keeps_no_descriptor() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        number = descriptor_of(body := put([BIG]))
        assert number is not None
        ours.sendmsg([b"\0"], worker_frames.attached([number]))  # its frame never comes
        inbox = Inbox(theirs)
        inbox.receive()
        inbox.close()
        assert body == BIG


def test_a_frame_whose_descriptor_did_not_come_is_no_frame() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        for piece in worker_frames.pack([], [put([BIG])])[0]:
            ours.sendall(piece)
        with pytest.raises(ValueError, match="without its descriptor"):
            Inbox(theirs).receive()
