"""The world of :mod:`tests.core.world`, its cores behind :class:`Transfers`, so that large bodies travel in chunks."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from fogsdk.core.client import Client
from fogsdk.core.events import Carried
from fogsdk.core.node import Node
from fogsdk.core.transfers import Transfers
from fogsdk.device.memory import Memory
from fogsdk.wire import codec, topics
from fogsdk.wire.limits import INLINE_SIZE
from fogsdk.wire.messages import Chunk, Got, Transfer
from tests.core.world import Peer, World

ROOM = 40 * 2**20


class Chunked:
    """A core and the layer in front of it, as one."""

    def __init__(self, core: Any, me: str, run: str, room: int, inline: int) -> None:
        self.core = core
        options: dict[str, Any] = {}
        if isinstance(core, Node):
            options = {"turn_away": core.turn_away, "copies": core.keeping.replicas}
        self.transfers = Transfers(
            core, core.handle, "s", me, allocate=allocate, room=room, inline=inline, run=run, **options
        )
        self.handle = self.transfers.handle
        self.deadline = self.transfers.deadline

    def __getattr__(self, name: str) -> Any:
        return getattr(self.core, name)


allocate = Memory


@dataclass
class Way:
    """One direction of a link: what is sent over it leaves at so many bytes a millisecond, one after the other, and is
    there ``delay`` milliseconds later."""

    rate: float
    delay: int
    free_at: float = 0.0

    def arrives(self, size: int, now: int) -> int:
        self.free_at = max(self.free_at, now) + size / self.rate
        return math.ceil(self.free_at) + self.delay


class LargeWorld(World):
    """``carried`` counts the bytes of each task and answer that left their sender in chunks, by topic and id. Peers are
    next to their brokers, but for those in ``up_from`` and ``down_to``. ``inline`` is from which size on bodies travel
    in chunks."""

    def __init__(
        self,
        seed: int,
        brokers: tuple[str, ...] = ("a",),
        faults: float = 0.0,
        room: int = ROOM,
        inline: int = INLINE_SIZE,
    ) -> None:
        super().__init__(seed, brokers, faults)
        self.room, self.inline = room, inline
        self.carried: dict[tuple[str, str], int] = {}
        self.up_from: dict[str, Way] = {}
        self.down_to: dict[str, Way] = {}

    def put_far(self, name: str, rate: float, delay: int) -> None:
        """Between this peer and the brokers is a link of so many bytes a millisecond, and of this delay, each way."""
        self.up_from[name], self.down_to[name] = Way(rate, delay), Way(rate, delay)

    def _add(self, peer: Peer) -> Peer:
        peer.core = Chunked(peer.core, peer.name, str(peer.life), self.room, self.inline)
        return super()._add(peer)

    def _arrive(self, peer: Peer, broker: str, topic: str, payload: bytes, safe: bool = True) -> None:
        """In the order in which they were sent, as MQTT has it, where there are no faults."""
        if self.faults:
            super()._arrive(peer, broker, topic, payload, safe)
        else:
            way = self.down_to.get(peer.name)
            delay = 1 if way is None else way.arrives(len(payload), self.now) - self.now
            self.later(delay, lambda: self._deliver(peer, broker, topic, payload))

    def _send(self, peer: Peer, send: Any) -> None:
        if isinstance(send.message, Chunk):
            key = (send.topic, send.message.id)
            self.carried[key] = self.carried.get(key, 0) + len(send.message.data)
        way = self.up_from.get(peer.name)
        if way is None:
            super()._send(peer, send)
        elif send.link in peer.links:
            size = len(codec.encode([send.message]))
            self.later(way.arrives(size, self.now) - self.now, lambda: super(LargeWorld, self)._send(peer, send))

    def _deliver(self, peer: Peer, broker: str, topic: str, payload: bytes) -> None:
        at = topics.parse(topic)
        messages = codec.decode(payload)
        if not isinstance(messages[0], (Transfer, Chunk, Got)):
            super()._deliver(peer, broker, topic, payload)
        elif peer.alive and not peer.cut and broker in peer.links:
            assert len(payload) < 300_000
            sender = "" if at.kind == "reply" else at.sender
            self.tell(peer, Carried(broker, sender, messages[0], at.kind == "replica"))

    def submit_large(self, client: str, id: str, size: int, **options: Any) -> bytes:
        """A task that gives back its argument, of so many random bytes."""
        argument = self.random.randbytes(size)
        self.submit(client, id, argument=argument, **options)
        return argument

    def soon(self, done: Callable[[], bool]) -> None:
        """Let things happen, millisecond by millisecond, until ``done``."""
        while not done():
            assert self.now < 60_000, "not done within a minute"
            self.run(self.now + 1)

    def transfers(self, name: str) -> Transfers:
        return self.peers[name].core.transfers  # type: ignore[no-any-return]


__all__ = ["Client", "LargeWorld", "Way", "allocate"]
