"""Where a fog is reached: ``mqtt://[user[:password]@]host[:port][/site]``, ``mqtts://`` for TLS, or ``coap://`` for a
node that serves CoAP, where the password is the device's key."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from socket import socket
from urllib.parse import quote, unquote, urlsplit

from fogsdk.errors import ConfigError, WireError
from fogsdk.wire.topics import check_id

PORTS = {"mqtt": 1883, "mqtts": 8883, "coap": 5683}
DEFAULT_SITE = "home"

Local = Callable[[], socket | None]
"""Connects this program to a broker on its computer past TCP, which is quicker; None where that is no way."""


@dataclass(frozen=True)
class BrokerUrl:
    """One broker, or with ``coap`` one node, and how to log in to it. ``site`` is empty where the URL names none.
    ``local`` is another way to the same broker, which is tried first."""

    host: str
    port: int
    tls: bool = False
    username: str | None = None
    password: str | None = field(default=None, repr=False)
    site: str = ""
    coap: bool = False
    local: Local | None = field(default=None, repr=False, compare=False)

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{'coap' if self.coap else 'mqtts' if self.tls else 'mqtt'}://{host}:{self.port}"

    def whole(self, site: str) -> str:
        """The URL with the login and a site: all that ``connect`` needs."""
        scheme, _, place = str(self).partition("://")
        login = ""
        if self.username is not None:
            word = "" if self.password is None else f":{quote(self.password, safe='')}"
            login = f"{quote(self.username, safe='')}{word}@"
        return f"{scheme}://{login}{place.removesuffix(f':{PORTS[scheme]}')}/{site}"


@dataclass(frozen=True)
class Credentials:
    """What a login to a broker takes beside its URL: files in PEM form for TLS, and a name and password."""

    username: str | None = None
    password: str | None = field(default=None, repr=False)
    ca: str | None = None
    cert: str | None = None
    key: str | None = None


def parse(url: str, beside: Sequence[str] = ()) -> BrokerUrl:
    """Read a broker URL. A bare host name is taken as ``mqtt://``. Raises ConfigError saying what is wrong, with the
    schemes that the caller takes ``beside`` these."""
    text = url if "://" in url else f"mqtt://{url}"
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError:  # its text may quote the password
        parts = None
    if parts is None or parts.query or parts.fragment:
        hint = "the port is a number up to 65535, and special characters in a login are written as %23, %2F, %3F, %40"
        raise ConfigError(f"broker URL {_masked(url)!r} cannot be read: {hint}")
    if parts.scheme not in PORTS:
        *others, last = [*PORTS, *beside]
        known = f"{', '.join(others)} or {last}"
        if parts.scheme == "coaps":
            known += " (there is no DTLS here: coap://<device>:<key>@... encrypts, by OSCORE)"
        raise ConfigError(f"broker URL {_masked(url)!r}: the scheme must be {known}")
    if not parts.hostname:
        raise ConfigError(f"broker URL {_masked(url)!r} names no host; write for example mqtt://192.168.1.9")
    site = parts.path.strip("/")
    if site:
        try:
            check_id(site, "site")
        except WireError as error:
            raise ConfigError(f"broker URL {_masked(url)!r}: {error}") from None
    return BrokerUrl(
        parts.hostname,
        port or PORTS[parts.scheme],
        tls=parts.scheme == "mqtts",
        username=None if parts.username is None else unquote(parts.username),
        password=None if parts.password is None else unquote(parts.password),
        site=site,
        coap=parts.scheme == "coap",
    )


def _masked(url: str) -> str:
    head, at, tail = url.rpartition("@")
    return f"***@{tail}" if at and head else url
