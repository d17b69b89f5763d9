"""The steps that are the same for every protocol: the name, the network, the port, TLS."""

from __future__ import annotations

import ipaddress
import socket
import ssl
from collections.abc import Generator, Iterator

from fogsdk.device.addresses import is_loopback, own_address
from fogsdk.device.discovery import find_brokers
from fogsdk.device.doctor.step import Step, note, ok, wrong
from fogsdk.device.mqtt import tls_context
from fogsdk.device.url import Credentials
from fogsdk.errors import ConfigError

WITHIN = 3.0
"""Seconds for a handshake."""
MULTICAST = 0.5
"""Seconds to hear an announcement."""
NEIGHBOURS = {4: 24, 6: 64}
"""Bits that addresses of one network mostly share; what they really share no program is told."""

_NO_ANSWER = (
    "is that computer on, and its address right? Else a firewall is between, or an access point that keeps its "
    "clients apart (guest networks do)"
)
_NAMES = {
    "local": "names under .local are asked for by multicast, which guest networks and some access points keep away; "
    "Linux needs libnss-mdns for it; give the address instead (`fog invite` shows it)",
    "other": "check its spelling, or give the address instead (`fog invite` shows it)",
}


def address_of(host: str) -> Generator[Step, None, str]:
    """Resolve a name, and look at which network it leads to. Returns the address, empty where there is none."""
    try:
        found = [str(entry[4][0]) for entry in socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)]
    except (OSError, UnicodeError) as error:
        if not own_address():
            yield wrong("network", "this device has none", "switch its Wi-Fi on, and flight mode off")
        else:
            yield wrong(
                "name", f"nothing knows {host!r} ({error})", _NAMES["local" if host.endswith(".local") else "other"]
            )
        return ""
    address = found[0]
    if address != host:
        yield ok("name", f"{host} is {', '.join(dict.fromkeys(found))}")
    yield _network(address)
    return address


def _network(address: str) -> Step:
    own = own_address(address)
    if not own:
        return wrong("network", f"there is no way from here to {address}", "is this device in the fog's Wi-Fi?")
    if is_loopback(address):
        return note("network", f"{address} is this device itself", "no fog on another computer is reached by that")
    there, here = ipaddress.ip_address(address), ipaddress.ip_address(own.partition("%")[0])
    bits = NEIGHBOURS[there.version]
    if there in ipaddress.ip_network(f"{here}/{bits}", strict=False):
        return ok("network", f"{own} here and {address} there: the same, by the look of it")
    advice = (
        "it need be no fault; but is this device in the fog's Wi-Fi, not in the guests', on mobile data or on a VPN?"
    )
    return note("network", f"{own} here and {address} there: two networks, with a router between", advice)


def multicast(site: str | None) -> Step:
    """Whether brokers are found without being told where."""
    found = find_brokers(MULTICAST, site)
    if found:
        return ok("mDNS", f"announced here: {', '.join(found)}")
    advice = "connect() without a URL then depends on the name fog.local; with a URL, no need for it"
    return note("mDNS", "no broker of a fog announces itself, or multicast does not get here", advice)


def port(address: str, number: int, what: str) -> Generator[Step, None, bool]:
    """Whether something listens there. ``what`` it should be."""
    try:
        socket.create_connection((address, number), timeout=WITHIN).close()
    except ConnectionRefusedError:
        advice = (
            f"is {what} running, and on that port? One that listens to its own computer alone refuses all others: "
            "fognode --host 0.0.0.0, or a listener without an address in mosquitto.conf"
        )
        yield wrong("port", f"the computer is there, but nothing listens on port {number}", advice)
        return False
    except OSError as error:
        said = "no answer" if isinstance(error, TimeoutError) else str(error)
        yield wrong("port", f"port {number} cannot be reached: {said}", _NO_ANSWER)
        return False
    yield ok("port", f"something listens on port {number}")
    return True


def tls(address: str, number: int, host: str, credentials: Credentials) -> Generator[Step, None, bool]:
    """Whether it speaks TLS, and is whom it says."""
    try:
        context = tls_context(credentials)
    except ConfigError as error:
        yield wrong("TLS", str(error), "name files in PEM form that this device can read")
        return False
    context.sslsocket_class = ssl.SSLSocket
    try:
        plain = socket.create_connection((address, number), timeout=WITHIN)
        with plain, context.wrap_socket(plain, server_hostname=host) as secured:
            version = secured.version()
    except ssl.SSLCertVerificationError as error:
        yield wrong("TLS", f"its certificate is not trusted: {error.verify_message}", _remedy(error, host))
        return False
    except (OSError, ssl.SSLError) as error:
        advice = "does that port speak TLS? Without it the URL begins with mqtt:// or http://"
        yield wrong("TLS", f"the handshake failed: {error}", advice)
        return False
    yield ok("TLS", f"{version}, and its certificate is trusted for {host}")
    return True


def _remedy(error: ssl.SSLCertVerificationError, host: str) -> str:
    said = error.verify_message.lower()
    if "not yet valid" in said:
        return "this device's clock is behind: set it; or the certificate was made for a later day"
    if "expired" in said:
        return "have a new one issued; or this device's clock is ahead: set it"
    if "mismatch" in said or "not valid for" in said:
        return f"use the name or address that stands in the certificate, or have one issued for {host}"
    return "pass the certificate of the authority that signed it: ca=... in connect(), --ca here"


def all_but_multicast(host: str, number: int, what: str) -> Generator[Step, None, str]:
    """The name, the network and the port. Returns the address, empty where one of these failed."""
    address = yield from address_of(host)
    if not address or not (yield from port(address, number, what)):
        return ""
    return address


def clock_of(difference: float) -> Iterator[Step]:
    """What to say of a clock that differs by so many seconds, if anything."""
    if abs(difference) > 60:
        which = "behind" if difference > 0 else "ahead"
        advice = "tasks do not mind, all their times are durations; certificates do: set the clock if TLS is refused"
        yield note("clock", f"this device's is {abs(difference):.0f} s {which} of the fog's", advice)
