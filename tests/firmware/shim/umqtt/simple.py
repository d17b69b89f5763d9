"""Stands in for umqtt.simple of micropython-lib: as much as the examples use, over real sockets."""

import errno
import socket
import struct

NOTHING_YET = (errno.EAGAIN, 2)  # 2 is TLS's


class MQTTException(Exception):
    """The broker refuses."""


class MQTTClient:
    """A client of MQTT 3.1.1, at QoS 0. As there, ``wait_msg`` may leave the socket not blocking."""

    def __init__(self, client_id, server, port=0, user=None, password=None, keepalive=0, ssl=None):
        self.client_id, self.server, self.port = client_id, server, port
        self.user, self.pswd, self.keepalive, self.ssl = user, password, keepalive, ssl
        self.sock = self.cb = None

    def set_callback(self, f):
        self.cb = f

    def connect(self, clean_session=True, timeout=None):
        self.sock = socket.socket()
        self.sock.settimeout(timeout)
        self.sock.connect(socket.getaddrinfo(self.server, self.port, 0, socket.SOCK_STREAM)[0][-1])
        if self.ssl:
            self.sock = self.ssl.wrap_socket(self.sock, server_hostname=self.server)
        flags = clean_session << 1 | (0xC0 if self.user else 0)
        logins = [self.client_id, self.user, self.pswd] if self.user else [self.client_id]
        self._send(0x10, b"\x00\x04MQTT\x04", struct.pack(">BH", flags, self.keepalive), *map(_text, logins))
        answer = self._read(4)
        if answer[3]:
            raise MQTTException(answer[3])

    def disconnect(self):
        self.sock.sendall(b"\xe0\x00")
        self.sock.close()

    def ping(self):
        self.sock.sendall(b"\xc0\x00")

    def publish(self, topic, msg, retain=False, qos=0):
        self._send(0x30 | retain, _text(topic), msg)

    def subscribe(self, topic, qos=0):
        self._send(0x82, b"\x00\x01", _text(topic), bytes([qos]))
        while self.wait_msg() != 0x90:
            pass
        if self._read(4)[3] == 0x80:
            raise MQTTException(0x80)

    def wait_msg(self):
        first = self.sock.recv(1)
        self.sock.setblocking(True)
        if first == b"":
            raise OSError(-1)
        if first == b"\xd0":
            self._read(1)
            return None
        if first[0] & 0xF0 != 0x30:
            return first[0]
        body = self._read(self._length())
        size = struct.unpack(">H", body[:2])[0]
        self.cb(body[2 : 2 + size], body[2 + size :])
        return first[0]

    def check_msg(self):
        self.sock.setblocking(False)
        try:
            return self.wait_msg()
        except OSError as error:
            if error.args[0] not in NOTHING_YET:
                raise
            self.sock.setblocking(True)
            return None

    def _send(self, kind, *parts):
        size = sum(len(part) for part in parts)
        head = bytearray([kind])
        while True:
            head.append(size & 0x7F | (0x80 if size > 0x7F else 0))
            size >>= 7
            if not size:
                break
        self.sock.sendall(bytes(head) + b"".join(parts))

    def _length(self):
        size = shift = 0
        while True:
            byte = self._read(1)[0]
            size |= (byte & 0x7F) << shift
            shift += 7
            if not byte & 0x80:
                return size

    def _read(self, size):
        data = b""
        while len(data) < size:
            more = self.sock.recv(size - len(data))
            if not more:
                raise OSError(-1)
            data += more
        return data


def _text(text):
    data = text.encode() if isinstance(text, str) else text
    return struct.pack(">H", len(data)) + data
