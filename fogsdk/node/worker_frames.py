"""Frames: how the daemon and its worker processes speak over a socket pair.

    frame  = size header body*
    size   = bytes in the header, 32 bits, big-endian
    header = CBOR: [bodies, bytes in each body, ..., field, ...]: flat, which is quicker to write

Task arguments and results travel as raw bodies: nobody on the way decodes or escapes them. A large one that is in
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
_SMALL = 16 * 1024  # bytes: copying them costs less than another system call, and another wakeup at the other end
_CHUNK = 256 * 1024  # bytes to read at once: all that a socket pair holds by default
_MOST_DESCRIPTORS = 128  # of one frame; Linux sends 253 at once
_ANCILLARY = socket.CMSG_SPACE(4 * 253)
_FLAGS = getattr(socket, "MSG_CMSG_CLOEXEC", 0)


def pack(fields: Sequence[Any], bodies: Sequence[Body] = ()) -> list[Body]:
    """Return one frame as the pieces to send, in order: one for a small frame, no copies for a large one. With the
    first of them, or before, go the :func:`descriptors` of its bodies."""
    shared = descriptors(bodies)
    sizes = [len(body) for body in bodies]
    inline: Sequence[Body] = bodies
    if shared:
        sizes = [len(body) if each is None else -len(body) for body, each in zip(bodies, shared, strict=True)]
        inline = [body for body, each in zip(bodies, shared, strict=True) if each is None]
    header = cbor2.dumps([len(sizes), *sizes, *fields])
    pieces = [_SIZE.pack(len(header)) + header, *inline]
    return pieces if sum(map(len, inline)) > _SMALL else [b"".join(pieces)]


def descriptors(bodies: Sequence[Body]) -> list[int | None]:
    """For each body its descriptor, None where it travels in the frame; nothing at all where all of them do."""
    if not any(isinstance(body, memoryview) for body in bodies):
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
    sent = connection.sendmsg([first], attached(descriptors(bodies)))
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
        self._begin = 0  # where the bodies begin, once the header has been read
        self._wanted = _SIZE.size  # bytes in the buffer before there is something to do

    def receive(self) -> list[Frame] | None:
        """Read once, and return the frames that are complete now; None when the other end has closed.

        Raises what the socket raises, and ValueError for bytes that are no frame: nothing sensible follows.
        """
        size, ancillary, _, _ = self._connection.recvmsg_into([self._chunk], _ANCILLARY, _FLAGS)
        for _, _, data in ancillary:
            self._descriptors.extend(array.array("i", data[: len(data) // 4 * 4]))
        self._buffer += self._chunk[:size]
        frames = []
        while len(self._buffer) >= self._wanted:
            if self._begin:
                frames.append(self._cut())
            elif self._wanted == _SIZE.size:
                self._measure_header()
            else:
                self._read_header()
        return frames if size else None

    def _measure_header(self) -> None:
        (size,) = _SIZE.unpack_from(self._buffer)
        if not 0 < size <= _HEADER_LIMIT:
            raise ValueError(f"a frame header cannot have {size} bytes")
        self._wanted += size

    def _read_header(self) -> None:
        self._begin = self._wanted
        try:
            count, *rest = cbor2.loads(bytes(self._buffer[_SIZE.size : self._begin]))
            self._sizes, self._fields = rest[:count], rest[count:]
            self._wanted += sum(size for size in self._sizes if size > 0)
        except (cbor2.CBORDecodeError, TypeError) as error:
            raise ValueError(f"not a frame header: {error}") from error

    def _cut(self) -> Frame:
        bodies: list[Body] = []
        begin = self._begin
        with memoryview(self._buffer) as view:
            for size in self._sizes:
                if size < 0:
                    bodies.append(self._shared(-size))
                    continue
                bodies.append(bytes(view[begin : begin + size]))
                begin += size
        del self._buffer[: self._wanted]
        self._begin, self._wanted = 0, _SIZE.size
        return self._fields, tuple(bodies)

    def _shared(self, size: int) -> memoryview:
        if not self._descriptors:
            raise ValueError("a body in shared memory came without its descriptor")
        return shared_body.take(self._descriptors.popleft(), size, private=self._private)

    def close(self) -> None:
        """Close descriptors that came, and whose frame did not."""
        while self._descriptors:
            os.close(self._descriptors.popleft())
