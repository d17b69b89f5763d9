"""A node's CoAP door in this process, and a device at it that does nothing by itself."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiocoap

from fogsdk.device.url import Credentials
from fogsdk.node.coap_door import CoapDoor
from fogsdk.node.config import NodeSettings
from fogsdk.node.daemon import node_identity
from fogsdk.node.pool import Pool
from fogsdk.node.runtime import Runtime
from tests.e2e import coap
from tests.support.ports import free_port

TASKS = "tests.node.pool_tasks"


class Deaf:
    """A device that acknowledges nothing by itself."""

    def __init__(self, port: int) -> None:
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.setblocking(False)
        self._socket.connect(("127.0.0.1", port))

    def ask(self, code: Any, path: str, number: int, **options: Any) -> None:
        """Send a request."""
        self._socket.send(coap.request(code, path, mid=number, token=number.to_bytes(2, "big"), **options))

    async def hear(self) -> Any:
        """The next message."""
        data = await asyncio.wait_for(asyncio.get_running_loop().sock_recv(self._socket, 65536), 5)
        return aiocoap.Message.decode(data)

    def acknowledge(self, message: Any) -> None:
        """Say that a message came."""
        self._socket.send(bytes([0x60, 0]) + message.mid.to_bytes(2, "big"))

    def close(self) -> None:
        """End it."""
        self._socket.close()


@asynccontextmanager
async def opened() -> AsyncIterator[tuple[CoapDoor, Deaf]]:
    """A door with a task that goes on, ``x/h``, and a device at it."""
    told = NodeSettings(node="n1", tasks=(TASKS,), coap_port=free_port())
    runtime = Runtime(node_identity(told, 2), Pool(told.tasks, 2), Credentials())
    door = CoapDoor(told)
    await runtime.open()
    device = Deaf(told.coap_port or 0)
    try:
        await runtime.open_door(door)
        device.ask(aiocoap.POST, "fog/v1/tasks/hang", 1, uri_query=("id=h", "sender=x", "wait=0"))
        assert (await device.hear()).code is aiocoap.CREATED
        yield door, device
    finally:
        device.close()
        await runtime.close()
