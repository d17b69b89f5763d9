"""Which brokers a device tries where nobody told it a URL: those of one site, as mDNS finds them."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from importlib.util import find_spec

from fogsdk.device.url import BrokerUrl, Credentials, parse

MOST = 32
"""Brokers to try: who announces more of them wants to keep others busy."""


def named(url: str | Sequence[str] | None) -> list[str]:
    """The URLs that somebody named: here, or where this is None in $FOG_URL, separated by commas."""
    if url is None:
        return [each for each in os.environ.get("FOG_URL", "").split(",") if each.strip()]
    return [url] if isinstance(url, str) else list(url)


def announced(site: str | None, login: Credentials) -> list[str]:
    """The URLs of the brokers that mDNS finds and this login may go to: with certificates to none without TLS, with a
    password to none beside one with TLS. Without a ``site`` they are of "home", or else of the only one that there is;
    raises ConfigError where there are others, and several."""
    # Most devices are told a URL and never need it.
    from fogsdk.device.discovery import find_brokers, of_one_site

    found = find_brokers(site=site)
    found = of_one_site(_with_tls(found) if _has_certificates(login) else found)[:MOST]
    return found if login.password is None else _with_tls(found) or found


def announced_nodes(site: str | None, login: Credentials) -> list[str]:
    """The URLs of the nodes that mDNS finds, likewise, where there is what it takes to speak CoAP, which has no TLS."""
    if _has_certificates(login) or not find_spec("aiocoap"):
        return []
    from fogsdk.device.discovery import find_nodes, of_one_site

    return of_one_site(find_nodes(site=site))[:MOST]


def fallback(login: Credentials) -> str:
    """The URL to try where nothing is found: one node of the network always has this name."""
    return f"{'mqtts' if _has_certificates(login) else 'mqtt'}://fog.local"


def later(site: str, login: Credentials, first: Sequence[BrokerUrl]) -> list[BrokerUrl]:
    """The brokers of a site that are announced when those found ``first`` do not answer."""
    return [broker for broker in map(parse, announced(site, login)) if may_log_in(broker, login, first)]


def may_log_in(broker: BrokerUrl, login: Credentials, beside: Iterable[BrokerUrl]) -> bool:
    """Whether a broker that is announced may be given a login. Anybody can announce one: where it has no TLS, it gets
    no password that TLS keeps at those ``beside`` it, and who has certificates does not go there."""
    guarded = login.password is not None and any(each.tls for each in beside)
    return broker.tls or not (guarded or _has_certificates(login))


def _has_certificates(login: Credentials) -> bool:
    return bool(login.ca or login.cert)


def _with_tls(urls: list[str]) -> list[str]:
    return [url for url in urls if url.startswith("mqtts:")]


def others(site: str) -> str:
    """A sentence on what mDNS finds beside this site, for who did not name one; empty where there is nothing."""
    from fogsdk.device.discovery import find_brokers, sites_of

    sites = sites_of(find_brokers(0.5)) - {site}
    return f"Others are announced here ({', '.join(sorted(sites))}): name one (site=, --site).\n" if sites else ""
