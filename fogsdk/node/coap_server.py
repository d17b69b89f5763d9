"""aiocoap's message layer, held within bounds and deaf to nonsense.

What aiocoap 0.4 does by itself, and this file sets right: it remembers every message for four minutes, however many
there are; it raises on some malformed datagrams; it logs what remote ones did wrong; and it does not say when a peer
has acknowledged what it was sent.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
import sys
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from typing import Any, Protocol

import aiocoap
from aiocoap import error
from aiocoap.messagemanager import MessageManager
from aiocoap.numbers.constants import TransportTuning
from aiocoap.tokenmanager import TokenManager

from fogsdk.errors import ConfigError

log = logging.getLogger(__name__)

MOST_RECENT = 8192
"""Requests that are remembered, with their answers, so that one that is sent twice is not acted on twice."""
MOST_EXCHANGES = 4096
"""Requests that are being answered at once, observations among them."""


class Prompt(TransportTuning):  # type: ignore[misc]
    """Confirmable messages to devices that wait: sent again sooner, and given up sooner (RFC 7252, section 4.8.1)."""

    ACK_TIMEOUT = 0.2
    MAX_RETRANSMIT = 4
    reliability = True


class Sure(TransportTuning):  # type: ignore[misc]
    """What must be acknowledged, or its receiver counts as gone."""

    reliability = True


class Casual(TransportTuning):  # type: ignore[misc]
    """What may be lost."""

    reliability = False


class Site(Protocol):
    """What answers requests."""

    async def render_to_pipe(self, pipe: Any) -> None:
        """Answer one request."""


class Messages(MessageManager):  # type: ignore[misc]
    """Remembers so many messages and no more, and tells when a peer owes no acknowledgement."""

    def __init__(self, tokens: TokenManager) -> None:
        super().__init__(tokens)
        self._recent_messages: OrderedDict[Any, Any] = OrderedDict()
        self._seen: OrderedDict[Any, float] = OrderedDict()
        self._waiting: dict[Any, list[asyncio.Future[None]]] = {}

    def _deduplicate_message(self, message: Any) -> bool:
        key, now = (message.remote, message.mid), self.loop.time()
        if key not in self._seen or now - self._seen[key] > _LIFETIME:
            self._forget(key)
            while self._seen and (len(self._seen) >= MOST_RECENT or now - next(iter(self._seen.values())) > _LIFETIME):
                self._forget(next(iter(self._seen)))
            self._seen[key] = now
            self._recent_messages[key] = None
            return False
        answer = self._recent_messages[key]
        if message.mtype is aiocoap.CON and answer is not None:
            self._send_initially(answer)
        return True

    def _forget(self, key: Any) -> None:
        self._seen.pop(key, None)
        self._recent_messages.pop(key, None)

    def _send_initially(self, message: Any, messageerror_monitor: Callable[[], None] | None = None) -> None:
        if self._active_exchanges is not None:
            super()._send_initially(message, messageerror_monitor)

    def _continue_backlog(self, remote: Any) -> None:
        super()._continue_backlog(remote)
        if remote not in self._backlogs:
            for waiter in self._waiting.pop(remote, ()):
                if not waiter.done():
                    waiter.set_result(None)

    async def acknowledged(self, remote: Any) -> None:
        """Wait until the peer has acknowledged all that it was sent. One that does not is given up by the observation
        itself, which ends then."""
        while remote in self._backlogs:
            waiter = self.loop.create_future()
            self._waiting.setdefault(remote, []).append(waiter)
            try:
                await waiter
            finally:
                with contextlib.suppress(KeyError, ValueError):
                    self._waiting[remote].remove(waiter)
                if not self._waiting.get(remote, True):
                    del self._waiting[remote]


_LIFETIME = TransportTuning().EXCHANGE_LIFETIME


class Tokens(TokenManager):  # type: ignore[misc]
    """Answers so many requests at once and no more."""

    def process_request(self, request: Any) -> None:
        """Begin to answer a request, or refuse to."""
        if len(self.incoming_requests) < MOST_EXCHANGES or (request.token, request.remote) in self.incoming_requests:
            super().process_request(request)
            return
        busy = aiocoap.Message(code=aiocoap.SERVICE_UNAVAILABLE, payload=b"too many requests at once", max_age=1)
        busy.token, busy.remote, busy.request = request.token, request.remote.as_response_address(), request
        self.token_interface.send_message(busy, lambda: None)


class Server(aiocoap.Context):  # type: ignore[misc]
    """A CoAP endpoint on one UDP port."""

    messages: Messages

    @classmethod
    async def listen(cls, site: Site, host: str, port: int) -> Server:
        """Listen. Raises ConfigError where that is not possible."""
        _check_free(host, port)
        server = cls(serversite=site, loggername=__name__ + ".aiocoap")
        server.log.setLevel(max(logging.ERROR, log.getEffectiveLevel()))
        tokens = Tokens(server)
        server.messages = Messages(tokens)
        try:
            server.messages.message_interface = await _interface(server, (host, port))
        except (OSError, error.Error, RuntimeError, ValueError) as problem:
            raise ConfigError(f"CoAP cannot be served at {host} port {port}: {problem}") from problem
        tokens.token_interface = server.messages
        server.request_interfaces.append(tokens)
        return server


def _interface(server: Server, address: tuple[str, int]) -> Awaitable[Any]:
    if sys.platform == "linux":
        return _udp6(server, address)
    from aiocoap.transports.simplesocketserver import MessageInterfaceSimpleServer

    return MessageInterfaceSimpleServer.create_server(address, server.messages, server.log, server.loop)


async def _udp6(server: Server, address: tuple[str, int]) -> Any:
    from aiocoap.transports.udp6 import MessageInterfaceUDP6

    class Interface(MessageInterfaceUDP6):  # type: ignore[misc]
        """Takes whatever comes."""

        def datagram_msg_received(self, data: bytes, ancdata: Any, flags: int, sender: Any) -> None:
            try:
                super().datagram_msg_received(data, ancdata, flags, sender)
            except Exception as problem:  # noqa: BLE001 - whatever it holds, it is one datagram of anybody's
                log.debug("a datagram of %d bytes could not be read: %r", len(data), problem)

    return await Interface.create_server_transport_endpoint(
        server.messages, log=server.log, loop=server.loop, bind=address, multicast=[]
    )


def _check_free(host: str, port: int) -> None:
    """aiocoap shares a port that is taken, and the system would give each some of the requests."""
    try:
        family, kind, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_DGRAM)[0]
        with socket.socket(family, kind) as probe:
            probe.bind(address)
    except OSError as problem:
        raise ConfigError(
            f"CoAP cannot be served at {host} port {port}: {problem}; set coap_port to one that is free"
        ) from problem
