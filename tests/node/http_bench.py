"""A node's HTTP door in this process, on a real port and with real workers, and requests written byte by byte."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, NamedTuple

from aiohttp.web_protocol import RequestHandler

from fogsdk.device.url import Credentials
from fogsdk.node.config import NodeSettings
from fogsdk.node.daemon import node_identity
from fogsdk.node.http_door import HttpDoor
from fogsdk.node.pool import Pool
from fogsdk.node.runtime import Runtime
from tests.support.ports import free_port

TASKS = "tests.node.pool_tasks"


class Answer(NamedTuple):
    """A response: its status, its headers in small letters, and its body."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def said(self) -> Any:
        """What its JSON says."""
        return json.loads(self.body)


class Wire:
    """One connection to the door."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    async def send(self, data: bytes) -> None:
        """Write."""
        self.writer.write(data)
        await self.writer.drain()

    async def head(self) -> Answer:
        """Read the head of a response."""
        head = (await self.reader.readuntil(b"\r\n\r\n")).decode()
        first, *lines = head.rstrip().split("\r\n")
        headers = dict(line.lower().split(": ", 1) for line in lines)
        return Answer(int(first.split()[1]), headers, b"")

    async def answer(self) -> Answer:
        """Read a response."""
        head = await self.head()
        return head._replace(body=await self.reader.readexactly(int(head.headers.get("content-length", 0))))

    async def ended(self) -> bytes:
        """Wait until the node closes the connection; what it sent until then."""
        try:
            return await self.reader.read()
        except ConnectionError:
            return b""

    def close(self) -> None:
        """Hang up."""
        self.writer.close()


class Bench:
    """A node with its door open."""

    def __init__(self, runtime: Runtime, door: HttpDoor, port: int) -> None:
        self.runtime = runtime
        self.door = door
        self.port = port
        self._wires: list[Wire] = []

    async def connect(self, sock: socket.socket | None = None, source: str = "127.0.0.1") -> Wire:
        """A connection, over ``sock`` if there is one already, else from this address of the computer; closed with the
        bench at the latest."""
        if sock is None:
            wire = Wire(*await asyncio.open_connection("127.0.0.1", self.port, local_addr=(source, 0)))
        else:
            wire = Wire(*await asyncio.open_connection(sock=sock, limit=1))
        self._wires.append(wire)
        return wire

    async def ask(self, method: str, path: str, body: bytes = b"", /, **headers: str) -> Answer:
        """One request on a connection of its own; an underscore in a header's name stands for a hyphen."""
        wire = await self.connect()
        await wire.send(request(method, path, body, **headers))
        answer = await wire.answer()
        wire.close()
        return answer

    async def eventually_answers(self, path: str, /, **headers: str) -> bool:
        """Whether a GET is answered by 200 within some seconds."""
        for _ in range(200):
            if (await self.ask("GET", path, **headers)).status == 200:
                return True
            await asyncio.sleep(0.01)
        return False

    @property
    def connections(self) -> list[RequestHandler]:
        """The connections that the door has."""
        runner = self.door._runner
        assert runner is not None
        assert runner.server is not None
        return runner.server.connections

    def close(self) -> None:
        """Hang up everywhere."""
        for wire in self._wires:
            wire.close()


def request(method: str, path: str, body: bytes = b"", /, **headers: str) -> bytes:
    """A request as it is written."""
    fields = {"Host": "127.0.0.1", "Content-Length": str(len(body))}
    if body:
        fields["Content-Type"] = "application/json"
    fields |= {name.replace("_", "-"): value for name, value in headers.items()}
    lines = [f"{method} {path} HTTP/1.1", *(f"{name}: {value}" for name, value in fields.items())]
    return "\r\n".join([*lines, "", ""]).encode() + body


@asynccontextmanager
async def at_bench(**settings: Any) -> AsyncIterator[Bench]:
    """Open a door, with these settings, and close everything in the end."""
    port = free_port()
    told = NodeSettings(node="n1", tasks=(TASKS,), http_port=port, **settings)
    identity = node_identity(told, 2)
    runtime = Runtime(identity, Pool(told.tasks, 2), Credentials())
    door = HttpDoor(told)
    await runtime.open()
    bench = Bench(runtime, door, port)
    try:
        await runtime.open_door(door)
        yield bench
    finally:
        bench.close()
        await runtime.close()
