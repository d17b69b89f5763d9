"""Lends one computer of a network the host name ``fog.local``, and passes it on when that one goes.

It is for what finds brokers by name alone: an iPhone, a browser, a microcontroller.
"""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import logging
from collections.abc import Iterable, Sequence

from zeroconf import (  # type: ignore[attr-defined]  # two of them are not in its __all__
    AddressResolverIPv4,
    DNSAddress,
    RecordUpdate,
    RecordUpdateListener,
    ServiceInfo,
    Zeroconf,
)
from zeroconf.asyncio import AsyncZeroconf

_log = logging.getLogger(__name__)

NAME = "fog.local."
TYPE = "_foghost._tcp.local."
"""zeroconf announces a host name only as part of a service."""
TTL = 60
"""Seconds until another one takes the name over from one that was killed."""

_ASK = 1000  # milliseconds that somebody who has the name has to say so
_PAUSE = 1.0  # seconds, so that no two talk to each other faster


class HostName(RecordUpdateListener):
    """Announces a host name as long as nobody else on the network does.

    Of two that have it, the one with the higher addresses keeps it (RFC 6762, section 8.2). Who does not
    have it takes it when it is given up, or when its holder has not announced it again for its time to
    live.
    """

    def __init__(self, zeroconf: AsyncZeroconf, label: str, addresses: Sequence[str], port: int) -> None:
        super().__init__()
        self._zeroconf = zeroconf
        self._name = NAME
        self._service = ServiceInfo(
            TYPE, f"{label}.{TYPE}", port, server=NAME, parsed_addresses=list(addresses), host_ttl=TTL
        )
        self._own = set(addresses)
        self._held = False
        self._changed = asyncio.Event()

    async def hold(self) -> None:
        """Announce it whenever that is due, until cancelled."""
        self._zeroconf.zeroconf.async_add_listener(self, None)
        while True:
            self._changed.clear()
            others = await self._others()
            if self._held and _packed(others) > _packed(self._own):
                await self._give_up()
            elif self._held or not others:
                await self._announce()
            await asyncio.sleep(_PAUSE)
            with contextlib.suppress(asyncio.TimeoutError):
                await asyncio.wait_for(self._changed.wait(), TTL / 2)

    async def _announce(self) -> None:
        if self._held:
            repeats = await self._zeroconf.async_update_service(self._service)
        else:
            repeats = await self._zeroconf.async_register_service(self._service, cooperating_responders=True)
            self._held = True
            _log.info("%s is this node's broker", self._name.rstrip("."))
        await repeats

    async def _give_up(self) -> None:
        self._held = False
        await (await self._zeroconf.async_unregister_service(self._service))
        # The goodbye takes the name out of the caches, the other's too: time for it to be announced again.
        await asyncio.sleep(TTL / 2)

    async def _others(self) -> set[str]:
        resolver = AddressResolverIPv4(self._name)
        await resolver.async_request(self._zeroconf.zeroconf, _ASK)
        return set(resolver.parsed_addresses()) - self._own

    def async_update_records(self, zc: Zeroconf, now: float, records: list[RecordUpdate]) -> None:  # noqa: ARG002
        """Wake up when somebody else announces the name, or it is taken back: zeroconf calls this."""
        for record in (update.new for update in records):
            if isinstance(record, DNSAddress) and record.key == self._name and self._concerns(record):
                self._changed.set()

    def _concerns(self, record: DNSAddress) -> bool:
        return record.ttl == 0 or str(ipaddress.ip_address(record.address)) not in self._own


def _packed(addresses: Iterable[str]) -> list[bytes]:
    return sorted((ipaddress.ip_address(address).packed for address in addresses), reverse=True)
