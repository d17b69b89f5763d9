"""Which brokers and nodes announce themselves by mDNS in this network (RFC 6762, RFC 6763)."""

from __future__ import annotations

import time
from dataclasses import dataclass

from fogsdk.device.discovery import find_brokers

NODE_TYPE = "_fognode._tcp.local."
SECONDS = 1.0


@dataclass(frozen=True)
class Announced:
    """What was found. ``nodes`` is None where nobody could look for them: ``problem`` says why."""

    brokers: list[str]
    nodes: list[str] | None = None
    problem: str = ""


def look() -> Announced:
    """Look around: for brokers as devices do, for nodes with zeroconf, where it is installed."""
    brokers = find_brokers()
    try:
        import zeroconf
    except ImportError:
        return Announced(brokers, problem='zeroconf is not installed: pip install "fogsdk[node]"')
    nodes: dict[str, None] = {}

    def noticed(name: str, **_rest: object) -> None:
        label, _, site = name.removesuffix(f".{NODE_TYPE}").rpartition("_")
        nodes[f"{label} of site {site}"] = None

    try:
        with zeroconf.Zeroconf() as mdns:
            zeroconf.ServiceBrowser(mdns, NODE_TYPE, handlers=[noticed])
            time.sleep(SECONDS)
    except OSError as error:
        return Announced(brokers, problem=f"no multicast here ({error})")
    return Announced(brokers, sorted(nodes))
