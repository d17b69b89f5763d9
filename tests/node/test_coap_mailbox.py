"""Mailboxes over CoAP: large outcomes lie there until they are fetched, so many and no more, and no task runs again."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import aiocoap
import pytest

from fogsdk.core import outcomes
from fogsdk.node.coap_mailbox import Mailbox
from fogsdk.node.door_room import Room
from fogsdk.wire import codec, values
from fogsdk.wire.messages import Accepted, Ask, Message, Task
from tests.node.coap_bench import Deaf, opened
from tests.node.executor_contract import on_a_loop

BOX = ("fog", "v1", "messages", "k1")
SIZE = 300_000


class Linked:
    """A device with a mailbox, at which it looks when it is told to."""

    def __init__(self, device: Deaf) -> None:
        self._device = device
        self._number = 1

    def ask(self, code: Any, path: tuple[str, ...] = BOX, **options: Any) -> None:
        """Send a request."""
        self._number += 1
        self._device.ask(code, "/".join(path), self._number, **options)

    def say(self, *messages: Message) -> None:
        """Put messages to the node."""
        self.ask(aiocoap.POST, payload=codec.encode(messages), content_format=60)

    async def hear(self) -> Any:
        """The next message, which is acknowledged."""
        message = await self._device.hear()
        if message.mtype is aiocoap.CON:
            self._device.acknowledge(message)
        return message

    async def told_of_parcel(self, id: str) -> list[Any]:
        """What is said until it is said where the outcome of a task lies."""
        heard: list[Any] = []
        while True:
            message = await self.hear()
            if message.opt.location_path == (*BOX, id):
                return heard
            if message.opt.observe is not None and message.payload:
                heard += codec.decode(message.payload)

    async def fetch(self, id: str) -> bytes:
        """Fetch a parcel, block by block."""
        data, more = b"", True
        while more:
            self.ask(aiocoap.GET, (*BOX, id), block2=(len(data) // 1024, False, 6))
            block = await self.hear()
            assert block.code is aiocoap.CONTENT, block.payload
            if block.opt.block2 is not None:  # else it is a notification
                data, more = data + block.payload, block.opt.block2.more
        return data


@on_a_loop
async def test_a_task_whose_outcome_lies_in_the_mailbox_does_not_run_again_for_one_who_asks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where the core keeps it no longer."""
    monkeypatch.setattr(outcomes, "MOST_BYTES", SIZE)
    marks = tmp_path / "marks"
    tasks = [Task(id, "mark", values.encode([[str(marks), SIZE], {}])) for id in ("t1", "t2")]
    async with opened() as (_, device):
        linked = Linked(device)
        linked.ask(aiocoap.GET, observe=0)
        for task in tasks:
            linked.say(task)
            await linked.told_of_parcel(task.id)
        for message in (Ask("t1"), tasks[0]):
            linked.say(message)
            assert Accepted("t1", "n1") in await linked.told_of_parcel("t1") + codec.decode(
                (await linked.hear()).payload
            )
        assert len(await linked.fetch("t1")) > SIZE
        assert marks.read_bytes() == b"xx"


async def _acknowledged() -> None:
    """At once."""


def box(room: Room, client: str = "a") -> Mailbox:
    return Mailbox(BOX, _acknowledged, room, client)


@on_a_loop
async def test_no_parcel_makes_room_for_another() -> None:
    here = box(Room(10_000))
    assert here.put(bytes(4000), "t1")
    assert not here.put(bytes(4000), "t2")
    assert here.parcel("t1")
    assert not here.parcel("t2")
    assert here.remind("t1")
    assert not here.remind("t2")
    assert here.has_left_out("t2"), "it would not fit now either"
    here.fetched("t1")
    assert not here.remind("t1")
    assert not here.has_left_out("t1")
    assert not here.has_left_out("t2"), "there is room for it"
    assert here.put(bytes(4000), "t2")


@on_a_loop
async def test_where_no_room_is_left_a_device_still_hears_who_is_there() -> None:
    room = Room(10_000)
    assert box(room).put(bytes(5000), "t1")
    linking = box(room)
    assert not linking.put(bytes(4000), "t1")
    assert linking.put(bytes(4000), "@n1", counted=False)
    linking.fetched("@n1")
    assert not linking.put(bytes(4000), "t1")


@on_a_loop
async def test_a_parcel_that_is_put_in_again_is_the_same() -> None:
    here = box(Room(10_000))
    tags = []
    for item in (bytes(4000), bytes(4000), bytes(3999)):
        assert here.put(item, "t1")
        parcel = here.parcel("t1")
        assert parcel is not None
        tags.append(parcel.tag)
    assert tags[0] == tags[1] != tags[2]


@on_a_loop
async def test_one_client_has_its_share_of_the_room_for_parcels_whatever_mailboxes_it_opens() -> None:
    room = Room(10_000)
    boxes = [box(room) for _ in range(4)]
    assert [each.put(bytes(2000), "t") for each in boxes] == [True, True, False, False]
    assert box(room, "b").put(bytes(2000), "t")
    boxes[0].clear()
    assert boxes[2].put(bytes(2000), "t")
