"""The broker for computers without mosquitto: amqtt, in a process of its own.

    python -m fogsdk.node.broker_embedded <host> <port>

amqtt 0.12 by itself lets pass what the fog relies on; here is what this file sets right:

* A client that falls silent is never given up, and its will never fires. Here: 5 s after its keepalive.
* A client that comes back under its id leaves its old connection open, whose will fires late, over the new
  birth. Here the old connection ends first, as MQTT 3.1.1 asks (MQTT-3.1.4-2).
* A new client is sent the retained messages of everybody's subscriptions. Here: of its own.
* Nothing limits a packet, nor what waits for a slow client. Here both have a limit.

What still differs from mosquitto: a message arrives with the QoS of the subscription, though published with
a lower one; it passes about 4,000 messages a second, not tens of thousands; and it knows no passwords, ACL
or TLS here, so that `fogsdk.node.broker` refuses to serve it where they are asked for. TCP_NODELAY is on,
as on every connection of asyncio. Like mosquitto as it is started here, it forgets everything when it ends.
"""

from __future__ import annotations

import asyncio
import logging
import sys

from amqtt.adapters import StreamReaderAdapter, StreamWriterAdapter
from amqtt.broker import Broker
from amqtt.session import Session

from fogsdk.wire.limits import MESSAGE_SIZE

PACKET_SIZE = MESSAGE_SIZE + 1024
"""Bytes in an MQTT packet: the largest payload, its topic and the header."""

_BACKLOG = 4 * PACKET_SIZE  # bytes that may wait for a client to read them
_GRACE = 5  # seconds past a client's keepalive; MQTT says half the keepalive, amqtt knows only a constant


class _Reader(StreamReaderAdapter):  # type: ignore[misc]
    """Ends the connection at a packet that is too large, and at the end of the keepalive."""

    _ended = False

    async def read(self, n: int = -1) -> bytes:
        if self._ended or n > PACKET_SIZE:
            self._ended = True
            raise ConnectionResetError
        try:
            return bytes(await super().read(n))
        except asyncio.CancelledError:  # amqtt stops waiting when the keepalive is over, and then waits again
            self._ended = True
            raise


class _Writer(StreamWriterAdapter):  # type: ignore[misc]
    """Gives up a client that reads too slowly; amqtt waits for it, while ever more tasks wait to write."""

    async def drain(self) -> None:
        transport = self._writer.transport
        if transport.get_write_buffer_size() > _BACKLOG:
            transport.abort()


class _Broker(Broker):  # type: ignore[misc]
    async def stream_connected(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, listener_name: str
    ) -> None:
        await self.external_connected(_Reader(reader), _Writer(writer), listener_name)

    async def _delete_session(self, client_id: str) -> None:
        handler = self._sessions.get(client_id, (None, None))[1]
        await super()._delete_session(client_id)
        if handler:
            await handler.handle_connection_closed()

    async def _publish_retained_messages_for_subscription(
        self, subscription: tuple[str, int], session: Session
    ) -> None:
        subscribers = self._subscriptions.get(subscription[0], [])
        if any(subscriber.client_id == session.client_id for subscriber, _ in subscribers):
            await super()._publish_retained_messages_for_subscription(subscription, session)


async def serve(host: str, port: int) -> None:
    """Serve on ``host``, ``port`` until cancelled."""
    broker = _Broker(
        {
            "listeners": {"default": {"type": "tcp", "bind": f"{host}:{port}"}},
            "timeout_disconnect_delay": _GRACE,
            # Not the default ones, which log every packet and publish statistics.
            "plugins": {"amqtt.plugins.authentication.AnonymousAuthPlugin": {"allow_anonymous": True}},
        }
    )
    await broker.start()
    await asyncio.Event().wait()


if __name__ == "__main__":
    logging.basicConfig(level=logging.ERROR, format="%(name)s: %(message)s")
    asyncio.run(serve(sys.argv[1], int(sys.argv[2])))
