"""A node's connection to one broker, kept up on the event loop for as long as the node wants it.

A link counts as down while its broker is silent, so that others are used and no node is blamed for the broker. The
connection itself is kept: a broker that was frozen, or a way that was interrupted, goes on with it.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Callable

from fogsdk.device.mqtt import MqttConnection
from fogsdk.device.url import BrokerUrl, Credentials
from fogsdk.errors import ConnectionFailed

log = logging.getLogger(__name__)

KEEPALIVE = 5
"""Seconds of the MQTT keepalive: short, so that the broker tells the site soon when this node's host is gone."""
FIRST_PAUSE, LONGEST_PAUSE = 0.1, 10.0
"""Seconds between two attempts to connect: doubled each time, and shortened by chance."""
SETTLED_AFTER = 10.0
"""Seconds after which a connection counts as one that lasts: two nodes of one name end each other's at once."""
LOGIN_TIMEOUT = 5.0
HOUSEKEEPING = 0.5
CONGESTED_FOR = 0.3
"""Seconds for which nothing has waited to leave until a link is full no more: the system holds some, too."""


class Link:
    """Connects, and connects again, to one broker.

    ``on_up``, ``on_down``, ``on_full(whether it is)`` and ``on_message(topic, payload)`` are called on the event loop;
    ``will()`` is asked before each attempt for the topic and payload of the will.
    """

    def __init__(
        self,
        broker: BrokerUrl,
        credentials: Credentials,
        client_id: str,
        *,
        will: Callable[[], tuple[str, bytes]],
        on_up: Callable[[], None],
        on_down: Callable[[], None],
        on_full: Callable[[bool], None],
        on_message: Callable[[str, bytes], None],
    ) -> None:
        self.name = str(broker)
        self.up = False
        self._accepted = False
        self._broker = broker
        self._credentials = credentials
        self._client_id = client_id
        self._will = will
        self._on_up = on_up
        self._on_down = on_down
        self._on_full = on_full
        self._on_message = on_message
        self._connection: MqttConnection | None = None
        self._ended: asyncio.Event = asyncio.Event()
        self._reason = ""
        self._fd: int | None = None
        self._writing = False
        self._free_since = 0.0
        self._full = False
        self._task: asyncio.Task[None] | None = None

    def open(self) -> None:
        """Begin to connect."""
        self._task = asyncio.get_running_loop().create_task(self._run())

    async def close(self) -> None:
        """Disconnect for good, without a will."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    def publish(self, topic: str, payload: bytes, retain: bool = False) -> None:
        """Queue a publish; nothing happens while the link is down."""
        if self._connection is not None and self.up:
            self._connection.publish(topic, payload, retain)

    def subscribe(self, topics: list[str]) -> None:
        """Queue subscriptions; nothing happens while the link is down."""
        if self._connection is not None and self.up:
            self._connection.subscribe(topics)
            self.flush()

    def unsubscribe(self, topic: str) -> None:
        """Queue the end of a subscription; nothing happens while the link is down."""
        if self._connection is not None and self.up:
            self._connection.unsubscribe(topic)
            self.flush()

    def reconnect(self) -> None:
        """Log in anew, with a new will; the old one is not sent."""
        if self._connection is not None:
            self._end("logging in anew")

    def flush(self) -> None:
        """Write what is queued, as far as the socket takes it; the rest follows when it can."""
        if self._connection is not None and self._fd is not None:
            self._connection.flush()
            self._listen_for_room()

    def _writable(self) -> None:
        if self._connection is not None:
            self._connection.writable()
            self._listen_for_room()

    def _listen_for_room(self) -> None:
        connection, fd = self._connection, self._fd
        if connection is None or fd is None or connection.wants_write == self._writing:
            return
        loop = asyncio.get_running_loop()
        self._writing = not self._writing
        if self._writing:
            loop.add_writer(fd, self._writable)
            self._set_full(True)
        else:
            loop.remove_writer(fd)
            self._free_since = loop.time()

    def _set_full(self, full: bool) -> None:
        if full != self._full:
            self._full = full
            self._on_full(full)

    # ------------------------------------------------------------ the connection's life

    async def _run(self) -> None:
        pause = FIRST_PAUSE
        failing = False
        while True:
            began = asyncio.get_running_loop().time()
            try:
                was_up, self._reason = await self._session()
            except Exception as error:  # whatever it is: a node without its broker is no node
                log.exception("a bug in the connection to %s", self.name)
                was_up, self._reason = False, str(error)
            if was_up:
                failing = False
                if asyncio.get_running_loop().time() - began > SETTLED_AFTER:
                    pause = FIRST_PAUSE
                log.warning("connection to %s lost: %s", self.name, self._reason)
            elif not failing:
                failing = True
                log.warning("cannot connect to %s: %s; trying on", self.name, self._reason)
            await asyncio.sleep(pause * random.uniform(0.5, 1.0))
            pause = min(LONGEST_PAUSE, pause * 2)

    async def _session(self) -> tuple[bool, str]:
        loop = asyncio.get_running_loop()
        self._ended = asyncio.Event()
        connection = MqttConnection(
            self._broker,
            self._credentials,
            self._client_id,
            keepalive=KEEPALIVE,
            will=self._will(),
            on_up=self._login_accepted,
            on_down=self._end,
            on_message=self._on_message,
            on_close=self._forget_socket,
        )
        opening = loop.run_in_executor(None, connection.open)
        try:
            await asyncio.shield(opening)
        except ConnectionFailed as error:
            return False, str(error).removeprefix(f"{self.name}: ")
        except asyncio.CancelledError:
            opening.add_done_callback(lambda _: connection.close())
            raise
        self._connection, self._fd = connection, connection.socket.fileno()
        loop.add_reader(self._fd, connection.readable)
        self.flush()
        try:
            return await self._serve(connection), self._reason
        finally:
            self._connection, self.up = None, False
            self._forget_socket()
            await loop.run_in_executor(None, connection.close)

    async def _serve(self, connection: MqttConnection) -> bool:
        login_by = asyncio.get_running_loop().time() + LOGIN_TIMEOUT
        self._accepted = False
        while not self._ended.is_set():
            try:
                await asyncio.wait_for(self._ended.wait(), min(HOUSEKEEPING, connection.watch()))
            except asyncio.TimeoutError:
                connection.housekeep()
                self._review(connection)
                self.flush()
            if not self._accepted and asyncio.get_running_loop().time() > login_by:
                self._end("the broker did not answer the login")
        self._go_down()
        return self._accepted

    def _login_accepted(self) -> None:
        log.info("connected to %s", self.name)
        self._accepted = True
        self._go_up()

    def _review(self, connection: MqttConnection) -> None:
        if self.up and connection.silent:
            log.warning("%s is silent", self.name)
            self._go_down()
        elif self._accepted and not self.up and not connection.silent:
            log.info("%s is there again", self.name)
            self._go_up()
        if not self._writing and asyncio.get_running_loop().time() - self._free_since >= CONGESTED_FOR:
            self._set_full(False)

    def _go_up(self) -> None:
        self.up = True
        self._on_up()

    def _go_down(self) -> None:
        was_up, self.up = self.up, False
        if was_up:
            self._on_down()

    def _end(self, reason: str) -> None:
        self._reason = reason
        self._ended.set()

    def _forget_socket(self) -> None:
        """Stop listening to the socket while it is still open: a selector that keeps the number of a closed one is deaf
        to the next that gets it."""
        fd, self._fd, self._writing = self._fd, None, False
        self._set_full(False)
        if fd is not None:
            loop = asyncio.get_running_loop()
            loop.remove_reader(fd)
            loop.remove_writer(fd)
