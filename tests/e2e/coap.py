"""CoAP in the end-to-end tests: nodes that serve it, the stock client of libcoap, and plain sockets."""

from __future__ import annotations

import json
import socket
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import aiocoap

from tests.e2e.site import Site
from tests.support.ports import free_port

PROGRAM = "coap-client-notls"
"""Of Debian's libcoap3-bin."""


def serve(site: Site, *names: str, flags: Sequence[str] = ()) -> dict[str, str]:
    """Start nodes that serve CoAP; returns the URL of each."""
    ports = {name: free_port() for name in names}
    for name, port in ports.items():
        site.start(name, flags=("--coap-port", str(port), *flags))
    return {name: f"coap://127.0.0.1:{port}" for name, port in ports.items()}


@dataclass
class Said:
    """What the stock client printed: responses on standard output, error codes with their payload on the other."""

    out: str
    err: str

    @property
    def value(self) -> Any:
        """The payload, in JSON. Before it the client may complain of a datagram that did not arrive."""
        return json.loads(self.out.splitlines()[-1] if self.out else self.err.partition(" ")[2])

    @property
    def code(self) -> str:
        """The code of an error response."""
        return self.err.partition(" ")[0]


def client(url: str, *flags: str, method: str = "get", body: str | None = None) -> Said:
    """Send one request with libcoap's own client."""
    with tempfile.NamedTemporaryFile() as file:  # of its standard input it reads 20,000 bytes and no more
        file.write((body or "").encode())
        file.flush()
        payload = () if body is None else ("-f", file.name)
        command = (PROGRAM, "-B", "20", "-m", method, *payload, *flags, url)
        done = subprocess.run(command, capture_output=True, timeout=40, check=False)
    assert done.returncode == 0, done
    return Said(done.stdout.decode().strip(), done.stderr.decode().strip())


def post(url: str, task: str, *args: Any, query: str = "", flags: Sequence[str] = ()) -> Said:
    """Have a task run, with arguments in JSON."""
    return client(f"{url}/fog/v1/tasks/{task}{query}", *flags, method="post", body=json.dumps({"args": args}))


class Plain:
    """A socket that speaks CoAP a datagram at a time."""

    def __init__(self, url: str) -> None:
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.settimeout(5)
        self._socket.connect(("127.0.0.1", int(url.rpartition(":")[2])))

    def send(self, datagram: bytes) -> None:
        """Send a datagram, whatever it is."""
        self._socket.send(datagram)

    def receive(self) -> Any:
        """The next message."""
        return aiocoap.Message.decode(self._socket.recv(65536))

    def ask(self, datagram: bytes) -> Any:
        """Send a request, and return its response, acknowledged."""
        self.send(datagram)
        response = self.receive()
        while response.code is aiocoap.EMPTY:
            response = self.receive()
        if response.mtype is aiocoap.CON:
            self.send(bytes([0x60, 0]) + response.mid.to_bytes(2, "big"))
        return response

    def close(self) -> None:
        """End it."""
        self._socket.close()


@contextmanager
def plain(url: str) -> Iterator[Plain]:
    """A plain socket for a while."""
    socket = Plain(url)
    try:
        yield socket
    finally:
        socket.close()


def request(code: Any, path: str, payload: bytes = b"", mid: int = 1, token: bytes = b"t", **options: Any) -> bytes:
    """A confirmable request."""
    options["uri_path"] = tuple(path.strip("/").split("/"))
    message = aiocoap.Message(code=code, payload=payload, _mtype=aiocoap.CON, _mid=mid, _token=token, **options)
    encoded: bytes = message.encode()
    return encoded
