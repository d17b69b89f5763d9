"""The socket that paho gets, with a short way past paho for publishes at QoS 0, which are nearly all that there is.

paho reads a packet's first bytes one by one, and makes a dozen objects for each publish; that is half of what a message
costs at either end. Here packets (MQTT 3.1.1, chapter 2) are cut out of large readings, and publishes are handed over
and written without it. Everything else, the login and what keeps the connection alive, is still paho's: it reads and
writes through this as through any socket, whole packets at a time.
"""

from __future__ import annotations

import logging
import ssl
import threading
from collections import deque
from collections.abc import Callable
from functools import lru_cache
from typing import Any

from fogsdk.wire.limits import MESSAGE_SIZE

log = logging.getLogger(__name__)

PUBLISH, RETAIN = 0x30, 0x01
_QOS = 0x06
_CHUNK = 256 * 1024  # bytes to read at once
_SMALL = 16 * 1024  # bytes: copying them costs less than a piece more for the system
_PIECES = 64  # pieces to give to one system call
_LONGEST_SIZE = 4  # bytes of a packet's size
_LONGEST = MESSAGE_SIZE + 2**16  # bytes of a packet: the longest message, and the longest topic

_TRY_AGAIN = (BlockingIOError, InterruptedError, ssl.SSLWantReadError, ssl.SSLWantWriteError)


class MqttSocket:
    """Stands before a connected socket, ``raw``; ``hear(topic, payload)`` is called for each publish at QoS 0.

    ``publish`` and ``write`` may be called from several threads, all else from one.
    """

    def __init__(self, raw: Any, hear: Callable[[str, bytes], None]) -> None:
        self.raw = raw
        self._hear = hear
        self._chunk = memoryview(bytearray(_CHUNK))
        self._begun = bytearray()  # a packet of which the end is still to come
        self._wanted = 0  # bytes of it, where that is known
        self._skipping = 0  # bytes still to come of a packet that is longer than any of ours
        self._for_paho = bytearray()
        self._end: OSError | bool = False
        self._unsent: deque[bytes | memoryview] = deque()
        self._writing = threading.Lock()
        self._gathers = not isinstance(raw, ssl.SSLSocket)
        self._closed = False

    # ------------------------------------------------------------ for paho

    def fileno(self) -> int:
        return int(self.raw.fileno())

    def setblocking(self, flag: bool) -> None:
        self.raw.setblocking(flag)

    def recv(self, size: int) -> bytes:
        """What came and is no publish."""
        if self._for_paho:
            data = bytes(self._for_paho[:size])
            del self._for_paho[:size]
            return data
        if isinstance(self._end, OSError):
            raise self._end
        if self._end:
            return b""
        raise BlockingIOError

    def send(self, data: bytes) -> int:
        """Take a packet, all of it."""
        self._unsent.append(data)
        self.write()
        return len(data)

    def abandon(self) -> None:
        """End it: a thread was interrupted in the middle of something, and may hold the lock for ever."""
        self._end = ConnectionAbortedError("interrupted")
        self._writing = threading.Lock()

    def close(self) -> None:
        with self._writing:  # in the middle of a write the number of the closed socket might be given to another
            self._closed = True
            self._unsent.clear()
            self.raw.close()

    # ------------------------------------------------------------ reading

    @property
    def for_paho(self) -> bool:
        """Whether paho has something to read, the end of the connection included."""
        return bool(self._for_paho) or self._end is not False

    def pending(self) -> int:
        """Bytes that TLS has decrypted already: no selector tells of them."""
        if self._gathers:
            return 0
        with self._writing:
            return 0 if self._closed else int(self.raw.pending())

    def _read(self) -> int:
        if self._gathers:
            return int(self.raw.recv_into(self._chunk))
        with self._writing:  # before Python 3.13 ssl does not guard itself: no two threads may be at one connection
            return int(self.raw.recv_into(self._chunk))

    def receive(self) -> None:
        """Read once, and hand over what is complete."""
        try:
            size = self._read()
        except _TRY_AGAIN:
            return
        except OSError as error:
            self._end = error
            return
        if not size:
            self._end = True
        elif self._skipping:
            left = self._chunk[min(self._skipping, size) : size]
            self._skipping -= size - len(left)
            self._cut(left)
        elif not self._begun:
            self._cut(self._chunk[:size])
        else:
            self._begun += self._chunk[:size]
            if len(self._begun) >= self._wanted:
                data, self._begun = self._begun, bytearray()
                self._cut(memoryview(data))

    def _cut(self, data: memoryview) -> None:
        """Take packets apart: a byte that says what it is, its size, seven bits to a byte, and that many bytes."""
        begin, end = 0, len(data)
        self._wanted = 0
        while begin < end and not self._closed:
            at, size, shift = begin + 1, 0, 0
            while at < end:
                byte = data[at]
                size |= (byte & 0x7F) << shift
                at, shift = at + 1, shift + 7
                if byte < 0x80:
                    break
                if shift == 7 * _LONGEST_SIZE:  # paho knows what to do with what is not MQTT
                    self._for_paho += data[begin:]
                    return
            else:
                break
            if end - at < size:
                if size > _LONGEST:
                    log.warning("a packet of %d bytes is left out: no message of the fog is so long", size)
                    self._skipping = size - (end - at)
                    return
                self._wanted = at - begin + size
                break
            kind = data[begin]
            if kind & 0xF0 == PUBLISH and not kind & _QOS and size > 2:
                self._publish(data[at : at + size])
            else:
                self._for_paho += data[begin : at + size]
            begin = at + size
        if begin < end and not self._closed:
            self._begun = bytearray(data[begin:])

    def _publish(self, packet: memoryview) -> None:
        body = 2 + (packet[0] << 8 | packet[1])
        try:
            topic = str(packet[2:body], "utf-8")
        except UnicodeDecodeError:
            return  # no topic of ours
        self._hear(topic, bytes(packet[body:]))

    # ------------------------------------------------------------ writing

    @property
    def wants_write(self) -> bool:
        """Whether there is something to write."""
        return bool(self._unsent)

    def publish(self, topic: str, payload: bytes, retain: bool = False) -> None:
        """Queue a publish at QoS 0."""
        name, length = _string(topic), len(payload)
        kind, size = PUBLISH | RETAIN if retain else PUBLISH, len(name) + length
        head = bytes((kind, size)) if size <= 0x7F else bytes((kind, *_varying(size)))
        if length <= _SMALL:
            self._unsent.append(head + name + payload)
        else:
            self._unsent.extend((head + name, payload))

    def write(self) -> bool:
        """Write until all is out or the socket is full. Another thread that is at it writes this too. Returns whether
        all is out.

        A socket that is broken is found so by who reads from it.
        """
        while self._unsent and self._end is False and not self._closed:
            writing = self._writing  # which is another one after an interrupt
            if not writing.acquire(blocking=False):
                break
            try:
                self._write()
            except _TRY_AGAIN:
                return False
            except OSError as error:
                self._end = error
            finally:
                writing.release()
        return not self._unsent

    def _write(self) -> None:
        unsent = self._unsent
        while unsent and not self._closed:
            count = len(unsent)
            if count == 1 or not self._gathers:
                sent = self.raw.send(unsent[0])
            else:  # by index: another thread may put more in meanwhile, which an iterator does not bear
                sent = self.raw.sendmsg([unsent[index] for index in range(min(count, _PIECES))])
            while unsent and sent >= len(unsent[0]):
                sent -= len(unsent.popleft())
            if sent:
                unsent[0] = memoryview(unsent[0])[sent:]


@lru_cache(maxsize=256)
def _string(text: str) -> bytes:
    """UTF-8, and how long that is before it (section 1.5.3)."""
    data = text.encode()
    return len(data).to_bytes(2, "big") + data


def _varying(size: int) -> list[int]:
    """A packet's size as it is written: seven bits to a byte (section 2.2.3)."""
    out = []
    while size > 0x7F:
        out.append(size & 0x7F | 0x80)
        size >>= 7
    return [*out, size]
