"""Which doors a node opens, from its settings. Their libraries are loaded only where they are wanted."""

from __future__ import annotations

from fogsdk.errors import ConfigError
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
        raise ConfigError(f"this needs more than is installed: pip install 'fogsdk[doors]' ({error})") from error
    return wanted
