"""Which driver runs a connection: one for brokers (MQTT), one for nodes (CoAP)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from fogsdk.device.driver import Driver
from fogsdk.device.url import BrokerUrl
from fogsdk.errors import ConfigError, not_installed

if TYPE_CHECKING:
    from fogsdk.device.coap_driver import CoapDriver


def driver_for(urls: Sequence[BrokerUrl]) -> type[Driver | CoapDriver]:
    """The driver for these URLs. Raises ConfigError for URLs of both kinds, and where CoAP is not installed."""
    if not any(url.coap for url in urls):
        return Driver
    if not all(url.coap for url in urls):
        raise ConfigError("the URLs are of brokers (mqtt) and of nodes (coap): give those of one kind")
    try:
        from fogsdk.device.coap_driver import CoapDriver  # asyncio and aiocoap, which few devices need
    except ImportError as error:
        raise not_installed("CoAP", "coap", error) from error
    return CoapDriver
