"""Frames: how the daemon and its worker processes speak over a socket pair.

    frame  = size header large*
    size   = bytes in the header, 32 bits, big-endian
    header = CBOR: [bodies, body, ..., field, ...]: flat, which is quicker to write
    body   = the bytes of a small one; of another, how many it has

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

_SIZE = struct.Struct("!I")
_HEADER_LIMIT = 1024 * 1024
_SMALL = 16 * 1024  # bytes of bodies: copying them costs less than another system call and another wakeup over there
_CHUNK = 256 * 1024  # bytes to read at once: all that a socket pair holds by default
_MOST_DESCRIPTORS = 128  # of one frame; Linux sends 253 at once
_ANCILLARY = socket.CMSG_SPACE(4 * 253)
_FLAGS = getattr(socket, "MSG_CMSG_CLOEXEC", 0)
_TRUNCATED = socket.MSG_CTRUNC


def pack(fields: Sequence[Any], bodies: Sequence[Body] = ()) -> list[Body]:
    """Return one frame as the pieces to send, in order: one for a small frame, no copies for a large one. With the
    first of them, or before, go the :func:`descriptors` of its bodies."""
    shared = descriptors(bodies)
    header: list[Any] = [len(bodies)]
    large: list[Body] = []
    room = _SMALL
    for index, body in enumerate(bodies):
        size = len(body)
        if shared and shared[index] is not None:
            header.append(-size)
        elif size <= room:
            room -= size
            header.append(body if type(body) is bytes else bytes(body))
        else:
            header.append(size)
            large.append(body)
    header += fields
    data = cbor2.dumps(header)
    return [_SIZE.pack(len(data)) + data, *large]


def descriptors(bodies: Sequence[Body]) -> list[int | None]:
    """For each body its descriptor, None where it travels in the frame; nothing at all where all of them do."""
    for body in bodies:
        if type(body) is memoryview:
            break
    else:
        return []
    shared = [shared_body.descriptor_of(body) for body in bodies]
    return [each if index < _MOST_DESCRIPTORS else None for index, each in enumerate(shared)]


def attached(shared: Sequence[int | None]) -> list[tuple[int, int, bytes]]:
    """The ancillary data that carries descriptors."""
    numbers = array.array("i", [each for each in shared if each is not None])
    return [(socket.SOL_SOCKET, socket.SCM_RIGHTS, numbers.tobytes())] if numbers else []


def send(connection: socket.socket, fields: Sequence[Any], bodies: Sequence[Body] = ()) -> None:
    """Send a frame over a socket that blocks."""
    first, *others = pack(fields, bodies)
    shared = descriptors(bodies)
    sent = connection.sendmsg([first], attached(shared)) if shared else connection.send(first)
    if sent < len(first) or others:
        for piece in (memoryview(first)[sent:], *others):
            connection.sendall(piece)


class Inbox:
    """Puts the frames that come over ``connection`` together again, however they were cut. Bodies in shared memory can
    be written to, and nobody else sees that, if they are to be ``private``."""

    def __init__(self, connection: socket.socket, *, private: bool = False) -> None:
        self._connection = connection
        self._private = private
        self._descriptors: deque[int] = deque()
        self._chunk = memoryview(bytearray(_CHUNK))  # a fresh buffer of this size costs more than a small job
        self._buffer = bytearray()
        self._at = 0  # where in it the next frame, or what is to come of this one, begins
        self._head: tuple[list[Any], list[Any]] | None = None  # of a frame whose large bodies are to come
        self._large = 0  # bytes of them

    def receive(self) -> list[Frame] | None:
        """Read once, and return the frames that are complete now; None when the other end has closed.

        Raises what the socket raises, and ValueError for bytes that are no frame: nothing sensible follows.
        """
        size, ancillary, flags, _ = self._connection.recvmsg_into([self._chunk], _ANCILLARY, _FLAGS)
        for _, _, data in ancillary:
            self._descriptors.extend(array.array("i", data[: len(data) // 4 * 4]))
        if flags & _TRUNCATED:
            raise ValueError("too many files are open: a body came without its descriptor")
        self._buffer += self._chunk[:size]
        frames = []
        while (head := self._head or self._read_head()) is not None:
            if len(self._buffer) - self._at < self._large:
                self._head = head
                break
            fields, bodies = head
            frames.append((fields, tuple([each if type(each) is bytes else self._cut(each) for each in bodies])))
            self._head = None
        del self._buffer[: self._at]
        self._at = 0
        return frames if size else None

    def _read_head(self) -> tuple[list[Any], list[Any]] | None:
        """The fields of the next frame and its bodies, the large ones by their size; None while it is not there."""
        begin = self._at + _SIZE.size
        there = len(self._buffer)
        if there < begin:
            return None
        (size,) = _SIZE.unpack_from(self._buffer, self._at)
        if not 0 < size <= _HEADER_LIMIT:
            raise ValueError(f"a frame header cannot have {size} bytes")
        end = begin + size
        if there < end:
            return None
        try:
            count, *rest = cbor2.loads(bytes(self._buffer[begin:end]))
            bodies, fields = rest[:count], rest[count:]
            self._large = 0
            for body in bodies:
                if type(body) is not bytes and body > 0:
                    self._large += body
        except (cbor2.CBORDecodeError, TypeError, ValueError) as error:
            raise ValueError(f"not a frame header: {error}") from error
        self._at = end
        return fields, bodies

    def _cut(self, size: int) -> Body:
        """A body that is not in the header."""
        if size < 0:
            return self._shared(-size)
        begin, self._at = self._at, self._at + size
        with memoryview(self._buffer) as view:
            return bytes(view[begin : self._at])

    def _shared(self, size: int) -> memoryview:
        if not self._descriptors:
            raise ValueError("a body in shared memory came without its descriptor")
        return shared_body.take(self._descriptors.popleft(), size, private=self._private)

    def close(self) -> None:
        """Close descriptors that came, and whose frame did not."""
        while self._descriptors:
            os.close(self._descriptors.popleft())
