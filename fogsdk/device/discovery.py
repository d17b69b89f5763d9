"""Finds the brokers of a site, or its nodes that serve CoAP, by one mDNS query (RFC 6762, RFC 6763).

It takes the standard library alone. The query leaves from a port of its own, so that the answers come to it alone and
no other mDNS program on this computer is in the way (RFC 6762, sections 5.1 and 6.7). Answers come from anybody in the
network: they are parsed as hostile, and believed only as far as the network is. On iOS an app needs Apple's leave to
send to a multicast address; where it has none, nothing is found, but the system itself resolves ``fog.local``.
"""

from __future__ import annotations

import ipaddress
import logging
import random
import socket
import struct
import time
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple, TypeAlias

from fogsdk.device.url import DEFAULT_SITE
from fogsdk.errors import ConfigError, WireError
from fogsdk.wire.topics import check_id

_log = logging.getLogger(__name__)

Name: TypeAlias = "tuple[bytes, ...]"

SERVICE: Name = (b"_mqtt", b"_tcp", b"local")
COAP: Name = (b"_coap", b"_udp", b"local")
A, PTR, TXT, AAAA, SRV = 1, 12, 16, 28, 33

_GROUP = ("224.0.0.251", 5353)
_IN = 1
_UNICAST = 0x8000  # in the class of a question: answer me alone
_GRACE = 0.15  # seconds that further brokers get when one has answered
_PACKET = 9000  # bytes (RFC 6762, section 17)
_NAME_LENGTH = 255  # bytes (RFC 1035, section 3.1)
_QUESTIONS = 30  # in one query: more would not fit
_RECORDS = 4096  # of all answers together: more than any network has, less than fills a small memory


class Server(NamedTuple):
    """Where a service is: what an SRV record says."""

    port: int
    host: Name


class Record(NamedTuple):
    """A DNS record: ``value`` is a name (PTR), a server (SRV), entries (TXT) or an address (A, AAAA)."""

    name: Name
    value: Name | Server | dict[str, str] | str


def find_brokers(timeout: float = 1.0, site: str | None = None, interface: str | None = None) -> list[str]:
    """Return the URLs of the brokers in this network, each with its site: ``mqtt://192.168.1.5:1883/home``.

    Waits up to ``timeout`` seconds for the first one and a moment for others; without a ``site`` for the first one of
    "home". An empty list means that none
    answered, or that there is no multicast here. With ``site``, only the brokers of that site are asked for.
    ``interface`` is the IPv4 address of this computer to ask on; by default that of the default route, and
    the loopback. Raises ConfigError for an ``interface`` that is no IPv4 address.
    """
    return _find(SERVICE, timeout, site, interface)


def of_one_site(urls: Sequence[str]) -> list[str]:
    """Those of the URLs that are of site "home", or else all of them. Raises ConfigError where they are of several
    sites: a task is not to run in one or the other, as it happens."""
    sites = sites_of(urls)
    if len(sites) < 2:
        return list(urls)
    if DEFAULT_SITE not in sites:
        names = ", ".join(sorted(sites))
        raise ConfigError(f"several sites are announced here ({names}): name one (site=, --site), or give its URL")
    return [url for url in urls if url.endswith(f"/{DEFAULT_SITE}")]


def sites_of(urls: Iterable[str]) -> set[str]:
    """The sites of URLs that were found."""
    return {url.rpartition("/")[2] for url in urls}


def find_nodes(timeout: float = 1.0, site: str | None = None, interface: str | None = None) -> list[str]:
    """Return the URLs of the nodes in this network that serve CoAP, likewise: ``coap://192.168.1.5:5683/home``."""
    return _find(COAP, timeout, site, interface)


def _find(service: Name, timeout: float, site: str | None, interface: str | None) -> list[str]:
    try:
        interfaces = [socket.inet_aton(each) for each in ([interface] if interface else ["0.0.0.0", "127.0.0.1"])]
    except OSError as error:
        raise ConfigError(f"interface must be an IPv4 address of this computer, not {interface!r}") from error
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        return _Search(sock, interfaces, site, service).run(timeout)


class _Search:
    """One search: what was heard until now, and what follows from it."""

    def __init__(self, sock: socket.socket, interfaces: list[bytes], site: str | None, service: Name) -> None:
        self._service = service
        self._socket = sock
        self._interfaces = interfaces
        self._site = site
        self._id = random.getrandbits(16)
        self._instances: dict[Name, None] = {}
        self._servers: dict[Name, Server] = {}
        self._texts: dict[Name, dict[str, str]] = {}
        self._addresses: dict[Name, dict[str, None]] = {}
        self._count = 0
        self._senders: set[str] = set()

    def run(self, timeout: float) -> list[str]:
        start = time.monotonic()
        deadline, again = start + timeout, start + timeout / 2
        asked: set[tuple[Name, int]] = set()
        while True:
            urls, missing = self._conclude()
            now = time.monotonic()
            if urls and self._may_be_all(urls):
                deadline = min(deadline, now + _GRACE)
            if now >= deadline:
                return urls
            if now >= again:  # a packet may have been lost
                asked.clear()
                again = deadline
            questions = [each for each in missing if each not in asked][:_QUESTIONS]
            asked.update(questions)
            if questions and not self._ask(questions):
                return urls
            self._listen(min(deadline, again) - now)

    def _may_be_all(self, urls: list[str]) -> bool:
        """Whether it is a moment's wait for others, or the whole time: for "home", which comes before all others."""
        return self._site is not None or DEFAULT_SITE in sites_of(urls)

    def _ask(self, questions: list[tuple[Name, int]]) -> bool:
        """Send a query on every interface; tells whether one let it pass."""
        packet = query(self._id, questions)
        sent = False
        for interface in self._interfaces:
            try:
                self._socket.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_TTL, 255)
                self._socket.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, interface)
                self._socket.sendto(packet, _GROUP)
                sent = True
            except OSError as error:
                _log.debug("no multicast on %s: %s", socket.inet_ntoa(interface), error)
        return sent

    def _listen(self, seconds: float) -> None:
        """Wait for one packet and note what it says."""
        self._socket.settimeout(max(seconds, 0.001))
        try:
            packet, (sender, port) = self._socket.recvfrom(_PACKET)
        except OSError:  # a timeout mostly
            return
        records = parse(packet, self._id) if port == _GROUP[1] else []
        if self._count + len(records) <= _RECORDS:
            self._count += len(records)
            self._senders.add(sender)
            for record in records:
                self._note(record)

    def _note(self, record: Record) -> None:
        match record.value:
            case Server() as server:
                self._servers[record.name] = server
            case tuple() as instance if record.name == self._service:
                self._instances[instance] = None
            case dict() as text:
                self._texts[record.name] = text
            case str() as address:
                self._addresses.setdefault(record.name, {})[address] = None

    def _conclude(self) -> tuple[list[str], list[tuple[Name, int]]]:
        """The URLs that are complete, and what has to be asked for to complete others."""
        urls: dict[str, None] = {}
        missing = [(self._service, PTR)]
        for instance in self._instances:
            server, text = self._servers.get(instance), self._texts.get(instance)
            if server is None or text is None:
                missing += [(instance, SRV), (instance, TXT)]
            elif self._is_wanted(text):
                addresses = self._addresses.get(server.host)
                if addresses is None:
                    missing += [(server.host, A), (server.host, AAAA)]
                elif address := self._choose(list(addresses)):
                    host = f"[{address}]" if ":" in address else address
                    scheme = "coap" if self._service == COAP else "mqtts" if text.get("tls") == "1" else "mqtt"
                    urls[f"{scheme}://{host}:{server.port}/{text['site']}"] = None
        return list(urls), missing

    def _is_wanted(self, text: dict[str, str]) -> bool:
        """Whether it is a broker of the fog, and of the site that is looked for."""
        try:
            return check_id(text.get("site"), "site") == (self._site or text["site"])
        except WireError:
            return False

    def _choose(self, addresses: list[str]) -> str | None:
        """The address that an answer came from is one that is reached from here; others may not be."""
        usable = [each for each in addresses if ":" not in each or not ipaddress.ip_address(each).is_link_local]
        ranked = sorted(usable, key=lambda each: (each not in self._senders, ":" in each))
        return ranked[0] if ranked else None


def query(identifier: int, questions: list[tuple[Name, int]]) -> bytes:
    """Return the packet that asks ``questions``, each a name and a type, to be answered alone."""
    packet = struct.pack("!6H", identifier, 0, len(questions), 0, 0, 0)
    for name, kind in questions:
        labels = b"".join(bytes([len(label)]) + label for label in name)
        packet += labels + struct.pack("!BHH", 0, kind, _UNICAST | _IN)
    return packet


def parse(packet: bytes, identifier: int) -> list[Record]:
    """Return the records of an answer to the query ``identifier``, as far as they are of use here.

    Whatever ``packet`` is, nothing is raised: a malformed one has no records. Names are in lower case.
    """
    try:
        return list(_records(packet, identifier))
    except (IndexError, ValueError, struct.error) as error:
        _log.debug("an mDNS packet is malformed: %s", error)
        return []


def _records(packet: bytes, identifier: int) -> Iterator[Record]:
    answered, flags, questions, *counts = struct.unpack_from("!6H", packet)
    if answered != identifier or not flags & 0x8000:
        return
    at = 12
    for _ in range(questions):
        at = _name(packet, at)[1] + 4
    for _ in range(sum(counts)):
        name, at = _name(packet, at)
        kind, space, ttl, length = struct.unpack_from("!HHIH", packet, at)
        at += 10
        if at + length > len(packet):
            raise ValueError("a record is cut off")
        if space & 0x7FFF == _IN and ttl:  # a time to live of 0 takes it back
            value = _value(packet, kind, at, at + length)
            if value is not None:
                yield Record(name, value)
        at += length


def _value(packet: bytes, kind: int, at: int, end: int) -> Name | Server | dict[str, str] | str | None:
    if kind == PTR:
        return _name(packet, at)[0]
    if kind == SRV:
        _, _, port = struct.unpack_from("!3H", packet, at)
        return Server(port, _name(packet, at + 6)[0])
    if kind == TXT:
        return _text(packet[at:end])
    if kind == A:
        return socket.inet_ntop(socket.AF_INET, packet[at:end])
    if kind == AAAA:
        return socket.inet_ntop(socket.AF_INET6, packet[at:end])
    return None


def _text(data: bytes) -> dict[str, str]:
    """The ``key=value`` entries; of two with one key the first counts (RFC 6763, section 6.4)."""
    entries: dict[str, str] = {}
    while data:
        end = 1 + data[0]
        key, _, value = data[1:end].decode(errors="replace").partition("=")
        entries.setdefault(key.lower(), value)
        data = data[end:]
    return entries


def _name(packet: bytes, at: int) -> tuple[Name, int]:
    """Read a name; returns it and where the next field begins."""
    labels: list[bytes] = []
    length = 0
    after = 0
    earliest = at
    while size := packet[at]:
        jumps = size >= 0xC0
        length += 1 if jumps else 1 + size
        if length > _NAME_LENGTH:  # jumps count, lest a small packet takes long to read
            raise ValueError("a name is too long")
        if jumps:  # it goes on elsewhere; only ever further to the front, so that it has an end
            target = (size & 0x3F) << 8 | packet[at + 1]
            if target >= earliest:
                raise ValueError("a name runs in circles")
            after = after or at + 2
            at = earliest = target
        else:
            label = packet[at + 1 : at + 1 + size]
            if size > 63 or len(label) < size:
                raise ValueError("a name is cut off")
            labels.append(label.lower())
            at += 1 + size
    return tuple(labels), after or at + 1
