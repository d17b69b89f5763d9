"""What a door is: a way into a node for senders that use no broker (CoAP, HTTP).

A door turns requests into ``Asked`` events, with its own name as their link, and gets the answers of the core to these.
Ids, deadlines, dedupe and refusals so mean the same as over MQTT: the core does not know one from the other.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from fogsdk.core.commands import Send

if TYPE_CHECKING:
    from fogsdk.node.runtime import Runtime


@dataclass(frozen=True)
class Service:
    """What mDNS announces a door as (RFC 6763): a ``type`` like ``_http._tcp``, and entries of its TXT record."""

    type: str
    port: int
    text: Mapping[str, str] = field(default_factory=dict)


class Door(Protocol):
    """One way in. It is used on the event loop of its runtime alone."""

    name: str
    """The link of what is asked through it; no broker's URL."""
    service: Service

    async def open(self, runtime: Runtime) -> None:
        """Listen. Raises ConfigError, with what to do about it, where that is not possible."""

    async def close(self) -> None:
        """End every exchange, and listen no more."""

    def deliver(self, send: Send) -> None:
        """Pass an answer on to the sender that ``send.topic`` names; one who is not there asks again."""
