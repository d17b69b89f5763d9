"""The nodes of a site as a device reaches them by CoAP: a link to each that is used.

It begins with the first of its URLs that answers. That node tells which others there are and where, and a link to one
of these is opened when there is something to send to it. A link that is lost is a node that is gone: its tasks go to
another at once. While no link is left, all addresses that are known are tried.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from fogsdk.core.commands import Note
from fogsdk.core.events import Event, LinkDown, LinkUp, NodeHeard, Replied
from fogsdk.device.coap_exchange import Exchange
from fogsdk.device.coap_link import CoapLink, Items
from fogsdk.device.notes import NoteLog
from fogsdk.device.url import BrokerUrl, parse
from fogsdk.errors import ConfigError, ConnectionFailed
from fogsdk.wire import codec
from fogsdk.wire.messages import Accepted, Birth, Gone, Malformed, Reply

log = logging.getLogger(__name__)

STAGGER = 0.3
"""Seconds that one node has to answer until the next is tried as well (RFC 8305)."""
FIRST_PAUSE, LONGEST_PAUSE = 0.1, 5.0
"""Seconds between two rounds of trying, doubled each time until a link has lasted."""
SETTLED = 1.0
"""Seconds after which a link counts as one that lasts."""
LAST_WORDS = 0.5
"""Seconds that ``close`` waits for what is still to be said."""
KEEPALIVE = 5.0
"""Seconds between two questions to a node whether it is there, while there is nothing else to say."""
WORD_EVERY = 0.2
"""Seconds between two signs of life of a node that the core is told of."""
_NOTHING = codec.encode([])  # it is to be acknowledged, as anything is


@dataclass
class _Node:
    """A node of the site, and where it may be reached. It is ``there`` as far as others say; ``reachable`` is what the
    core was told, and ``told`` when it last heard of it."""

    urls: list[BrokerUrl]
    birth: Birth
    there: bool = True
    reachable: bool = False
    link: CoapLink | None = None
    opening: asyncio.Task[None] | None = None
    queue: list[bytes] = field(default_factory=list)
    told: float = 0.0


class Nodes:
    """All that are known. Used on one event loop, but for ``errors``: why nothing came of a URL.

    ``login`` is the device's name and key; ``tell`` passes an event to the core, where a node's name is its link's;
    ``on_up`` is called when there is a link, and when there is none left.
    """

    def __init__(
        self,
        me: str,
        site: str,
        urls: Sequence[BrokerUrl],
        login: tuple[str, bytes] | None,
        tell: Callable[[Event], None],
        on_up: Callable[[bool], None],
    ) -> None:
        self.errors: dict[str, str] = {}
        self._me, self._site = me, site
        self._urls = list(urls)
        self._login = login
        self._tell = tell
        self._on_up = on_up
        self._nodes: dict[str, _Node] = {}
        self._notes = NoteLog(log)
        self._tasks: list[asyncio.Future[None]] = []
        self._closing: list[asyncio.Future[None]] = []
        self._unlinked = asyncio.Event()
        self._context: Any = None

    def start(self, context: Any) -> None:
        """Begin to look for nodes, with aiocoap's client."""
        self._context = context
        self._unlinked.set()
        self._tasks = [asyncio.ensure_future(each) for each in (self._stay_linked(), self._keep_alive())]

    def send(self, name: str, payload: bytes) -> None:
        """Send an encoded batch to a node, over a link that is opened for it where there is none."""
        node = self._nodes.get(name)
        if node is None:
            return
        if node.link is not None:
            node.link.send(payload)
            return
        node.queue.append(payload)
        self._begin_opening(name, node)

    async def close(self) -> None:
        """Say what is still to be said, and end every link."""
        opening = [node.opening for node in self._nodes.values() if node.opening is not None]
        links = [node.link for node in self._nodes.values() if node.link is not None]
        for task in (*self._tasks, *opening):
            task.cancel()
        if links:
            await asyncio.wait([asyncio.ensure_future(link.said.wait()) for link in links], timeout=LAST_WORDS)
        ending = [link.close() for link in links]
        await asyncio.gather(*self._tasks, *opening, *self._closing, *ending, return_exceptions=True)

    # ------------------------------------------------------------ links come

    async def _keep_alive(self) -> None:
        while True:
            await asyncio.sleep(KEEPALIVE)
            for name, node in self._nodes.items():
                if node.link is not None and node.link.said.is_set():
                    node.link.send(_NOTHING)
                elif node.there and node.link is None and not node.reachable:
                    self._begin_opening(name, node)

    async def _stay_linked(self) -> None:
        loop, pause = asyncio.get_running_loop(), FIRST_PAUSE
        while True:
            await self._unlinked.wait()
            known = [url for node in self._nodes.values() for url in node.urls]
            linked_at = loop.time()
            if await self._dial(list(dict.fromkeys([*self._urls, *known]))):
                linked_at = loop.time()
                await self._unlinked.wait()
            if loop.time() - linked_at > SETTLED:
                pause = FIRST_PAUSE
                continue
            await asyncio.sleep(pause * random.uniform(0.5, 1.0))
            pause = min(LONGEST_PAUSE, 2 * pause)

    async def _dial(self, urls: Sequence[BrokerUrl]) -> bool:
        """Link to the first that answers; the next is tried when one has failed, or not answered for a moment."""
        trying: set[asyncio.Task[bool]] = set()
        left = deque(urls)
        try:
            while left or trying:
                if left:
                    trying.add(asyncio.ensure_future(self._try(left.popleft())))
                done, trying = await asyncio.wait(
                    trying, timeout=STAGGER if left else None, return_when=asyncio.FIRST_COMPLETED
                )
                if any(task.result() for task in done):
                    return True
            return False
        finally:
            for task in trying:
                task.cancel()
            await asyncio.gather(*trying, return_exceptions=True)

    async def _try(self, url: BrokerUrl) -> bool:
        try:
            await self._open(url)
        except ConnectionFailed as problem:
            if self.errors.get(str(url)) != str(problem):
                log.info("cannot connect: %s", problem)
            self.errors[str(url)] = str(problem)
            return False
        return True

    def _begin_opening(self, name: str, node: _Node) -> None:
        if node.opening is None:
            node.opening = asyncio.ensure_future(self._open_node(name, node))

    async def _open_node(self, name: str, node: _Node) -> None:
        """Link to a node that others told of."""
        why = "it has no address for CoAP"
        try:
            for url in node.urls:
                try:
                    await self._open(url, name)
                except ConnectionFailed as problem:
                    why = str(problem)
                else:
                    return
            self._gone(name, why)
        finally:
            node.opening = None

    async def _open(self, url: BrokerUrl, expected: str = "") -> None:
        """Open a link. Raises ConnectionFailed."""
        name = expected
        lost: list[str] = []

        def on_down(why: str) -> None:
            lost.append(why)
            if name and self._nodes[name].link is link:
                self._lost(name, why)

        exchange = Exchange(self._context, url, lambda: self._alive(name))
        if self._login is not None:
            await exchange.log_in(*self._login)
        link = CoapLink(exchange, self._me, lambda items: self._take(name, items), on_down)
        items = await link.open(self._site)
        first = items[0] if items else {}
        birth, said = codec.read(first), first.get("node")
        if not isinstance(birth, Birth) or not isinstance(said, str) or expected not in ("", said) or lost:
            await link.close()
            raise ConnectionFailed(f"{url}: {lost[0] if lost else 'it is not the node that was looked for'}")
        name = said
        self._linked(name, url, link, birth)
        self._take(name, items[1:])

    def _linked(self, name: str, url: BrokerUrl, link: CoapLink, birth: Birth) -> None:
        node = self._nodes.setdefault(name, _Node([], birth))
        former, node.link, node.birth, node.there, node.reachable = node.link, link, birth, True, True
        node.urls = list(dict.fromkeys([url, *_addresses(birth)]))
        self._end(former)
        self._tell(LinkUp(name))
        self._tell(NodeHeard(name, name, birth))
        queue, node.queue = node.queue, []
        for payload in queue:
            link.send(payload)
        log.info("linked to %s at %s", name, url)
        self.errors.pop(str(url), None)
        self._unlinked.clear()
        self._on_up(True)

    # ------------------------------------------------------------ and go

    def _lost(self, name: str, why: str) -> None:
        node = self._nodes[name]
        link, node.link = node.link, None
        self._end(link)
        self._gone(name, why)
        self._tell(LinkDown(name))
        if not any(node.link for node in self._nodes.values()):
            self._on_up(False)
            self._unlinked.set()

    def _end(self, link: CoapLink | None) -> None:
        self._closing = [each for each in self._closing if not each.done()]
        if link is not None:
            self._closing.append(asyncio.ensure_future(link.close()))

    def _gone(self, name: str, why: str) -> None:
        log.info("%s cannot be reached: %s", name, why)
        node = self._nodes[name]
        node.queue.clear()
        node.reachable = False
        self._tell(NodeHeard(name, name, Gone(node.birth.incarnation)))

    # ------------------------------------------------------------ what comes in

    def _alive(self, name: str) -> None:
        """A node spoke. That it acknowledges the blocks of a large body is word of it too, and all that there is."""
        node, now = self._nodes.get(name), asyncio.get_running_loop().time()
        if node is not None and now - node.told > WORD_EVERY:
            node.told = now
            self._tell(Replied(name, Accepted("", name)))

    def _take(self, name: str, items: Items) -> None:
        for item in items:
            message = codec.read(item)
            if isinstance(message, (Birth, Gone)):
                self._introduced(name, item.get("node"), message)
            elif isinstance(message, Malformed):
                self._notes.add(Note("malformed", f"a message of {name} cannot be read: {message.message}"))
            elif isinstance(message, Reply):
                self._tell(Replied(name, message))

    def _introduced(self, by: str, name: object, message: Birth | Gone) -> None:
        """One node says that another is there, or is not. Of itself it knows best; one to which there is a link is
        asked whether it is still there."""
        node = self._nodes.get(name) if isinstance(name, str) else None
        if isinstance(message, Birth) and isinstance(name, str):
            self._born(by, name, message)
        elif node is None or not isinstance(name, str):
            return
        elif node.link is None:
            node.there = False
            self._gone(name, f"{by} says that it is gone")
        elif by == name:
            node.there = False
            self._lost(name, "it says that it is leaving")
        else:
            node.link.send(_NOTHING)

    def _born(self, by: str, name: str, birth: Birth) -> None:
        node = self._nodes.setdefault(name, _Node([], birth))
        node.urls = _addresses(birth) or node.urls
        node.there = True
        if (node.link is None or by == name) and node.urls:
            node.birth, node.reachable = birth, True
            self._tell(NodeHeard(name, name, birth))


def _addresses(birth: Birth) -> list[BrokerUrl]:
    """Where a node says that it can be reached by CoAP."""
    urls = []
    for address in birth.addresses:
        if address.startswith("coap://"):
            with contextlib.suppress(ConfigError):
                urls.append(parse(address))
    return urls
