"""HTTP into a node, for browsers, ``curl``, and programs in every language. ``docs/protocol.md`` says what it speaks.

request -> guard -> routes -> Asked, by the runtime, to the core
answers of the core -> exchanges -> response, or events
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
import ssl
from collections.abc import Awaitable, Callable

from aiohttp import web

from fogsdk.core.commands import Send
from fogsdk.errors import ConfigError, TaskRefused, WireError
from fogsdk.node.config import NodeSettings
from fogsdk.node.door import Service
from fogsdk.node.door_exchange import Exchanges
from fogsdk.node.door_room import shared
from fogsdk.node.http_answers import details, error_problem, http_problem, problem
from fogsdk.node.http_files import BUNDLE, FileRoutes
from fogsdk.node.http_guard import Guard, read_tokens
from fogsdk.node.http_invite import InviteRoute
from fogsdk.node.http_requests import answer_type
from fogsdk.node.http_site import SiteRoutes
from fogsdk.node.http_tasks import TASKS, TaskRoutes
from fogsdk.node.http_writing import write
from fogsdk.node.runtime import Runtime, clock

log = logging.getLogger(__name__)

_protocol = logging.getLogger(f"{__name__}.protocol")
_protocol.setLevel(logging.CRITICAL)  # what strangers send that is no HTTP would fill the log

MOST_CONNECTIONS = 1024
"""Connections at once; from one address no more than it leaves to all others."""
LINGER = 2.0
"""Seconds for which a body that was refused is still taken off the network, so that the refusal is not lost."""
IDLE = 20.0
"""Seconds for the head of a request to come, and until a connection without one is closed."""
HANDSHAKE = 10.0
"""Seconds for the handshake of TLS."""
LEAVE_WITHIN = 1.0
"""Seconds that responses get when the node ends."""
MOST_HEADERS, LONGEST_HEADER = 64, 8 * 1024

_Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
_FULL = b"HTTP/1.1 503 Service Unavailable\r\nRetry-After: 1\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"
_KEPT = ("Allow", "Connection", "Retry-After")  # headers of the server's own refusals


class HttpDoor:
    """The way in by HTTP. Raises ConfigError for tokens that cannot be read."""

    name = "http"

    def __init__(self, settings: NodeSettings) -> None:
        self._settings = settings
        self.service = Service("_http._tcp", settings.http_port or 0, {"path": "/"})
        self._guard = Guard(read_tokens(settings.http_tokens), settings.advertise, settings.http_cors)
        self._tls = _tls(settings)
        self._exchanges: Exchanges | None = None
        self._site: SiteRoutes | None = None
        self._runner: web.AppRunner | None = None
        self._server: asyncio.Server | None = None
        self._securing: dict[asyncio.Future[None], str] = {}  # and where each comes from

    async def open(self, runtime: Runtime) -> None:
        """Listen. Raises ConfigError where that is not possible."""
        self._exchanges = Exchanges(self.name, runtime.node, runtime.tell)
        self._site = SiteRoutes(runtime.node, clock, self._guard)
        self._runner = web.AppRunner(
            self._app(runtime, self._exchanges, self._site),
            handler_cancellation=True,
            access_log=None,
            logger=_protocol,
            keepalive_timeout=IDLE,
            lingering_time=LINGER,
            max_line_size=LONGEST_HEADER,
            max_field_size=LONGEST_HEADER,
            max_headers=MOST_HEADERS,
            auto_decompress=False,
            shutdown_timeout=LEAVE_WITHIN,
        )
        await self._runner.setup()
        host, port = self._settings.host, self._settings.http_port
        try:
            self._server = await asyncio.get_running_loop().create_server(
                lambda: _Coming(self._receive), host, port, reuse_address=True
            )
        except OSError as error:
            await self._runner.cleanup()
            raise ConfigError(
                f"HTTP cannot be served at {host} port {port}: {error.strerror}; set another http_port"
            ) from error
        _notice_the_dead(self._server)
        log.info("serving HTTP at %s://%s:%s/", "https" if self._tls else "http", host, port)

    async def close(self) -> None:
        """Answer whoever waits that the node is leaving, and listen no more."""
        if self._server is not None:
            self._server.close()
        for handshake in self._securing:
            handshake.cancel()
        if self._exchanges is not None and self._site is not None:
            self._exchanges.close()
            self._site.close()
        if self._runner is not None:
            await self._runner.cleanup()

    def deliver(self, send: Send) -> None:
        """Pass an answer on to the request that waits for it."""
        if self._exchanges is not None:
            self._exchanges.deliver(send)

    def _receive(self, transport: asyncio.Transport) -> None:
        """Let a connection in, or turn it away where there are too many, or too many from where it comes."""
        assert self._runner is not None
        assert self._runner.server is not None
        server, address = self._runner.server, _address(transport)
        there = [*self._securing.values(), *(_address(each.transport) for each in server.connections)]
        if not shared(there.count(address), MOST_CONNECTIONS - len(there)):
            transport.write(_FULL)
            transport.close()
        elif self._tls is None:
            handler = server()
            transport.set_protocol(handler)
            handler.connection_made(transport)
        else:
            transport.pause_reading()  # what comes is for TLS to read
            self._secure(transport.get_extra_info("socket").dup(), address)
            transport.abort()  # this transport's hold on the connection; the other one goes on

    def _secure(self, sock: socket.socket, address: str) -> None:
        handshake = asyncio.ensure_future(self._handshake(sock))
        self._securing[handshake] = address
        handshake.add_done_callback(self._securing.pop)

    async def _handshake(self, sock: socket.socket) -> None:
        assert self._runner is not None
        assert self._runner.server is not None
        with contextlib.suppress(OSError):  # what is no TLS, or not in time
            await asyncio.get_running_loop().connect_accepted_socket(
                self._runner.server, sock, ssl=self._tls, ssl_handshake_timeout=HANDSHAKE
            )

    def _app(self, runtime: Runtime, exchanges: Exchanges, site: SiteRoutes) -> web.Application:
        app = web.Application(middlewares=[self._serve])
        app.on_response_prepare.append(self._add_headers)
        tasks, files = TaskRoutes(runtime.node, exchanges, self._guard), FileRoutes()
        invite = InviteRoute(self._settings, runtime)
        app.add_routes(
            [
                web.get(TASKS, site.tasks, allow_head=False),
                web.post(f"{TASKS}/{{name}}", tasks.run, expect_handler=_when_it_is_read),
                web.get(f"{TASKS}/{{name}}/{{id}}", tasks.look, allow_head=False),
                web.delete(f"{TASKS}/{{name}}/{{id}}", tasks.cancel),
                web.get("/fog/v1/nodes", site.nodes, allow_head=False),
                web.get("/fog/v1/invite", invite.invite, allow_head=False),
                web.get("/fog/v1/openapi.json", site.describe, allow_head=False),
                web.get("/fog/v1/phone", files.phone, allow_head=False),
                web.get(BUNDLE, files.bundle),
                web.get("/{path:(?!fog/).*}", files.page),
            ]
        )
        return app

    @web.middleware
    async def _serve(self, request: web.Request, handler: _Handler) -> web.StreamResponse:
        try:
            response = await self._answer(request, handler)
            if not response.prepared:
                await write(request, response)
        except ConnectionError:
            raise asyncio.CancelledError("the client is gone") from None
        return response

    async def _answer(self, request: web.Request, handler: _Handler) -> web.StreamResponse:
        kind = answer_type(request)
        try:
            self._guard.check(request)
            if request.method == "OPTIONS" and "Access-Control-Request-Method" in request.headers:
                return web.Response(status=204)
            return await handler(request)
        except (WireError, TaskRefused) as error:
            return problem(error_problem(error), kind)
        except web.HTTPException as error:
            kept = {name: error.headers[name] for name in _KEPT if name in error.headers}
            return problem(http_problem(error), kind, kept)
        except ConnectionError:
            raise
        except Exception:
            log.exception("a bug in the HTTP door, on %s %s", request.method, request.path)
            return problem(details("internal", "a bug of this node; its log has more", 500), kind)

    async def _add_headers(self, request: web.Request, response: web.StreamResponse) -> None:
        response.headers.update(self._guard.headers(request))
        response.headers["Server"] = "fogsdk"
        response.headers.setdefault("X-Content-Type-Options", "nosniff")
        response.headers.setdefault("Cache-Control", "no-store")


async def _when_it_is_read(request: web.Request) -> None:
    """``Expect: 100-continue`` is answered by who reads the body."""


class _Coming(asyncio.Protocol):
    """A connection before it is let in, as it counts from the start: asyncio's own server tells of one with TLS only
    once it is secured."""

    def __init__(self, receive: Callable[[asyncio.Transport], None]) -> None:
        self._receive = receive

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._receive(transport)


def _address(transport: asyncio.BaseTransport | None) -> str:
    """Where a connection comes from; empty for one that is gone already."""
    peer = transport.get_extra_info("peername") if transport is not None else None
    return str(peer[0]) if peer else ""


def _tls(settings: NodeSettings) -> ssl.SSLContext | None:
    if settings.http_cert is None or settings.http_key is None:
        return None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    try:
        context.load_cert_chain(settings.http_cert, settings.http_key)
    except OSError as error:
        raise ConfigError(
            f"http_cert {settings.http_cert} and http_key {settings.http_key} cannot be used: {error}"
        ) from error
    return context


def _notice_the_dead(server: asyncio.Server) -> None:
    """Have the system close connections whose other end went away without a word: a phone out of reach, with its task
    still waiting here. The connections take these options over from the sockets that listen."""
    wanted = {"TCP_KEEPIDLE": 15, "TCP_KEEPINTVL": 5, "TCP_KEEPCNT": 3}
    for listening in server.sockets:
        for name, value in wanted.items():
            with contextlib.suppress(AttributeError, OSError):
                listening.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)
