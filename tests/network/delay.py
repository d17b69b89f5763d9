"""A TCP proxy that holds back what passes it: `python delay.py 10.0.0.1 1883 0.2` for 0.2 s in each direction.

It listens on the same port of all interfaces, and writes "ready" when it does. What it holds back keeps its order, and
as many bytes as come may be on the way at once: a long link, not a narrow one.
"""

from __future__ import annotations

import asyncio
import contextlib
import sys
from collections.abc import Callable

_CHUNK = 65536


class Proxy:
    """Carries connections to ``port`` of ``host``. ``there`` and ``back`` are the seconds for which it holds back what
    goes there and what comes back; both may be changed at any time."""

    def __init__(self, host: str, port: int, there: float = 0.0, back: float = 0.0) -> None:
        self.there, self.back = there, back
        self._target = host, port

    async def serve(self, host: str, port: int, ready: Callable[[], None]) -> None:
        """Listen until cancelled."""
        server = await asyncio.start_server(self._connected, host, port)
        ready()
        async with server:
            await server.serve_forever()

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            far_reader, far_writer = await asyncio.open_connection(*self._target)
        except OSError:
            writer.close()
            return
        there = _carry(reader, far_writer, lambda: self.there)
        await asyncio.gather(there, _carry(far_reader, writer, lambda: self.back))


async def _carry(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, seconds: Callable[[], float]) -> None:
    """Carry one direction of a connection to its end; an end without order is an end too."""
    clock = asyncio.get_running_loop().time
    under_way: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue()

    async def take_in() -> None:
        data = b"-"
        while data:
            try:
                data = await reader.read(_CHUNK)
            except ConnectionError:
                data = b""
            under_way.put_nowait((clock() + seconds(), data))

    taking_in = asyncio.ensure_future(take_in())
    with contextlib.suppress(ConnectionError):
        while True:
            due, data = await under_way.get()
            await asyncio.sleep(max(0.0, due - clock()))
            if not data:
                break
            writer.write(data)
            await writer.drain()
    taking_in.cancel()
    writer.close()


if __name__ == "__main__":
    target, at, held = sys.argv[1], int(sys.argv[2]), float(sys.argv[3])
    asyncio.run(Proxy(target, at, held, held).serve("0.0.0.0", at, lambda: print("ready", flush=True)))
