"""Devices that observe tasks over CoAP are asked whether they still do, and none takes up the whole node."""

from __future__ import annotations

import asyncio
from typing import Any

import aiocoap
import pytest

from fogsdk.node import coap_door, coap_server, door_exchange
from tests.node.coap_bench import opened
from tests.node.executor_contract import on_a_loop


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
            if not door._exchanges._watchers._taken:
                break
            await asyncio.sleep(0.01)
        assert not door._exchanges._watchers._taken


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
    monkeypatch.setattr(door_exchange, "MOST_WATCHERS", 10)
    async with opened() as (door, device):
        for number in range(2, 12):
            device.ask(aiocoap.GET, "fog/v1/outcomes/x/h", number, observe=0)
        answers: list[Any] = []
        while len(answers) < 10:  # between them a notification may come
            message = await device.hear()
            answers += [message.code] if message.mtype is aiocoap.ACK else []
        assert answers.count(aiocoap.SERVICE_UNAVAILABLE) == 5
        assert door._exchanges._watchers._left == 5
