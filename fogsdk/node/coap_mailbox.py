"""What a node tells the devices that are linked to it: which nodes there are, and what becomes of their tasks.

A device observes its mailbox (RFC 7641). Each notification is a batch of messages, and the next is sent when that one
was acknowledged, so that what comes meanwhile leaves together. A message that is too large for a datagram is a parcel:
it lies under a name of its own until it is fetched, and the notification says only where. That of an outcome may be the
only one that there is: the core keeps less than devices can have on their way here. So none makes room for another.
One that finds no room is left out until there is some, and the task does not run again before.
"""

from __future__ import annotations

import asyncio
import secrets
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Any, NamedTuple

import aiocoap
import cbor2

from fogsdk.core.membership import Directory
from fogsdk.node.coap_answers import sayable
from fogsdk.node.coap_blocks import BLOCK
from fogsdk.node.coap_server import Prompt
from fogsdk.node.door_room import Room
from fogsdk.wire import codec
from fogsdk.wire.limits import MESSAGE_SIZE
from fogsdk.wire.messages import Birth, Gone, Reply

MOST_MAILBOXES = 512
MOST_WAITING = 4096
"""Messages that wait in one mailbox. With more it is closed: a device that is still there opens another."""
MOST_PARCEL_BYTES = 16 * MESSAGE_SIZE
"""Bytes of all parcels of a node."""
LOOK_EVERY = 0.1
"""Seconds between two looks at who is there."""


def introduced(node: str, message: Birth | Gone) -> dict[str, Any]:
    """A message of a node about itself, with the node's name in it: there is no topic that has it here."""
    return {"node": node, **codec.fields(message, False)}


class Parcel(NamedTuple):
    """A large message, a tag that says whether it is the same as before, and what it takes of the room."""

    item: bytes
    tag: bytes
    size: int


class Mailbox:
    """What waits for one device. ``path`` is where it is observed, ``client`` who has its parcels in the ``room``."""

    def __init__(
        self, path: tuple[str, ...], acknowledged: Callable[[], Awaitable[None]], room: Room, client: str
    ) -> None:
        self.known: dict[str, Birth] = {}
        self._path = path
        self._acknowledged = acknowledged
        self._room, self._client = room, client
        self._waiting: deque[bytes | str] = deque()
        self._parcels: dict[str, Parcel] = {}
        self._left_out: dict[str, int] = {}  # parcels that found no room, and their size
        self._news = asyncio.Event()
        self._ended = False

    def put(self, item: bytes, name: str, *, counted: bool = True) -> bool:
        """Put in an encoded message; ``name`` is where it lies if it is large. False where there is no room for it."""
        if len(item) < BLOCK:
            self._wait(item)
            return True
        kept = self._keep(name, item, len(item) if counted else 0)
        if kept:
            self._point_at(name)
        return kept

    def _wait(self, item: bytes | str) -> None:
        self._waiting.append(item)
        if len(self._waiting) > MOST_WAITING:
            self._waiting.clear()
            self._ended = True
        self._news.set()

    def _point_at(self, name: str) -> None:
        if name not in self._waiting:
            self._wait(name)

    def _keep(self, name: str, item: bytes, size: int) -> bool:
        before = self._parcels.get(name)
        if before is not None and before.item == item:
            return True
        self.fetched(name)
        if not self._room.take(self._client, size):
            self._left_out[name] = size
            if len(self._left_out) > MOST_WAITING:
                del self._left_out[next(iter(self._left_out))]
            return False
        self._left_out.pop(name, None)
        self._parcels[name] = Parcel(item, secrets.token_bytes(4), size)
        return True

    def remind(self, name: str) -> bool:
        """Say again where a large message lies. False where it does not lie here."""
        if name in self._parcels:
            self._point_at(name)
        return name in self._parcels

    def has_left_out(self, name: str) -> bool:
        """Whether a large message found no room here, and would find none now."""
        return name in self._left_out and not self._room.has(self._client, self._left_out[name])

    def parcel(self, name: str) -> Parcel | None:
        """A large message, None where it is there no longer."""
        return self._parcels.get(name)

    def fetched(self, name: str) -> None:
        """A parcel is with its receiver."""
        parcel = self._parcels.pop(name, None)
        if parcel is not None:
            self._room.give_back(self._client, parcel.size)

    def clear(self) -> None:
        """Nobody can fetch what lies here any more."""
        for name in list(self._parcels):
            self.fetched(name)

    def end(self) -> None:
        """Send what there is, and no more: another takes its place, or the node is leaving."""
        self._ended = True
        self._news.set()

    async def notify(self, send: Callable[[Any, bool], None]) -> None:
        """Send what comes in, for as long as it is observed."""
        number = 0
        while not self._ended or self._waiting:
            message = self._next()
            if message is None:
                self._news.clear()
                await self._news.wait()
                continue
            number = number % 0xFFFFFF + 1
            message.opt.observe = number
            send(message, False)
            await self._acknowledged()
        send(aiocoap.Message(code=aiocoap.SERVICE_UNAVAILABLE, payload=b"this mailbox is closed", max_age=1), True)

    def _next(self) -> Any:
        message = aiocoap.Message(code=aiocoap.CONTENT, content_format=60, transport_tuning=Prompt())
        if self._waiting and isinstance(self._waiting[0], str):
            message.opt.location_path = (*self._path, str(self._waiting.popleft()))
            return message
        items: list[bytes] = []
        size = 3
        while self._waiting and isinstance(item := self._waiting[0], bytes) and size + len(item) <= BLOCK:
            items.append(item)
            size += len(item)
            self._waiting.popleft()
        if not items:
            return None
        message.payload = _array(len(items)) + b"".join(items)
        return message


def _array(length: int) -> bytes:
    """The head of a CBOR array: what comes behind it is encoded already."""
    return bytes([0x80 | length]) if length < 24 else bytes([0x98, length])


class Mailboxes:
    """The mailboxes of a node. ``me`` says what the node is now; ``empty`` is set while there are none."""

    def __init__(self, node: str, me: Callable[[], Birth], directory: Directory) -> None:
        self._node = node
        self._me = me
        self._directory = directory
        self.room = Room(MOST_PARCEL_BYTES)
        self._boxes: dict[str, Mailbox] = {}
        self._looking: asyncio.Task[None] | None = None
        self.empty = asyncio.Event()
        self.empty.set()

    def __len__(self) -> int:
        return len(self._boxes)

    def get(self, device: str) -> Mailbox | None:
        """A device's mailbox."""
        return self._boxes.get(device)

    def open(self, device: str, box: Mailbox) -> None:
        """Give a device a mailbox, in place of an earlier one, and put in who is there."""
        before = self._boxes.pop(device, None)
        if before is not None:
            before.end()
        self._boxes[device] = box
        self.empty.clear()
        self._tell(box)
        if self._looking is None:
            self._looking = asyncio.ensure_future(self._look())

    def close(self, device: str, box: Mailbox) -> None:
        """The mailbox is no longer observed."""
        if self._boxes.get(device) is box:
            del self._boxes[device]
        if not self._boxes and self._looking is not None:
            self._looking.cancel()
            self._looking = None
        if not self._boxes:
            self.empty.set()

    def deliver(self, device: str, message: Reply) -> None:
        """Put a reply in a device's mailbox, if it has one."""
        box = self._boxes.get(device)
        if box is not None:
            box.put(sayable(message)[1], message.id)

    def leave(self) -> None:
        """Say that the node is gone, and end."""
        for box in self._boxes.values():
            gone = Gone(self._me().incarnation)
            box.put(cbor2.dumps(introduced(self._node, gone)), f"@{self._node}")
            box.end()

    async def _look(self) -> None:
        while True:
            await asyncio.sleep(LOOK_EVERY)
            for box in list(self._boxes.values()):
                self._tell(box)

    def _tell(self, box: Mailbox) -> None:
        """Say which nodes are there: the node itself first, then what changed about others."""
        self._tell_of(box, self._node, self._me())
        for node, member in self._directory.members.items():
            if node != self._node:
                self._tell_of(box, node, member.birth if member.present else None)

    def _tell_of(self, box: Mailbox, node: str, birth: Birth | None) -> None:
        before = box.known.get(node)
        if birth is before or (birth == before and birth is not None):
            return
        message: Birth | Gone
        if birth is not None:
            message = box.known[node] = birth
        else:
            assert before is not None, "it was told of before"
            message = Gone(before.incarnation)
            del box.known[node]
        box.put(cbor2.dumps(introduced(node, message)), f"@{node}", counted=False)  # else nobody could link to it
