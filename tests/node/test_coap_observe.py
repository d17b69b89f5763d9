"""Devices that observe tasks over CoAP are asked whether they still do, and none takes up the whole node."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiocoap
import pytest

from fogsdk.device.url import Credentials
from fogsdk.node import coap_door, coap_server, door_exchange
from fogsdk.node.coap_door import CoapDoor
from fogsdk.node.config import NodeSettings
from fogsdk.node.daemon import node_identity
from fogsdk.node.pool import Pool
from fogsdk.node.runtime import Runtime
from tests.e2e import coap
from tests.node.executor_contract import on_a_loop
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


@on_a_loop
async def test_a_device_that_acknowledges_nothing_observes_no_longer(monkeypatch: pytest.MonkeyPatch) -> None:
    """And until that is sure, it gets one notification and its repetitions alone."""
    monkeypatch.setattr(coap_door, "CONFIRM_EVERY", 0.2)
    monkeypatch.setattr(coap_server.Sure, "ACK_TIMEOUT", 0.05)
    async with opened() as (door, device):
        for number in range(2, 12):
            device.ask(aiocoap.GET, "fog/v1/outcomes/x/h", number, observe=0)
        heard = [await device.hear() for _ in range(10 + 1 + coap_server.Sure.MAX_RETRANSMIT)]
        assert [message.mtype for message in heard].count(aiocoap.ACK) == 10
        assert len({message.mid for message in heard if message.mtype is aiocoap.CON}) == 1
        for _ in range(500):
            if not door._exchanges._watchers:
                break
            await asyncio.sleep(0.01)
        assert not door._exchanges._watchers
        assert not door._exchanges._watchers_of


@on_a_loop
async def test_a_device_that_acknowledges_goes_on_observing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(coap_door, "CONFIRM_EVERY", 0.1)
    async with opened() as (_, device):
        device.ask(aiocoap.GET, "fog/v1/outcomes/x/h", 2, observe=0)
        seen = [(await device.hear()).opt.observe]
        for _ in range(3):
            notification = await device.hear()
            assert notification.mtype is aiocoap.CON
            seen.append(notification.opt.observe)
            device.acknowledge(notification)
        assert seen == sorted(set(seen))


@on_a_loop
async def test_one_address_has_its_share_of_observations_whatever_names_it_gives(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(door_exchange, "MOST_WATCHERS", 9)
    async with opened() as (door, device):
        for number in range(2, 12):
            device.ask(aiocoap.GET, "fog/v1/outcomes/x/h", number, observe=0)
        answers: list[Any] = []
        while len(answers) < 10:  # between them a notification may come
            message = await device.hear()
            answers += [message.code] if message.mtype is aiocoap.ACK else []
        assert answers.count(aiocoap.SERVICE_UNAVAILABLE) == 5
        assert door._exchanges._watchers == 5
