"""MQTT 3.1.1 at QoS 0 by hand, and calls over a socket: what the floors are made of.

Nothing that a general client needs is done here: no reconnecting, no timers, no checks. That is the point of a floor.
"""

from __future__ import annotations

import contextlib
import select
import socket
import time
from collections import deque
from collections.abc import Callable
from urllib.parse import urlsplit

CONNACK, PUBLISH, SUBACK = 2, 3, 9
_CHUNK = 1 << 20
_SLOW = 0.001

Parse = Callable[[bytearray], list[bytes]]
"""Takes the complete messages out of a buffer and returns their bodies."""


def _packet(first: int, body: bytes) -> bytes:
    return bytes([first]) + _length(len(body)) + body


def _length(size: int) -> bytes:
    digits = bytearray()
    while size >= 128:
        digits.append(size & 127 | 128)
        size >>= 7
    digits.append(size)
    return bytes(digits)


def _text(text: str) -> bytes:
    return len(text).to_bytes(2, "big") + text.encode()


def connect_packet(client_id: str) -> bytes:
    """CONNECT: MQTT 3.1.1, clean session, no keepalive."""
    return _packet(0x10, _text("MQTT") + b"\x04\x02\x00\x00" + _text(client_id))


def subscribe_packet(topic: str) -> bytes:
    """SUBSCRIBE to one topic at QoS 0."""
    return _packet(0x82, b"\x00\x01" + _text(topic) + b"\x00")


def publish_header(topic: str, size: int) -> bytes:
    """All of a PUBLISH that comes before its payload."""
    return b"\x30" + _length(2 + len(topic) + size) + _text(topic)


def publish_packet(topic: str, payload: bytes) -> bytes:
    """PUBLISH at QoS 0."""
    return publish_header(topic, len(payload)) + payload


def measure_packet(buffer: bytearray | memoryview) -> tuple[int, int] | None:
    """Where the first packet's body begins and ends; None while its length is not there yet."""
    size = shift = 0
    for at in range(1, min(5, len(buffer))):
        size |= (buffer[at] & 127) << shift
        if buffer[at] < 128:
            return at + 1, at + 1 + size
        shift += 7
    return None


def take_payloads(buffer: bytearray) -> list[bytes]:
    """Take the complete packets out of the buffer; returns the payloads of those that are PUBLISH."""
    payloads, begin = [], 0
    view = memoryview(buffer)
    while (span := measure_packet(view[begin : begin + 5])) is not None and begin + span[1] <= len(buffer):
        if buffer[begin] >> 4 == PUBLISH:
            body = begin + span[0]
            payloads.append(bytes(view[body + 2 + int.from_bytes(view[body : body + 2], "big") : begin + span[1]]))
        begin += span[1]
    view.release()
    del buffer[:begin]
    return payloads


def open_mqtt(broker: str, client_id: str, *topics: str) -> socket.socket:
    """A connected and subscribed socket with TCP_NODELAY, blocking."""
    url = urlsplit(broker)
    sock = socket.create_connection((url.hostname or "", url.port or 0), timeout=10)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    sock.sendall(connect_packet(client_id) + b"".join(map(subscribe_packet, topics)))
    wanted, buffer = [CONNACK] + [SUBACK] * len(topics), bytearray()
    while wanted:
        buffer += sock.recv(1)
        span = measure_packet(buffer)
        if span is not None and len(buffer) == span[1]:
            if buffer[0] >> 4 == wanted[0]:
                del wanted[0]
            buffer.clear()
    sock.settimeout(None)
    return sock


def frame(body: bytes) -> bytes:
    """A message on a pipe: its length, and the body."""
    return len(body).to_bytes(4, "big") + body


def take_frames(buffer: bytearray) -> list[bytes]:
    """Take the complete frames out of the buffer."""
    bodies, begin = [], 0
    view = memoryview(buffer)
    while begin + 4 <= len(buffer):
        end = begin + 4 + int.from_bytes(view[begin : begin + 4], "big")
        if end > len(buffer):
            break
        bodies.append(bytes(view[begin + 4 : end]))
        begin = end
    view.release()
    del buffer[:begin]
    return bodies


class Caller:
    """Calls over one socket whose answers come in order. It is driven by whoever waits: no thread, no event loop."""

    def __init__(self, sock: socket.socket, parse: Parse) -> None:
        sock.setblocking(False)
        self._socket = sock
        self._parse = parse
        self._out, self._in = bytearray(), bytearray()
        self._pending: deque[Answer] = deque()
        self._poll = select.poll()
        self._poll.register(sock, select.POLLIN)

    def call(self, message: bytes, decode: Callable[[bytes], object] = bytes) -> Answer:
        """Send a message, or nothing to wait for what comes unasked; the answer to come."""
        self._pending.append(answer := Answer(self, decode))
        self._out += message
        self._write()
        return answer

    def pump(self) -> None:
        """Wait until something can be read or written, and do so."""
        self._poll.modify(self._socket, select.POLLIN | (select.POLLOUT if self._out else 0))
        for _, events in self._poll.poll():
            if events & select.POLLOUT:
                self._write()
            if events & ~select.POLLOUT:
                data = self._socket.recv(_CHUNK)
                if not data:
                    raise ConnectionError("the other end has closed the connection")
                self._in += data
                for body in self._parse(self._in):
                    self._pending.popleft().body = body

    def _write(self) -> None:
        with contextlib.suppress(BlockingIOError):
            del self._out[: self._socket.send(self._out)]


class Answer:
    """The answer to a call of a :class:`Caller`."""

    __slots__ = ("_caller", "_decode", "body")

    def __init__(self, caller: Caller, decode: Callable[[bytes], object]) -> None:
        self._caller = caller
        self._decode = decode
        self.body: bytes | None = None

    def result(self) -> object:
        """Wait for it."""
        while self.body is None:
            self._caller.pump()
        return self._decode(self.body)


def answer_all(sock: socket.socket, parse: Parse, answer: Callable[[bytes], bytes]) -> None:
    """Answer what comes until the other end closes: what came together is answered together, but for slow answers."""
    buffer, answers = bytearray(), list[bytes]()
    while data := sock.recv(_CHUNK):
        buffer += data
        sent = time.perf_counter()
        for body in parse(buffer):
            answers.append(answer(body))
            if (now := time.perf_counter()) - sent > _SLOW:
                sock.sendall(b"".join(answers))
                answers.clear()
                sent = now
        if answers:
            sock.sendall(b"".join(answers))
            answers.clear()
