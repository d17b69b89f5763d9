"""Sockets of a MicroPython that has none: each call goes to modem.py, through board.mjs."""

import io
import json

import modem

AF_INET, SOCK_STREAM, SOCK_DGRAM = 2, 1, 2
_POLL, _READABLE = 3, 1  # of a stream's ioctl


def _call(*words):
    answer = json.loads(modem.call(json.dumps(words)))
    if "errno" in answer:
        raise OSError(answer["errno"])
    return answer["value"]


class socket(io.IOBase):
    """As much of MicroPython's as the examples use."""

    def __init__(self, family=AF_INET, kind=SOCK_STREAM):
        self.number = _call("open", "tcp" if kind == SOCK_STREAM else "udp")

    def connect(self, address):
        _call("connect", self.number, address)

    def settimeout(self, seconds):
        _call("timeout", self.number, seconds)

    def setblocking(self, on):
        _call("timeout", self.number, None if on else 0)

    def setsockopt(self, level, option, value):
        pass

    def sendall(self, data):
        _call("send", self.number, data.hex())

    send = sendall

    def recv(self, size):
        return bytes.fromhex(_call("recv", self.number, size))

    def close(self):
        _call("close", self.number)

    def ioctl(self, request, argument):
        return _READABLE if request == _POLL and _call("readable", self.number) else 0


def getaddrinfo(host, port, family=0, kind=0):
    return [(AF_INET, kind, 0, "", (host, port))]
