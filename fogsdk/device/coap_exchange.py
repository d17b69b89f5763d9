"""Requests to one CoAP node (RFC 7252), with bodies of any size (RFC 7959), in plain text or OSCORE (RFC 8613)."""

from __future__ import annotations

import asyncio
import errno
import logging
import sys
from collections.abc import Callable
from typing import Any

import aiocoap
from aiocoap import error, oscore
from aiocoap.message import UndecidedRemote
from aiocoap.numbers.constants import TransportTuning
from aiocoap.transports.oscore import OSCOREAddress

from fogsdk.device.coap_oscore import device_context
from fogsdk.device.url import BrokerUrl
from fogsdk.errors import ConnectionFailed
from fogsdk.wire.cbor import read_message
from fogsdk.wire.limits import DEPTH

BLOCK = 1024
"""Bytes in a block."""
ANSWER_WITHIN = 5.0
"""Seconds for an answer once the node has acknowledged the question."""
_EXPONENT = 6  # that of BLOCK
_MESSAGE_DEPTH = DEPTH + 4  # a batch, a message, its args


class Prompt(TransportTuning):  # type: ignore[misc]
    """A node that does not acknowledge is given up after 1.5 to 2.3 s. The usual minute and a half is for networks of
    which nothing is known (RFC 7252, section 4.8.1)."""

    ACK_TIMEOUT = 0.1
    MAX_RETRANSMIT = 3
    reliability = True


class Unwilling(ConnectionFailed):
    """The node answered, and would not: ``code`` is that of its response."""

    def __init__(self, code: Any, text: str) -> None:
        super().__init__(text)
        self.code = code


async def client_context() -> Any:
    """A CoAP client of its own port, on the running loop."""
    log = logging.getLogger(__name__ + ".aiocoap")
    log.setLevel(max(logging.ERROR, logging.getLogger(__name__).getEffectiveLevel()))
    datagrams = "udp6" if sys.platform == "linux" else "simple6"
    return await aiocoap.Context.create_client_context(loggername=log.name, transports=["oscore", datagrams])


class Exchange:
    """What goes to one node and comes from there. ``on_word`` is called with every sign of life."""

    def __init__(self, context: Any, url: BrokerUrl, on_word: Callable[[], None]) -> None:
        self.url = url
        self._context = context
        self._on_word = on_word
        host = f"[{url.host}]" if ":" in url.host else url.host
        self._remote: Any = UndecidedRemote("coap", f"{host}:{url.port}")

    async def log_in(self, device: str, key: bytes) -> None:
        """From now on, encrypt. Raises ConnectionFailed where the node takes no keys."""
        said = read_message(await self.get(("fog", "v1", "oscore")), _MESSAGE_DEPTH)
        epoch = said.get("epoch") if isinstance(said, dict) else None
        if not isinstance(epoch, bytes):
            raise ConnectionFailed(f"{self.url}: what it says of its keys cannot be read")
        self._remote = OSCOREAddress(device_context(device, key, epoch), self._remote)

    def observe(self, path: tuple[str, ...], query: tuple[str, ...]) -> Any:
        """Begin to observe; returns aiocoap's request."""
        message = aiocoap.Message(code=aiocoap.GET, uri_path=path, uri_query=query, observe=0)
        return self._begin(message)

    async def first(self, request: Any) -> Any:
        """The first response to a request. Raises ConnectionFailed."""
        try:
            response = await asyncio.wait_for(request.response, ANSWER_WITHIN)
        except (error.Error, OSError, ValueError, asyncio.TimeoutError) as problem:
            raise ConnectionFailed(f"{self.url}: {_described(problem)}") from problem
        self._remote = response.remote
        self._on_word()
        if not response.code.is_successful():
            text = bytes(response.payload).decode(errors="replace") or str(response.code)
            raise Unwilling(response.code, f"{self.url}: {text}")
        return response

    def _begin(self, message: Any) -> Any:
        message.transport_tuning = Prompt()
        message.remote = self._remote
        return self._context.request(message, handle_blockwise=False)

    async def _ask(self, code: Any, path: tuple[str, ...], payload: bytes = b"", **options: Any) -> Any:
        message = aiocoap.Message(code=code, uri_path=path, payload=payload, **options)
        return await self.first(self._begin(message))

    async def post(self, path: tuple[str, ...], payload: bytes) -> None:
        """Send a body. Raises ConnectionFailed."""
        if len(payload) <= BLOCK:
            await self._ask(aiocoap.POST, path, payload, content_format=60)
            return
        for number, start in enumerate(range(0, len(payload), BLOCK)):
            more = start + BLOCK < len(payload)
            size = {"size1": len(payload)} if number == 0 else {}
            block = {"block1": (number, more, _EXPONENT), **size}
            response = await self._ask(aiocoap.POST, path, payload[start : start + BLOCK], content_format=60, **block)
            if response.opt.block1 is None or response.opt.block1.size_exponent != _EXPONENT:
                raise ConnectionFailed(f"{self.url}: it does not take blocks of {BLOCK} bytes")

    async def get(self, path: tuple[str, ...]) -> bytes:
        """Fetch a body. Raises ConnectionFailed."""
        data, tag = bytearray(), None
        while True:
            number = len(data) // BLOCK
            response = await self._ask(aiocoap.GET, path, block2=(number, False, _EXPONENT))
            block = response.opt.block2
            if number and response.opt.etag != tag:
                data, tag = bytearray(), None  # it is another by now
                continue
            if block is not None and (block.start != len(data) or (block.more and len(response.payload) != BLOCK)):
                raise ConnectionFailed(f"{self.url}: its blocks do not fit together")
            data += response.payload
            tag = response.opt.etag
            if block is None or not block.more:
                return bytes(data)

    def leave(self, path: tuple[str, ...]) -> None:
        """Send word that what is there is needed no longer, and wait for no answer."""
        message = aiocoap.Message(code=aiocoap.DELETE, uri_path=path)
        request = self._begin(message)
        request.response.add_done_callback(lambda future: future.cancelled() or future.exception())


def _described(problem: BaseException) -> str:
    if isinstance(problem, error.ResolutionError):
        return "no such host name"
    cause = problem.__cause__ or problem
    if isinstance(cause, OSError) and cause.errno == errno.ECONNREFUSED:
        return "nothing listens there (connection refused)"
    if isinstance(problem, (asyncio.TimeoutError, error.TimeoutError)):
        return "no answer (timed out)"
    if isinstance(problem, oscore.NotAProtectedMessage):
        text = bytes(problem.plain_message.payload).decode(errors="replace")
        return f"it answers in plain text: {text or problem.plain_message.code}"
    return str(cause) or type(cause).__name__
