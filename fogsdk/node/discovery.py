"""Finds the site's brokers and nodes by mDNS, and lets them find this node (RFC 6762, RFC 6763).

A node is announced as a service ``_fognode._tcp``, a broker that it serves as ``_mqtt._tcp`` with its site,
and one node of a network that serves a broker lends it the host name ``fog.local``. Without multicast all
this is missing and nothing else: the brokers then have to be named in the configuration.

mDNS is for finding only. Whether a node lives is told by its beats; what a service says is believed as far as
the network is trusted.
"""

from __future__ import annotations

import asyncio
import hashlib
import ipaddress
import logging
import socket
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import psutil
from zeroconf import Error, ServiceInfo, ServiceStateChange, Zeroconf
from zeroconf.asyncio import AsyncServiceBrowser, AsyncServiceInfo, AsyncZeroconf

from fogsdk.device.addresses import is_loopback
from fogsdk.errors import WireError
from fogsdk.node import discovery_host
from fogsdk.node.door import Service
from fogsdk.wire.topics import check_id

_log = logging.getLogger(__name__)

NODE_TYPE = "_fognode._tcp.local."
BROKER_TYPE = "_mqtt._tcp.local."

_TTL = 1125  # seconds until who was killed is forgotten: the least that zeroconf accepts; usual are 4500
_ADDRESS_TTL = 120  # seconds that an address is good for (RFC 6762, section 10)
_LOOPBACK = "127.0.0.1"
_CHECK = 10.0  # seconds between looks at this computer's addresses
_RESOLVE = 3000  # milliseconds that a service has to say where it is
_TXT_LENGTH = 255  # bytes of a TXT entry, key included
_LABEL_LENGTH = 63  # bytes of one part of a name


@dataclass(frozen=True)
class Neighbour:
    """A node of the site that announced itself; ``port`` is 0 where it has no door but the broker."""

    id: str
    role: str
    version: str
    address: str
    port: int
    brokers: tuple[str, ...]


class _Served(NamedTuple):
    """A broker or a door that this node serves."""

    service: Service
    loopback: bool


class _Here(NamedTuple):
    """Where this computer is: the addresses of its interfaces, and those to announce."""

    interfaces: list[str]
    addresses: list[str]


class Discovery:
    """Announces a node, and tells of the brokers and nodes of its site.

    ``on_broker(url, added)`` and ``on_node(neighbour, added)`` are awaited one after the other, on the
    event loop: ``added`` is False when one is gone. The node's own are not told of. ``interfaces`` are IPv4
    addresses of this computer to use mDNS on, all by default; ``addresses`` are what is announced, by default
    those of these interfaces. ``brokers`` are URLs that others may try.
    """

    def __init__(
        self,
        site: str,
        node: str,
        *,
        role: str = "fog",
        version: str = "",
        port: int = 0,
        brokers: Sequence[str] = (),
        interfaces: Sequence[str] = (),
        addresses: Sequence[str] = (),
        on_broker: Callable[[str, bool], Awaitable[None]] | None = None,
        on_node: Callable[[Neighbour, bool], Awaitable[None]] | None = None,
    ) -> None:
        self._site, self._node = site, node
        self._label = _label(f"{node}_{site}")  # no id has a _ in it
        self._text = {
            "id": node,
            "site": site,
            "role": role,
            "version": version,
            "brokers": _fitting(brokers),
        }
        self._port = port
        self._served: list[_Served] = []
        self._interfaces, self._advertised = list(interfaces), list(filter(_is_address, addresses))
        self._here = _Here([], [])
        self._on_broker, self._on_node = on_broker, on_node
        self._zeroconf: AsyncZeroconf | None = None
        self._loopback: AsyncZeroconf | None = None
        self._browser: AsyncServiceBrowser | None = None
        self._announcing: list[asyncio.Future[None]] = []
        self._warned = False
        self._known: dict[str, str | Neighbour] = {}
        self._seen: set[str] = set()  # of these, since the sockets were opened
        self._resolving: dict[str, asyncio.Task[None]] = {}
        self._news: asyncio.Queue[tuple[str, str | Neighbour | None]] = asyncio.Queue()
        self._tasks: list[asyncio.Task[None]] = []

    async def start(self) -> None:
        """Announce the node and begin to look around. Without multicast: a warning, and it goes on trying."""
        await self._open()
        self._tasks = [asyncio.create_task(self._tell()), asyncio.create_task(self._tend())]

    async def announce_broker(self, port: int, *, tls: bool = False, host: str = "") -> None:
        """Announce a broker that this node serves, and give it the name ``fog.local`` if nobody has it.

        ``host`` is the address it listens on: one on the loopback is announced on this computer alone.
        """
        await self.announce_door(Service("_mqtt._tcp", port, {"tls": str(int(tls))}), host=host)

    async def announce_door(self, door: Service, *, host: str = "") -> None:
        """Announce another way into this node, likewise; it says which site and node it leads to."""
        served = _Served(door, is_loopback(host))
        self._served.append(served)
        if self._zeroconf:
            try:
                await self._announce_served(self._zeroconf, served)
            except (OSError, Error) as error:
                self._warn(error)

    async def close(self) -> None:
        """Say goodbye and stop."""
        await _cancel(self._tasks)
        await self._shut()

    async def _open(self) -> None:
        self._here = self._look()
        self._seen.clear()
        try:
            if not self._here.interfaces:
                raise OSError(self._why_none())
            self._zeroconf = AsyncZeroconf(interfaces=self._here.interfaces)
            await self._announce(self._zeroconf, self._service(NODE_TYPE, self._port, self._text))
            for served in self._served:
                await self._announce_served(self._zeroconf, served)
            types = [NODE_TYPE, BROKER_TYPE]
            self._browser = AsyncServiceBrowser(self._zeroconf.zeroconf, types, handlers=[self._noticed])
        except (OSError, RuntimeError, Error) as error:
            self._warn(error)
            await self._shut()

    def _why_none(self) -> str:
        if not self._interfaces:
            return "no network interface is up"
        return f"no network interface that is up has the address {' or '.join(self._interfaces)}"

    def _warn(self, error: Exception) -> None:
        level = logging.DEBUG if self._warned else logging.WARNING
        self._warned = True
        _log.log(
            level,
            "no multicast (%s): nodes and brokers cannot find each other; name the brokers instead",
            error,
        )

    async def _shut(self) -> None:
        await _cancel([*self._resolving.values(), *self._announcing])
        self._announcing.clear()
        if self._browser:
            await self._browser.async_cancel()
        for zeroconf in (self._zeroconf, self._loopback):
            if zeroconf:
                await zeroconf.async_close()
        self._zeroconf = self._loopback = self._browser = None

    def _look(self) -> _Here:
        present = [str(each.ip) for each in _own_interfaces()]
        interfaces = [each for each in present if not self._interfaces or each in self._interfaces]
        reachable = [each for each in interfaces if not ipaddress.ip_address(each).is_loopback]
        return _Here(interfaces, self._advertised or reachable or interfaces)

    async def _tend(self) -> None:
        """Begin anew when this computer's addresses change: another network, or none until now."""
        while True:
            await asyncio.sleep(_CHECK)
            for name in self._known.keys() - self._seen:  # not on this network
                self._news.put_nowait((name, None))
            if self._zeroconf is None or self._look() != self._here:
                await self._shut()
                await self._open()

    def _service(self, kind: str, port: int, text: dict[str, str], *, loopback: bool = False) -> ServiceInfo:
        return ServiceInfo(
            kind,
            f"{self._label}.{kind}",
            port,
            properties=text,
            # Not <host name>.local, which the system itself may have announced with other addresses.
            server=f"{'lo' if loopback else 'fog'}-{self._label}.local.",
            parsed_addresses=[_LOOPBACK] if loopback else self._here.addresses,
            host_ttl=_ADDRESS_TTL,
            other_ttl=_TTL,
        )

    async def _announce(self, zeroconf: AsyncZeroconf, service: ServiceInfo) -> None:
        # Ids are unique in a site, so there is no need to ask for a second whether the name is free.
        repeats = await zeroconf.async_register_service(service, cooperating_responders=True)
        self._announcing.append(asyncio.ensure_future(repeats))

    async def _announce_served(self, zeroconf: AsyncZeroconf, served: _Served) -> None:
        door = served.service
        text = {"site": self._site, "id": self._node, **door.text}
        service = self._service(f"{door.type}.local.", door.port, text, loopback=served.loopback)
        if served.loopback:
            self._loopback = zeroconf = self._loopback or AsyncZeroconf(interfaces=[_LOOPBACK])
        elif service.type == BROKER_TYPE:
            name = discovery_host.HostName(zeroconf, self._label, self._here.addresses, door.port)
            self._announcing.append(asyncio.create_task(name.hold()))
        await self._announce(zeroconf, service)

    def _noticed(self, zeroconf: Zeroconf, service_type: str, name: str, state_change: ServiceStateChange) -> None:
        if name.startswith(f"{self._label}."):
            return
        if earlier := self._resolving.pop(name, None):
            earlier.cancel()
        if state_change is ServiceStateChange.Removed:
            self._news.put_nowait((name, None))
        else:
            self._resolving[name] = asyncio.create_task(self._resolve(zeroconf, service_type, name))

    async def _resolve(self, zeroconf: Zeroconf, service_type: str, name: str) -> None:
        info = AsyncServiceInfo(service_type, name)
        if await info.async_request(zeroconf, _RESOLVE):
            self._seen.add(name)
            self._news.put_nowait((name, self._read(info)))
        self._resolving.pop(name, None)

    def _read(self, info: ServiceInfo) -> str | Neighbour | None:
        """What a service says it is: a broker's URL, a node, or None where it is not of this site."""
        text = {key: value or "" for key, value in info.decoded_properties.items()}
        address = _nearest(info.parsed_addresses())
        if text.get("site") != self._site or address is None:
            return None
        if info.type == BROKER_TYPE:
            scheme = "mqtts" if text.get("tls") == "1" else "mqtt"
            return f"{scheme}://{f'[{address}]' if ':' in address else address}:{info.port}"
        try:
            node = check_id(text.get("id"), "id")
        except WireError as error:
            _log.debug("%s announces no node: %s", info.name, error)
            return None
        brokers = tuple(filter(None, text.get("brokers", "").split(",")))
        return Neighbour(node, text.get("role", ""), text.get("version", ""), address, info.port or 0, brokers)

    async def _tell(self) -> None:
        while True:
            name, found = await self._news.get()
            known = self._known.pop(name, None)
            if found is not None:
                self._known[name] = found
            if found != known:
                for each, added in ((known, False), (found, True)):
                    await self._call(each, added)

    async def _call(self, found: str | Neighbour | None, added: bool) -> None:
        try:
            if isinstance(found, str) and self._on_broker:
                await self._on_broker(found, added)
            elif isinstance(found, Neighbour) and self._on_node:
                await self._on_node(found, added)
        except Exception:  # noqa: BLE001 - one bad message from the network must not end the looking
            _log.exception("what was found by mDNS could not be used: %s", found)


async def _cancel(tasks: Sequence[asyncio.Future[None]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


def _label(name: str) -> str:
    """Return ``name`` as one part of a DNS name; a name too long for that is shortened, and stays unique."""
    room = _LABEL_LENGTH - len("fog-")
    if len(name) <= room:
        return name
    digest = hashlib.sha256(name.encode()).hexdigest()[:8]
    return f"{name[: room - 9]}-{digest}"


def _fitting(urls: Sequence[str]) -> str:
    """As many of the URLs, comma-separated, as one TXT entry holds."""
    kept = ""
    for url in urls:
        longer = f"{kept},{url}" if kept else url
        if len(f"brokers={longer}".encode()) <= _TXT_LENGTH:
            kept = longer
    return kept


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:  # a host name: there is no announcing one as an address
        return False
    return True


def _own_interfaces() -> list[ipaddress.IPv4Interface]:
    """The IPv4 addresses of this computer, with their networks."""
    running = {name for name, state in psutil.net_if_stats().items() if state.isup}
    return [
        ipaddress.IPv4Interface(f"{each.address}/{each.netmask or 32}")
        for name, addresses in psutil.net_if_addrs().items()
        for each in addresses
        if each.family == socket.AF_INET and name in running
    ]


def _nearest(addresses: Sequence[str]) -> str | None:
    """Choose where to reach a computer: at an address in a network of this one, if it has such.

    An address that this computer has too is the other's only if all are: each has its own docker0 at
    172.17.0.1.
    """
    own = _own_interfaces()
    mine = {str(each.ip) for each in own}
    ipv4 = [address for address in addresses if ":" not in address]
    candidates = [address for address in ipv4 if address not in mine] or ipv4
    for address in candidates:
        if any(ipaddress.IPv4Address(address) in each.network for each in own):
            return address
    routed = [address for address in addresses if not ipaddress.ip_address(address).is_link_local]
    return next(iter([*candidates, *routed]), None)
