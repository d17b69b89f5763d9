"""This computer's addresses, as others see them. Nothing is sent to find them out."""

from __future__ import annotations

import ipaddress
import socket

ANYWHERE = "192.0.2.1"
"""An address for documentation (RFC 5737): it stands for whatever is not in this network."""


def own_address(towards: str = ANYWHERE) -> str:
    """The address that this computer would use ``towards`` another one; empty where there is no way to that."""
    family = socket.AF_INET6 if ":" in towards else socket.AF_INET
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.connect((towards, 9))
            address: str = probe.getsockname()[0]
    except OSError:
        return ""
    return address


def is_loopback(host: str) -> bool:
    """Whether this name or address is this computer for every computer."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")
