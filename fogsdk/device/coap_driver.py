"""The SDK's thread where nodes are reached by CoAP: an event loop with the links to them, and the client core.

It has asyncio, which the rest of the device side does without, since aiocoap has; it is loaded for ``coap://`` alone.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import threading
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

from fogsdk.core.client import Client
from fogsdk.core.commands import Advanced, Command, Note, Send, Settled
from fogsdk.core.events import Event, LinkDown, NodeHeard, Replied, Tick
from fogsdk.core.outbox import Outbox
from fogsdk.device.clock import clock
from fogsdk.device.coap_exchange import client_context
from fogsdk.device.coap_nodes import Nodes
from fogsdk.device.coap_oscore import read_key
from fogsdk.device.future import IN_A_CALLBACK
from fogsdk.device.notes import NoteLog
from fogsdk.device.url import BrokerUrl, Credentials
from fogsdk.errors import ConfigError, FogError
from fogsdk.wire.limits import RECORD_SIZE
from fogsdk.wire.messages import Birth, Refused, Task

log = logging.getLogger(__name__)


class CoapDriver:
    """Runs a :class:`Client` core over CoAP. It is used as :class:`fogsdk.device.driver.Driver` is.

    Raises ConfigError for a key that cannot be one, or is used under another name than its own.
    """

    def __init__(
        self,
        client: Client,
        urls: Sequence[BrokerUrl],
        credentials: Credentials,
        on_settled: Callable[[Settled], None],
        on_advanced: Callable[[Advanced], None],
    ) -> None:
        login = _login(client.me, urls, credentials)
        self.up = threading.Event()
        self._client = client
        self._on_settled = on_settled
        self._on_advanced = on_advanced
        self._nodes = Nodes(client.me, client.site, urls, login, self.tell, self._on_up)
        self.errors = self._nodes.errors
        self._inbox: deque[Event] = deque()
        self._outbox = Outbox()
        self._notes = NoteLog(log)
        self._there: dict[str, Birth] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._awake = False
        self._ending = asyncio.Event()
        self._loop = asyncio.new_event_loop()
        self._loop.set_exception_handler(_log_exception)
        self._thread = threading.Thread(target=self._run, name="fogsdk-coap", daemon=True)

    # ------------------------------------------------------------ for any thread

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def tell(self, event: Event, _awaited: bool = False) -> None:
        """Pass an event to the core."""
        self._inbox.append(event)
        if not self._awake:
            self._awake = True
            with contextlib.suppress(RuntimeError):  # it is closed
                self._loop.call_soon_threadsafe(self._turn)

    def attend(self, _task: str, timeout: float | None) -> float | None:
        """All waiting is done by this driver's thread; returns the ``timeout``. Raises FogError in a callback
        without one."""
        if self.on_this_thread() and timeout is None:
            raise FogError(IN_A_CALLBACK)
        return timeout

    def nodes(self) -> dict[str, Birth]:
        """The nodes that are there, with what they said of themselves."""
        return dict(self._there)

    def on_this_thread(self) -> bool:
        """Whether the caller is the driver's own thread."""
        return threading.current_thread() is self._thread

    def close(self) -> None:
        """End the links and the thread; what is not settled stays so."""
        with contextlib.suppress(RuntimeError):  # it is closed
            self._loop.call_soon_threadsafe(self._ending.set)
        if self._thread.is_alive() and not self.on_this_thread():
            self._thread.join()

    # ------------------------------------------------------------ the core

    def _turn(self) -> None:
        self._awake = False
        while self._inbox:
            event = self._inbox.popleft()
            try:
                self._do(self._client.handle(event, clock()))
            except Exception:
                log.exception("a bug, on %s", type(event).__name__)
            if isinstance(event, (NodeHeard, LinkDown)):
                members = self._client.directory.members.values()
                self._there = {member.node: member.birth for member in members if member.present}
        for packet in self._outbox.pack():
            self._nodes.send(packet.link, packet.payload)
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._client.catch_up()
        deadline = self._client.deadline()
        if deadline is not None:
            self._timer = self._loop.call_later(max(0, deadline - clock()) / 1000, self.tell, Tick())

    def _do(self, commands: list[Command]) -> None:
        for command in commands:
            match command:
                case Send(link=name, message=Task() as task) if len(task.body) > RECORD_SIZE:
                    said = f"the arguments have {len(task.body)} bytes, the limit over CoAP is {RECORD_SIZE}"
                    self.tell(Replied(name, Refused(task.id, name, "too-large", f"{task.name}: {said}")))
                case Send():
                    self._outbox.add(command)
                case Settled():
                    self._on_settled(command)
                case Advanced():
                    self._on_advanced(command)
                case Note():
                    self._notes.add(command)

    # ------------------------------------------------------------ the thread

    def _on_up(self, up: bool) -> None:
        if up:
            self._turn()  # who waits for this is to find the node there
            self.up.set()
        else:
            self.up.clear()

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        try:
            self._loop.run_until_complete(self._live())
        except Exception:
            log.exception("a bug in the links over CoAP")
        finally:
            self.up.clear()
            _finish(self._loop)

    async def _live(self) -> None:
        context = await client_context()
        self._nodes.start(context)
        self._turn()
        await self._ending.wait()
        self._turn()
        await self._nodes.close()
        await context.shutdown()


def _login(me: str, urls: Sequence[BrokerUrl], credentials: Credentials) -> tuple[str, bytes] | None:
    """The device's name and key, None for plain requests."""
    given = next(((url.username, url.password) for url in urls if url.password), None)
    name, password = given or (credentials.username, credentials.password)
    if password is None:
        return None
    if name != me:
        raise ConfigError(f"a key belongs to a device: that of {name!r} is not for {me!r}")
    return me, read_key(password)


def _log_exception(_loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    log.debug("in the links over CoAP: %s %r", context.get("message"), context.get("exception"))


def _finish(loop: asyncio.AbstractEventLoop) -> None:
    """Close a loop, and whatever is still on it."""
    left = asyncio.all_tasks(loop)
    for task in left:
        task.cancel()
    loop.run_until_complete(asyncio.gather(*left, return_exceptions=True))
    loop.run_until_complete(loop.shutdown_asyncgens())
    loop.run_until_complete(loop.shutdown_default_executor())
    loop.close()
