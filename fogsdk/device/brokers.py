"""Which brokers a device tries where nobody told it a URL: those of one site, as mDNS finds them."""

from __future__ import annotations

import os
from collections.abc import Sequence
from importlib.util import find_spec

from fogsdk.device.url import BrokerUrl, parse

MOST = 32
"""Brokers to try: who announces more of them wants to keep this device busy."""


def named(url: str | Sequence[str] | None) -> list[str]:
    """The URLs that somebody named: here, or where this is None in $FOG_URL, separated by commas."""
    if url is None:
        return [each for each in os.environ.get("FOG_URL", "").split(",") if each.strip()]
    return [url] if isinstance(url, str) else list(url)


def announced(site: str | None, tls: bool = False) -> list[str]:
    """The URLs of the brokers that mDNS finds, with ``tls`` of those alone that speak it. Without a ``site`` they are
    of "home", or else of the only one that there is; raises ConfigError where there are others, and several."""
    # Most devices are told a URL and never need it.
    from fogsdk.device.discovery import find_brokers, of_one_site

    found = [url for url in find_brokers(site=site) if url.startswith("mqtts:") or not tls]
    return of_one_site(found)[:MOST]


def announced_nodes(site: str | None) -> list[str]:
    """The URLs of the nodes that mDNS finds, likewise, where there is what it takes to speak CoAP."""
    from fogsdk.device.discovery import find_nodes, of_one_site

    return of_one_site(find_nodes(site=site))[:MOST] if find_spec("aiocoap") else []


def fallback(tls: bool) -> str:
    """The URL to try where nothing is found: one node of the network always has this name."""
    return f"{'mqtts' if tls else 'mqtt'}://fog.local"


def later(site: str, tls: bool) -> list[BrokerUrl]:
    """The brokers of a site that was settled before; ``tls`` as above: a password is not for whoever came since."""
    return [parse(url) for url in announced(site, tls)]


def others(site: str) -> str:
    """A sentence on what mDNS finds beside this site, for who did not name one; empty where there is nothing."""
    from fogsdk.device.discovery import find_brokers

    sites = {url.rpartition("/")[2] for url in find_brokers(0.5)} - {site}
    return f"Others are announced here ({', '.join(sorted(sites))}): name one (site=, --site).\n" if sites else ""
