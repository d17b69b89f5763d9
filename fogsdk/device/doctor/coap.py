"""The way over CoAP: whether it is heard there, which tasks it offers, a task. In bytes of its own (RFC 7252): the
library that the SDK has for CoAP may be what is missing."""

from __future__ import annotations

import secrets
import socket
from collections.abc import Iterator
from importlib.util import find_spec

from fogsdk.device.doctor import network
from fogsdk.device.doctor.mqtt import task_over
from fogsdk.device.doctor.step import Step, note, ok, wrong
from fogsdk.device.url import DEFAULT_SITE, BrokerUrl, Credentials

EMPTY, GET = 0x00, 0x01
CONTENT, UNAUTHORIZED = 0x45, 0x81
_CONFIRMABLE = 0x40
_URI_PATH = 11
TRIES, PATIENCE = 3, 1.0
"""How often a packet is sent that may be lost, and seconds for the answer to each."""


def steps(url: BrokerUrl, login: Credentials, site: str | None) -> Iterator[Step]:
    """Examine the way to this node."""
    address = yield from network.address_of(url.host)
    if not address:
        return
    try:
        reply = exchange(address, url.port, message(EMPTY))
        listing = exchange(address, url.port, message(GET, ".well-known", "core"))
    except ConnectionRefusedError:
        advice = "is a node running there with --coap-port, and on that port? fognode --host 0.0.0.0 lets others in"
        yield wrong("port", f"the computer is there, but nothing listens on UDP port {url.port}", advice)
        return
    except OSError as error:
        yield wrong("port", f"UDP port {url.port} cannot be reached: {error}", "is this device in the fog's Wi-Fi?")
        return
    if not (reply or listing):
        advice = "is that computer on? A firewall may let TCP pass and not UDP; then use mqtt:// or http://"
        yield wrong("port", f"no answer on UDP port {url.port}", advice)
        return
    yield ok("port", f"CoAP is spoken on UDP port {url.port}")
    yield _listed(listing, bool(url.password or login.password))
    if find_spec("aiocoap") is None:
        yield note("task", "not tried: the SDK's CoAP is not installed here", "pip install 'fogsdk[coap]'")
        return
    yield from task_over(url.whole(site or url.site or DEFAULT_SITE), login)


def _listed(listing: bytes, has_key: bool) -> Step:
    code = listing[1] if len(listing) > 1 else 0
    if code == CONTENT:
        return ok("tasks", f"{listing.count(b'rt=') or 'some'} resources are listed at /.well-known/core")
    if code == UNAUTHORIZED and has_key:
        return ok("tasks", "it lists none to whom it does not know; the key is tried with the task")
    if code == UNAUTHORIZED:
        advice = "it wants a key: coap://<device>:<key>@..., with a line for the device in the node's file of keys"
        return wrong("tasks", "the node refuses requests that are not encrypted", advice)
    return wrong("tasks", f"/.well-known/core is answered {code >> 5}.{code & 31:02}", "is that a node of a fog?")


def message(code: int, *path: str) -> bytes:
    """A confirmable message with a Uri-Path; each part has less than 13 bytes, its first option number is 11."""
    token = b"" if code == EMPTY else secrets.token_bytes(4)
    options = b""
    for index, part in enumerate(path):
        delta = 0 if index else _URI_PATH
        options += bytes([delta << 4 | len(part)]) + part.encode()
    return bytes([_CONFIRMABLE | len(token), code]) + secrets.token_bytes(2) + token + options


def exchange(address: str, port: int, packet: bytes) -> bytes:
    """Send it until it is answered; returns the answer, empty if there is none. Raises OSError."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as sock:
        sock.connect((address, port))  # so that the system tells if nobody listens
        sock.settimeout(PATIENCE)
        for _ in range(TRIES):
            sock.send(packet)
            try:
                answer = sock.recv(2048)
            except TimeoutError:
                continue
            if answer[2:4] == packet[2:4]:
                return answer
    return b""
