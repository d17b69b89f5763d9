"""How quickly a broker answers: finds one that holds small packets back (Nagle's algorithm, RFC 896).

Such a broker sends no further packet until the other side's TCP has acknowledged the one before, which that
puts off for some 40 ms (RFC 1122, section 4.2.3.2). One question at a time shows nothing of it; when several
arrive at once, all answers but the first are late.
"""

from __future__ import annotations

import secrets
import socket
import statistics
import time
from typing import Any

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion

from fogsdk.device.mqtt import CONNECT_TIMEOUT, describe, tls_context
from fogsdk.device.url import BrokerUrl, Credentials
from fogsdk.errors import ConnectionFailed

ROUNDS = 15
BURST = 3
PAUSE = 0.01
"""Seconds between two rounds."""
PATIENCE = 5.0

_PINGREQ = b"\xc0\x00"  # MQTT 3.1.1, section 3.12; the answer has as many bytes


def answers(broker: BrokerUrl, credentials: Credentials, sender: str) -> tuple[float, float]:
    """Milliseconds, by the median, until the broker has answered one ping, and the last of a burst of them.

    Raises ConnectionFailed.
    """
    client = _client(broker, credentials, sender)
    try:
        _log_in(client, broker)
        sock: Any = client.socket()
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.settimeout(PATIENCE)
        one = statistics.median(_round(sock, 1) for _ in range(ROUNDS))
        return one, statistics.median(_round(sock, BURST) for _ in range(ROUNDS))
    except (OSError, ValueError) as error:
        raise ConnectionFailed(f"{broker}: {describe(error)}") from error
    finally:
        client.disconnect()


def _client(broker: BrokerUrl, credentials: Credentials, sender: str) -> paho.Client:
    name = f"{sender}-{secrets.token_hex(3)}"
    client = paho.Client(CallbackAPIVersion.VERSION2, name, protocol=paho.MQTTv311)
    username = broker.username if broker.username is not None else credentials.username
    if username is not None:
        password = broker.password if broker.password is not None else credentials.password
        client.username_pw_set(username, password)
    if broker.tls:
        client.tls_set_context(tls_context(credentials))
    client.connect_timeout = CONNECT_TIMEOUT
    return client


def _log_in(client: paho.Client, broker: BrokerUrl) -> None:
    client.connect(broker.host, broker.port)
    until = time.monotonic() + PATIENCE
    while not client.is_connected():
        if code := client.loop(0.1):
            raise ConnectionError(paho.error_string(code))
        if time.monotonic() > until:
            raise TimeoutError


def _round(sock: Any, count: int) -> float:
    """Send some pings as one packet, and time the last answer. Nothing else comes: we have subscribed to nothing."""
    time.sleep(PAUSE)
    begin = time.perf_counter()
    sock.sendall(_PINGREQ * count)
    missing = len(_PINGREQ) * count
    while missing:
        chunk = sock.recv(missing)
        if not chunk:
            raise ConnectionError("the broker closed the connection")
        missing -= len(chunk)
    return (time.perf_counter() - begin) * 1000
