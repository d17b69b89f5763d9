"""The fog over CoAP (RFC 7252), straight to a node and without a broker, with plain sockets."""

import os
import select
import socket
import struct
import time

from fogcbor import dumps, loads

POST, CREATED = 0x02, 0x41
CON, ACK = 0, 2
URI_PATH, CONTENT_FORMAT, URI_QUERY, ACCEPT, BLOCK2 = 11, 12, 15, 17, 23  # options
CBOR = b"\x3c"  # Content-Format 60
LARGEST = 1024  # bytes of arguments: what goes into one datagram
WAIT = 4000  # milliseconds after which a node is to say that it is not done yet, below LAST_CHECK of fog.py
GIVE_UP = 4  # requests without a word from a node, until the next one is tried


class Link:
    """The first node that answers, and the next one when that is lost."""

    def __init__(self, urls, name):
        self.urls, self.name = list(urls), name
        self.sock = self.id = None
        self.mid = struct.unpack(">H", os.urandom(2))[0]

    def send(self, message, node=""):
        """Hand a task to the node; to another one than before if ``node`` names one. OSError where that cannot be."""
        if node or (self.sock and self.unheard == GIVE_UP):
            self._next()
        if self.sock is None:
            self._open()
        if message["id"] != self.id or self.heard:
            self._request(message, 0)
        self.unheard += 1
        self.sock.send(self.datagram)

    def receive(self, ms):
        """The next reply, a dict; None if there is none within so many milliseconds, or the node is not done yet."""
        end = time.ticks_add(time.ticks_ms(), ms)
        while True:
            left = max(0, time.ticks_diff(end, time.ticks_ms()))
            if self.sock is None:
                time.sleep_ms(left)
                return None
            if not self.poll.poll(left):
                return None
            try:
                said = self._hear(self.sock.recv(LARGEST + 256))
            except OSError:
                self._next()  # nobody listens there
                raise
            if said is not None:
                return said if "type" in said else None

    def close(self):
        """Forget the node."""
        if self.sock:
            self.sock.close()
            self.sock = self.id = None

    def _next(self):
        self.close()
        self.urls.append(self.urls.pop(0))

    def _open(self):
        host, _, port = self.urls[0].split("://")[1].rstrip("/").partition(":")
        self.sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.sock.connect(socket.getaddrinfo(host, int(port or 5683))[0][-1])
        self.poll = select.poll()
        self.poll.register(self.sock, select.POLLIN)
        self.unheard = 0

    def _request(self, message, block):
        """Make the datagram that asks for an answer, or for a further block of it."""
        query = {"sender": self.name, "id": message["id"], "wait": f"{WAIT}ms"}
        for field in ("deadline", "keep"):
            if field in message:
                query[field] = f"{message[field]}ms"
        body = b"" if block else dumps({"args": message["args"], "kwargs": message["kwargs"]})
        if len(body) > LARGEST:
            raise ValueError(f"{len(body)} bytes of arguments; over CoAP, this device sends {LARGEST}")
        options = [(URI_PATH, part.encode()) for part in ("fog", "v1", "tasks", message["name"])]
        options.append((CONTENT_FORMAT, CBOR))
        options.extend((URI_QUERY, (f"{key}={query[key]}").encode()) for key in sorted(query))
        options.append((ACCEPT, CBOR))
        if block:
            options.append((BLOCK2, struct.pack(">I", block).lstrip(b"\0")))
        self.mid, self.token = self.mid + 1 & 0xFFFF, os.urandom(4)
        head = struct.pack(">BBH", 0x44 | CON << 4, POST, self.mid) + self.token
        self.datagram = head + _packed(options) + (b"\xff" + body if body else b"")
        self.message, self.id, self.heard = message, message["id"], False
        self.answer = self.answer if block else b""

    def _hear(self, data):
        """A reply; {} if the node is not done yet, None if this is of no use."""
        if len(data) < 4 or data[0] >> 6 != 1:
            return None
        kind, size, code, mid = data[0] >> 4 & 3, data[0] & 15, data[1], struct.unpack(">H", data[2:4])[0]
        if kind == CON:
            self.sock.send(struct.pack(">BBH", 0x40 | ACK << 4, 0, mid))
        if kind == ACK and code == 0 and mid == self.mid:
            self.unheard, self.heard = 0, True
            return {"type": "accepted", "id": self.id}
        if code < CREATED or data[4 : 4 + size] != self.token:
            return None
        self.unheard, self.heard = 0, True
        options, payload = _unpacked(data[4 + size :])
        block = int.from_bytes(options.get(BLOCK2, b""), "big")
        self.answer += payload
        if block & 8:
            self._request(self.message, block + 16 & ~8)
            self.sock.send(self.datagram)
            return {"type": "accepted", "id": self.id}
        if code == CREATED:
            return {}
        said = None
        try:
            if options.get(CONTENT_FORMAT) == CBOR:
                said = loads(self.answer)
            else:  # what is wrong with the request, in words for people
                words = str(self.answer, "utf-8")
                said = {"type": "refused", "reason": f"coap-{code >> 5}-{code & 31:02}", "message": words}
            said["id"] = self.id
        except (TypeError, ValueError):
            return None  # nonsense
        return said


def _packed(options):
    """Options, which are in the order of their numbers, as RFC 7252 has them in section 3.1."""
    out, before = bytearray(), 0
    for number, value in options:
        delta, size = number - before, len(value)
        out.append(min(delta, 13) << 4 | min(size, 13))
        if delta >= 13:
            out.append(delta - 13)
        if size >= 13:
            out.append(size - 13)
        out.extend(value)
        before = number
    return bytes(out)


def _unpacked(data):
    """The options of a message by number, of one that is there twice the last, and its payload."""
    at = number = 0
    options = {}
    while at < len(data) and data[at] != 0xFF:
        lengths = [data[at] >> 4, data[at] & 15]
        at += 1
        for which in range(2):
            if lengths[which] >= 13:
                wide = lengths[which] - 12
                lengths[which] = int.from_bytes(data[at : at + wide], "big") + (13 if wide == 1 else 269)
                at += wide
        number += lengths[0]
        options[number] = data[at : at + lengths[1]]
        at += lengths[1]
    return options, data[at + 1 :]
