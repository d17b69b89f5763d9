"""Frames: how the daemon and its worker processes speak over a socket pair.

    frame  = kind size header large*
    kind   = 0, in 8 bits
    size   = bytes in the header, 32 bits, big-endian
    header = CBOR: [bodies, body, ..., field, ...]: flat, which is quicker to write
    body   = the bytes of a small one; of another, how many it has

Two kinds that go to and fro all the time, with one body that is not large, are quicker to write and to read:

    job    = 1 size number length name body    the fields are [number, "run", name, None, None]
    result = 2 size number milliseconds body   the fields are [number, "done", milliseconds]

Task arguments and results travel as raw bytes: nobody on the way decodes or escapes them. A large one that is in
shared memory travels as the descriptor of that, attached to these bytes or to earlier ones; in the header its size is
negative.
"""

from __future__ import annotations

import array
import os
import socket
import struct
from collections import deque
from collections.abc import Sequence
from typing import Any

import cbor2

from fogsdk.node import shared_body
from fogsdk.wire.messages import Body

Frame = tuple[list[Any], tuple[Body, ...]]
"""The fields of a header, and the bodies."""

_Head = tuple[list[Any], list[Any], int | None]
"""The fields; the bodies, or their sizes; and how many bytes of them are to follow, None where they are all here."""

_WHOLE, _JOB, _RESULT = range(3)
_KIND_AND_SIZE, _JOB_HEAD, _RESULT_HEAD = struct.Struct("!BI"), struct.Struct("!BIQH"), struct.Struct("!BIQd")
# By names of their own: to look them up in the structures would take as long as what they do.
_unpack_begin, _BEGIN_SIZE = _KIND_AND_SIZE.unpack_from, _KIND_AND_SIZE.size
_unpack_job, _JOB_SIZE = _JOB_HEAD.unpack_from, _JOB_HEAD.size
_unpack_result, _RESULT_SIZE = _RESULT_HEAD.unpack_from, _RESULT_HEAD.size
_JOB_FIELDS, _RESULT_FIELDS = _JOB_SIZE - _BEGIN_SIZE, _RESULT_SIZE - _BEGIN_SIZE
_HEADER_LIMIT = 1024 * 1024
_SMALL = 16 * 1024  # bytes of bodies: copying them costs less than another system call and another wakeup over there
PIECES = 16  # of frames, to give to one system call
_CHUNK = 256 * 1024  # bytes to read at once: all that a socket pair holds by default
_MUCH = 64 * 1024  # bytes of a result: with those of other calls in one answer it would be copied, and many be too many
MOST_DESCRIPTORS = 128  # to give to one system call; Linux takes 253
_ANCILLARY = socket.CMSG_SPACE(4 * 253)
_FLAGS = int(getattr(socket, "MSG_CMSG_CLOEXEC", 0))
_TRUNCATED = int(socket.MSG_CTRUNC)  # as an enumeration's it takes more time than all else of a reading


def pack(
    fields: Sequence[Any], bodies: Sequence[Body] = (), most: int = MOST_DESCRIPTORS
) -> tuple[list[Body], Sequence[int | None]]:
    """Return one frame as the pieces to send, in order: one for a small frame, no copies for a large one. With the
    first of them, or before, go the :func:`descriptors` of its bodies, which are returned too."""
    if len(bodies) == 1 and type(bodies[0]) is bytes and len(bodies[0]) <= _HEADER_LIMIT // 2:
        head = _short_head(fields, len(bodies[0]))
        if head:
            return ([head + bodies[0]] if len(bodies[0]) <= _SMALL else [head, bodies[0]]), ()
    shared = descriptors(bodies, most)
    if not shared and sum(map(len, bodies)) <= _SMALL:
        return [_sized([len(bodies), *bodies, *fields])], shared
    header: list[Any] = [len(bodies)]
    large: list[Body] = []
    room = _SMALL
    for index, body in enumerate(bodies):
        size = len(body)
        if shared and shared[index] is not None:
            header.append(-size)
        elif size <= room:
            room -= size
            header.append(bytes(body))
        else:
            header.append(size)
            large.append(body)
    return [_sized([*header, *fields]), *large], shared


def _short_head(fields: Sequence[Any], size: int) -> bytes:
    """What a job or a result, with a body of this ``size``, begins with; nothing for all else."""
    match fields:
        case [number, "done", ran]:
            return _RESULT_HEAD.pack(_RESULT, _RESULT_FIELDS + size, number, ran)
        case [number, "run", name, None, None]:
            called: bytes = name.encode()
            return _JOB_HEAD.pack(_JOB, _JOB_FIELDS + len(called) + size, number, len(called)) + called
    return b""


def _sized(header: list[Any]) -> bytes:
    data = cbor2.dumps(header)
    return _KIND_AND_SIZE.pack(_WHOLE, len(data)) + data


def descriptors(bodies: Sequence[Body], most: int = MOST_DESCRIPTORS) -> list[int | None]:
    """For each body its descriptor, None where it travels in the frame, as all after the ``most`` first do; nothing at
    all where none has one."""
    for body in bodies:
        if type(body) is memoryview:
            break
    else:
        return []
    shared = [shared_body.descriptor_of(body) for body in bodies]
    return [each if index < most else None for index, each in enumerate(shared)]


def attached(shared: Sequence[int | None]) -> list[tuple[int, int, bytes]]:
    """The ancillary data that carries descriptors."""
    numbers = array.array("i", [each for each in shared if each is not None])
    return [(socket.SOL_SOCKET, socket.SCM_RIGHTS, numbers.tobytes())] if numbers else []


def send(connection: socket.socket, fields: Sequence[Any], bodies: Sequence[Body] = ()) -> None:
    """Send a frame over a socket that blocks."""
    pieces, shared = pack(fields, bodies)
    if len(pieces) == 1 and not shared:
        sent = connection.send(pieces[0])
    else:
        sent = connection.sendmsg(pieces[:PIECES], attached(shared))
    for piece in pieces:
        if sent < len(piece):
            connection.sendall(memoryview(piece)[sent:])
        sent = max(0, sent - len(piece))


def is_much(results: Sequence[Body]) -> bool:
    """Whether what a call of a bundle gave is too much to be answered with the others."""
    return len(results) == 1 and len(results[0]) > _MUCH


def _opened(header: memoryview) -> _Head:
    try:
        read = cbor2.loads(bytes(header))
    except cbor2.CBORDecodeError as error:
        raise ValueError(f"not a frame header: {error}") from error
    if type(read) is not list or not read or type(read[0]) is not int or not 0 <= read[0] < len(read):
        raise ValueError("not a frame header: it is an array that begins with the number of bodies")
    begin = read[0] + 1
    fields, bodies = read[begin:], read[1:begin]
    sizes = [body for body in bodies if type(body) is not bytes]
    if not sizes:
        return fields, bodies, None
    if not all(type(size) is int for size in sizes):
        raise ValueError("not a frame header: for a body stands its size, or its bytes")
    return fields, bodies, sum(size for size in sizes if size > 0)


def _short(kind: int, data: memoryview, at: int, end: int) -> Frame:
    """A job or a result, from ``at`` to ``end``."""
    if kind == _RESULT and end - at >= _RESULT_SIZE:
        _, _, number, ran = _unpack_result(data, at)
        return [number, "done", ran], (bytes(data[at + _RESULT_SIZE : end]),)
    if kind == _JOB and end - at >= _JOB_SIZE:
        _, _, number, length = _unpack_job(data, at)
        begin = at + _JOB_SIZE
        if begin + length <= end:
            name = str(data[begin : begin + length], "utf-8")
            return [number, "run", name, None, None], (bytes(data[begin + length : end]),)
    raise ValueError(f"not a frame header: kind {kind}, {end - at} bytes")


class Inbox:
    """Puts the frames that come over ``connection`` together again, however they were cut. Bodies in shared memory can
    be written to, and nobody else sees that, if they are to be ``private``."""

    def __init__(self, connection: socket.socket, *, private: bool = False) -> None:
        self._connection = connection
        self._private = private
        self._descriptors: deque[int] = deque()
        self._chunk = memoryview(bytearray(_CHUNK))  # a fresh buffer of this size costs more than a small job
        self._rest = bytearray()  # what came of a frame whose end is still to come
        self._head: _Head | None = None  # of one whose large bodies are to come

    def receive(self) -> list[Frame] | None:
        """Read once, and return the frames that are complete now; None when the other end has closed.

        Raises what the socket raises, and ValueError for bytes that are no frame: nothing sensible follows.
        """
        size, ancillary, flags, _ = self._connection.recvmsg_into([self._chunk], _ANCILLARY, _FLAGS)
        for _, _, numbers in ancillary:
            self._descriptors.extend(array.array("i", numbers[: len(numbers) // 4 * 4]))
        if flags & _TRUNCATED:
            raise ValueError("too many files are open: a body came without its descriptor")
        frames: list[Frame] = []
        if self._rest:
            self._rest += self._chunk[:size]
            with memoryview(self._rest) as came:
                end = self._cut(came, frames)
            del self._rest[:end]
        else:
            came = self._chunk[:size]
            self._rest += came[self._cut(came, frames) :]
        return frames if size else None

    def _cut(self, data: memoryview, frames: list[Frame]) -> int:
        """Take the frames that are complete; returns where what is left begins."""
        at, there, head = 0, len(data), self._head
        while True:
            if head is None:
                begin = at + _BEGIN_SIZE
                if there < begin:
                    break
                kind, size = _unpack_begin(data, at)
                if kind > _RESULT:
                    raise ValueError(f"a frame header cannot begin with {kind}")
                if not 0 < size <= _HEADER_LIMIT:
                    raise ValueError(f"a frame header cannot have {size} bytes")
                end = begin + size
                if there < end:
                    break
                if kind != _WHOLE:
                    frames.append(_short(kind, data, at, end))
                    at = end
                    continue
                at = end
                head = _opened(data[begin:end])
            fields, bodies, large = head
            if large is not None:
                if there - at < large:
                    break
                at, bodies = self._filled(data, at, bodies)
            frames.append((fields, tuple(bodies)))
            head = None
        self._head = head
        return at

    def _filled(self, data: memoryview, at: int, bodies: list[Any]) -> tuple[int, list[Any]]:
        """The bodies of a frame, the large ones from ``at`` on; and where they end."""
        whole: list[Body] = []
        for body in bodies:
            if type(body) is bytes:
                whole.append(body)
            elif body < 0:
                whole.append(self._shared(-body))
            else:
                whole.append(bytes(data[at : at + body]))
                at += body
        return at, whole

    def _shared(self, size: int) -> memoryview:
        if not self._descriptors:
            raise ValueError("a body in shared memory came without its descriptor")
        return shared_body.take(self._descriptors.popleft(), size, private=self._private)

    def close(self) -> None:
        """Close descriptors that came, and whose frame did not."""
        while self._descriptors:
            os.close(self._descriptors.popleft())
