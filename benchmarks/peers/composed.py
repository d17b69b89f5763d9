"""The composed floor: what fogsdk's main job comes to with everything left out that makes it reliable.

A device and a node on a hand-written asyncio MQTT client at QoS 0, and two workers on pipes. All is pipelined: no
message waits for an answer, and what one reading of a socket brought leaves in one writing.
"""

from __future__ import annotations

import asyncio
import itertools
import os
import socket
from collections import deque
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

from benchmarks.harness.contender import AsyncContender
from benchmarks.harness.services import BROKER, Services
from benchmarks.harness.wire import Parse, frame, open_mqtt, publish_packet, take_frames, take_payloads
from benchmarks.harness.works import from_bytes, request
from benchmarks.peers.pipe import work_on

TASK, REPLY = "bench/task", "bench/reply"
WORKERS = 2


class Wire(asyncio.Protocol):
    """Messages over a socket; ``hear`` is given all that came together."""

    transport: asyncio.Transport

    def __init__(self, parse: Parse, hear: Callable[[list[bytes]], None]) -> None:
        self._parse, self._hear = parse, hear
        self._buffer = bytearray()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        if messages := self._parse(self._buffer):
            self._hear(messages)


async def attach(sock: socket.socket, parse: Parse, hear: Callable[[list[bytes]], None]) -> asyncio.Transport:
    """Listen to a socket."""
    _, wire = await asyncio.get_running_loop().create_connection(partial(Wire, parse, hear), sock=sock)
    return wire.transport


class Composed(AsyncContender):
    """The device. The first four bytes of a message are the number of its call."""

    def start(self, services: Services) -> None:
        self._futures: dict[bytes, tuple[str, asyncio.Future[Any]]] = {b"node": ("echo", self.loop.create_future())}
        self._numbers = itertools.count()
        self._out: list[bytes] = []
        sock = open_mqtt(services.broker, "device", REPLY)
        self._transport = self.loop.run_until_complete(attach(sock, take_payloads, self._hear))
        ready = self._futures[b"node"][1]
        services.python(__name__)
        self.loop.run_until_complete(ready)

    def submit(self, work: str, argument: Any) -> Awaitable[Any]:
        number = next(self._numbers).to_bytes(4, "big")
        future = self.loop.create_future()
        self._futures[number] = work, future
        if not self._out:
            self.loop.call_soon(self._flush)
        self._out.append(publish_packet(TASK, number + request(work, argument)))
        return future

    def _flush(self) -> None:
        self._transport.write(b"".join(self._out))
        self._out.clear()

    def _hear(self, messages: list[bytes]) -> None:
        for message in messages:
            work, future = self._futures.pop(message[:4])
            future.set_result(from_bytes(work, message[4:]))

    def stop(self) -> None:
        self._transport.abort()
        super().stop()


class Node:
    """Hands each task to the worker that has the fewest, and passes the results on."""

    async def serve(self, pipes: list[socket.socket]) -> None:
        """Serve until killed."""
        sock = open_mqtt(os.environ[BROKER], "node", TASK)
        self._mqtt = await attach(sock, take_payloads, self._tasks)
        self._given: list[deque[bytes]] = [deque() for _ in pipes]
        self._pipes = [
            await attach(pipe, take_frames, partial(self._results, given))
            for pipe, given in zip(pipes, self._given, strict=True)
        ]
        self._mqtt.write(publish_packet(REPLY, b"node"))
        await asyncio.get_running_loop().create_future()

    def _tasks(self, messages: list[bytes]) -> None:
        out: list[list[bytes]] = [[] for _ in self._pipes]
        for message in messages:
            worker = min(range(len(out)), key=lambda index: len(self._given[index]))
            self._given[worker].append(message[:4])
            out[worker].append(frame(message[4:]))
        for pipe, frames in zip(self._pipes, out, strict=True):
            if frames:
                pipe.write(b"".join(frames))

    def _results(self, given: deque[bytes], results: list[bytes]) -> None:
        self._mqtt.write(b"".join(publish_packet(REPLY, given.popleft() + result) for result in results))


def main() -> None:
    """Fork the workers, then be the node."""
    pipes = []
    for _ in range(WORKERS):
        ours, theirs = socket.socketpair()
        if not os.fork():
            ours.close()
            for other in pipes:
                other.close()
            work_on(theirs)
            os._exit(0)
        theirs.close()
        pipes.append(ours)
    asyncio.run(Node().serve(pipes))


if __name__ == "__main__":
    main()
