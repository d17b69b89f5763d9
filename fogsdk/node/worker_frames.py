"""Frames: how the daemon and its worker processes speak over a socket pair.

    frame  = size header body*
    size   = bytes in the header, 32 bits, big-endian
    header = CBOR: [[bytes in each body], field, ...]

Task arguments and results travel as raw bodies: nobody on the way decodes or escapes them.
"""

from __future__ import annotations

import socket
import struct
from collections.abc import Sequence
from typing import Any

import cbor2

Frame = tuple[list[Any], tuple[bytes, ...]]
"""The fields of a header, and the bodies."""

_SIZE = struct.Struct("!I")
_HEADER_LIMIT = 1024 * 1024
_SMALL = 16 * 1024  # bytes: copying them costs less than another system call, and another wakeup at the other end
_CHUNK = 256 * 1024  # bytes to read at once: all that a socket pair holds by default


def pack(fields: Sequence[Any], bodies: Sequence[bytes] = ()) -> list[bytes]:
    """Return one frame as the pieces to send, in order: one for a small frame, no copies for a large one."""
    sizes = [len(body) for body in bodies]
    header = cbor2.dumps([sizes, *fields])
    pieces = [_SIZE.pack(len(header)) + header, *bodies]
    return pieces if sum(sizes) > _SMALL else [b"".join(pieces)]


class Inbox:
    """Puts the frames that come over ``connection`` together again, however they were cut."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._chunk = memoryview(bytearray(_CHUNK))  # a fresh buffer of this size costs more than a small job
        self._buffer = bytearray()
        self._begin = 0  # where the bodies begin, once the header has been read
        self._wanted = _SIZE.size  # bytes in the buffer before there is something to do

    def receive(self) -> list[Frame] | None:
        """Read once, and return the frames that are complete now; None when the other end has closed.

        Raises what the socket raises, and ValueError for bytes that are no frame: nothing sensible follows.
        """
        size = self._connection.recv_into(self._chunk)
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
            self._sizes, *self._fields = cbor2.loads(bytes(self._buffer[_SIZE.size : self._begin]))
            self._wanted += sum(self._sizes)
        except (cbor2.CBORDecodeError, TypeError) as error:
            raise ValueError(f"not a frame header: {error}") from error

    def _cut(self) -> Frame:
        bodies = []
        begin = self._begin
        with memoryview(self._buffer) as view:
            for size in self._sizes:
                bodies.append(bytes(view[begin : begin + size]))
                begin += size
        del self._buffer[: self._wanted]
        self._begin, self._wanted = 0, _SIZE.size
        return self._fields, tuple(bodies)
