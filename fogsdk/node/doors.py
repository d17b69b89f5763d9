"""Which doors a node opens, from its settings. Their libraries are loaded only where they are wanted."""

from __future__ import annotations

from fogsdk.device.addresses import own_address
from fogsdk.errors import not_installed
from fogsdk.node.config import NodeSettings
from fogsdk.node.door import Door


def doors(settings: NodeSettings) -> list[Door]:
    """The doors that these settings ask for. Raises ConfigError where a library for one is not installed."""
    wanted: list[Door] = []
    try:
        if settings.http_port is not None:
            from fogsdk.node.http_door import HttpDoor

            wanted.append(HttpDoor(settings))
        if settings.coap_port is not None:
            from fogsdk.node.coap_door import CoapDoor

            wanted.append(CoapDoor(settings))
    except ImportError as error:
        raise not_installed("a door (http_port, coap_port)", "doors", error) from error
    return wanted


def addresses(settings: NodeSettings) -> tuple[str, ...]:
    """The URLs of these doors, as a node's birth tells them to the site."""
    everywhere = settings.host in ("0.0.0.0", "::")
    host = next(iter(settings.advertise), "") or (own_address() if everywhere else settings.host)
    host = f"[{host}]" if ":" in host else host
    urls = []
    if host and settings.http_port is not None:
        urls.append(f"{'https' if settings.http_cert else 'http'}://{host}:{settings.http_port}/")
    if host and settings.coap_port is not None:
        urls.append(f"coap://{host}:{settings.coap_port}")
    return tuple(urls)
