"""A daemon's life: brokers served and found, the node announced, signals, draining, the end.

``fognode``, ``fogcloud core`` and ``fogcloud bridge`` differ in their executor and in little else.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import psutil

from fogsdk import __version__
from fogsdk.core.commands import Note
from fogsdk.core.events import Measured
from fogsdk.core.identity import Identity
from fogsdk.device.brokers import MOST, may_log_in
from fogsdk.device.mqtt import check_files
from fogsdk.device.notes import NoteLog
from fogsdk.device.url import Credentials, parse
from fogsdk.errors import ConnectionFailed
from fogsdk.node import ending
from fogsdk.node.config import NodeSettings, SiteSettings
from fogsdk.node.door import Door
from fogsdk.node.doors import addresses
from fogsdk.node.executor import Executor
from fogsdk.node.runtime import Runtime

if TYPE_CHECKING:  # what not every node needs is loaded where it is used
    from fogsdk.node.broker import Broker
    from fogsdk.node.chaos import Agent
    from fogsdk.node.discovery import Discovery
    from fogsdk.node.journal import Journal
    from fogsdk.node.recorder import Recorder

log = logging.getLogger(__name__)

LOOK_FOR_BROKERS = 2.0
"""Seconds to find a broker of the site before this node serves one itself."""


def node_identity(
    settings: NodeSettings, workers: int, express: int = 0, ahead: float = 0.0, *, keeps: bool = False
) -> Identity:
    """What a node with an executor of its own is, from its settings; together ``workers`` and ``express`` are how many
    jobs that runs at once, and for ``ahead`` milliseconds each worker takes more. One that ``keeps`` has a journal.
    Which tasks it has, its executor offers."""
    return Identity(
        settings.node,
        settings.site,
        role=settings.role,
        incarnation=time.time_ns() // 1_000_000,
        workers=workers,
        express=express,
        ahead=ahead,
        addresses=(*settings.advertise, *addresses(settings)),
        queue_limit=settings.queue_limit,
        room=settings.room,
        inline=settings.inline_limit,
        task_timeout=int(settings.task_timeout * 1000),
        policy=settings.policy,
        keeps=keeps,
        chaos=settings.allow_chaos,
    )


def measure() -> Measured:
    """This machine's load now."""
    return Measured(psutil.cpu_percent(None) / 100, psutil.virtual_memory().percent / 100)


def credentials(settings: SiteSettings) -> Credentials:
    """The login at the brokers. Raises ConfigError for files that cannot be read."""
    files = [None if path is None else str(path) for path in (settings.ca, settings.cert, settings.key)]
    login = Credentials(settings.username, settings.read_password(), *files)
    check_files(login)
    return login


class Daemon:
    """One node from start to end. Make it and use it on one event loop."""

    def __init__(
        self,
        settings: SiteSettings,
        identity: Identity,
        executor: Executor,
        measure: Callable[[], Measured] = measure,
        *,
        journal: Journal | None = None,
        recorder: Recorder | None = None,
        doors: Sequence[Door] = (),
    ) -> None:
        self.settings = settings
        self._doors = doors
        self._chaos = self._chaos_agent(executor) if identity.chaos else None
        self._login = credentials(settings)
        self._notes = NoteLog(log)
        self.runtime = Runtime(
            identity,
            executor,
            self._login,
            measure,
            journal=journal,
            disturb=None if self._chaos is None else self._chaos.obey,
            recorder=recorder,
        )
        self._broker: Broker | None = None
        self._found = asyncio.Event()
        self._ending = asyncio.Event()
        self._signals = 0
        self._keeper: asyncio.Future[None] | None = None
        self._discovery = self._mdns(identity.role) if settings.mdns else None

    def _chaos_agent(self, executor: Executor) -> Agent:
        from fogsdk.node.chaos import Agent

        return Agent(executor, lambda: self._broker)

    def _mdns(self, role: str) -> Discovery:
        from fogsdk.node.discovery import Discovery

        return Discovery(
            self.settings.site,
            self.settings.node,
            role=role,
            version=__version__,
            brokers=self.settings.brokers,
            interfaces=self.settings.mdns_interfaces,
            addresses=self.settings.advertise,
            on_broker=self._on_broker,
        )

    async def serve(self) -> None:
        """Run until a signal says to end, then drain and leave."""
        with self._handle_signals():
            if not await self._opened():
                return
            async with self._started():
                try:
                    await self._ending.wait()
                finally:
                    if self._chaos is not None:
                        await self._chaos.undo()
                if self._signals < 2:
                    log.info("leaving: what runs has %g s to finish", self.settings.drain_timeout)
                    await self._drain()

    async def _opened(self) -> bool:
        """Open the runtime, unless a signal comes before: to import task modules may take long, or for ever."""
        opening = asyncio.ensure_future(self.runtime.open())
        ending = asyncio.ensure_future(self._ending.wait())
        try:
            await asyncio.wait({opening, ending}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            ending.cancel()
            opening.cancel()  # does nothing to what is done
            await asyncio.wait({opening})
        if not opening.cancelled():
            opening.result()
            return True
        log.info("leaving, before the node was there")
        return False

    async def _drain(self) -> None:
        again = asyncio.ensure_future(self._second_signal())
        leaving = asyncio.ensure_future(self.runtime.drain(self.settings.drain_timeout))
        await asyncio.wait({again, leaving}, return_when=asyncio.FIRST_COMPLETED)
        for task in (again, leaving):
            task.cancel()

    async def _second_signal(self) -> None:
        self._ending.clear()
        await self._ending.wait()
        log.warning("leaving at once")

    @contextlib.asynccontextmanager
    async def _started(self) -> AsyncIterator[None]:
        try:
            for door in self._doors:  # before anybody hears of the node, and so of its doors
                await self.runtime.open_door(door)
            for url in self.settings.brokers:
                self.runtime.add_broker(parse(url))
            await self._start_discovery()
            await self._serve_broker()
            if self.settings.broker == "auto" and not self.settings.brokers:
                self._keeper = asyncio.ensure_future(self._keep_one_served())
            count = len(self.runtime.identity.tasks)
            log.info("node %s of site %s: %d tasks", self.settings.node, self.settings.site, count)
            yield
        finally:
            if self._keeper is not None:
                self._keeper.cancel()
            await self.runtime.close()
            log.info("the node has left")
            if self._discovery is not None:
                await self._discovery.close()
            if self._broker is not None:
                await self._broker.stop()

    async def _start_discovery(self) -> None:
        if self._discovery is None:
            return
        await self._discovery.start()
        for door in self._doors:
            await self._discovery.announce_door(door.service, host=self.settings.host)

    # ------------------------------------------------------------ brokers

    async def _on_broker(self, url: str, added: bool) -> None:
        broker = parse(url)
        if added:
            known = str(broker) in self.runtime.brokers
            if not known and not may_log_in(broker, self._login, map(parse, self.settings.brokers)):
                self._notes.add(Note("announced", f"{url} is announced and has no TLS: it gets no login of this node"))
            elif len(self.runtime.brokers) < MOST:
                self.runtime.add_broker(broker)
                self._found.set()
        elif not self.runtime.brokers.get(str(broker), False) and url not in self.settings.brokers:
            await self.runtime.remove_broker(broker)

    async def _serve_broker(self) -> None:
        settings = self.settings
        if settings.broker == "none" or (settings.broker == "auto" and await self._one_is_there()):
            return
        from fogsdk.node.broker import Broker, PortTaken

        broker = Broker(
            settings.host,
            settings.broker_port,
            kind=settings.broker,
            config=settings.broker_config,
            insecure_lan=settings.insecure_lan,
            on_death=lambda why: log.error("the broker died and is started again: %s", why),
        )
        try:
            await broker.start()
        except PortTaken:
            if settings.broker != "auto":
                raise
            there = parse(broker.url)
            if str(there) not in self.runtime.brokers:
                log.info("port %d is taken: what serves there, %s, is to be the site's broker", broker.port, there)
                self.runtime.add_broker(there)
            return
        self._broker = broker
        log.info("serving a broker (%s) at %s port %d", broker.kind, settings.host, broker.port)
        self.runtime.add_broker(replace(parse(broker.url), local=broker.local))
        if self._discovery is not None:
            await self._discovery.announce_broker(broker.port, tls=broker.url.startswith("mqtts:"), host=broker.host)

    async def _keep_one_served(self) -> None:
        """The node that served the broker may be gone for good: then this one serves one."""
        missing_since: float | None = None
        while True:
            await asyncio.sleep(1.0)
            now = asyncio.get_running_loop().time()
            if any(self.runtime.brokers.values()) or self._broker is not None:
                missing_since = None
            elif missing_since is None:
                missing_since = now
            elif now - missing_since >= LOOK_FOR_BROKERS:
                self._found.clear()
                try:
                    await self._serve_broker()
                except ConnectionFailed as error:
                    self._notes.add(Note("no-broker", str(error)))

    async def _one_is_there(self) -> bool:
        if self.settings.brokers or self.settings.broker_config:
            return bool(self.settings.brokers)
        if not self.settings.mdns:
            return False
        try:
            await asyncio.wait_for(self._found.wait(), LOOK_FOR_BROKERS)
        except asyncio.TimeoutError:
            return False
        return True

    # ------------------------------------------------------------ signals

    @contextlib.contextmanager
    def _handle_signals(self) -> Iterator[None]:
        loop = asyncio.get_running_loop()
        numbers = ending.signals()
        for number in numbers:
            loop.add_signal_handler(number, self._signalled, number)
        try:
            yield
        finally:
            for number in numbers:
                loop.remove_signal_handler(number)

    def _signalled(self, number: signal.Signals) -> None:
        if self._signals and number.name == "SIGHUP":
            return  # a terminal that is closed may say so twice, and does not mean: at once
        self._signals += 1
        self._ending.set()
