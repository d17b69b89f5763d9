"""An MQTT client that asks one thing after the other and waits for each answer: it speaks MQTT 5 where the broker does,
which says what 3.1.1 keeps to itself, for instance that a publish was not allowed."""

from __future__ import annotations

import contextlib
import secrets
import socket
import time
from collections.abc import Callable
from typing import Any

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion

from fogsdk.device.mqtt import tls_context
from fogsdk.device.url import BrokerUrl, Credentials
from fogsdk.errors import WireError
from fogsdk.wire import codec, topics
from fogsdk.wire.messages import Malformed, Message

WITHIN = 3.0
"""Seconds for each answer."""
NOBODY_LISTENS = 0x10
"""The reason with which a broker acknowledges what nobody subscribes to (MQTT 5, section 3.4.2.1)."""


class Probe:
    """One connection. ``refused`` says why the login was not accepted, None if it was; ``heard`` is what came."""

    def __init__(self, broker: BrokerUrl, credentials: Credentials, sender: str, version: MQTTProtocolVersion) -> None:
        self.version = version
        self.heard: list[tuple[topics.Topic, Message]] = []
        self.refused: str | None = "no answer"
        self._answers: dict[int, int] = {}
        self._ended = False
        options: dict[str, Any] = {} if version == MQTTProtocolVersion.MQTTv5 else {"clean_session": True}
        client = self._client = paho.Client(
            CallbackAPIVersion.VERSION2, f"{sender}-{secrets.token_hex(3)}", protocol=version, **options
        )
        name = broker.username if broker.username is not None else credentials.username
        if name is not None:
            client.username_pw_set(name, broker.password if broker.password is not None else credentials.password)
        if broker.tls:
            client.tls_set_context(tls_context(credentials))
        client.on_socket_open = _send_at_once
        client.on_connect = self._connected
        client.on_disconnect = self._disconnected
        client.on_subscribe = lambda _c, _u, id, codes, _p: self._answers.update({id: codes[0].value})
        client.on_publish = lambda _c, _u, id, code, _p: self._answers.update({id: code.value})
        client.on_message = lambda _c, _u, message: self._take(message.topic, bytes(message.payload))
        client.connect(broker.host, broker.port, keepalive=60)
        self.wait(lambda: self.refused != "no answer" or self._ended)
        if self._ended and self.refused == "no answer":
            self.refused = "it closed the connection without an answer"

    def _connected(self, _client: Any, _data: Any, _flags: Any, reason: Any, _properties: Any) -> None:
        self.refused = str(reason) if reason.is_failure else None

    def _disconnected(self, *_: Any) -> None:
        self._ended = True

    def _take(self, topic: str, payload: bytes) -> None:
        with contextlib.suppress(WireError):  # a stranger's
            at = topics.parse(topic)
            self.heard += [(at, message) for message in codec.decode(payload) if not isinstance(message, Malformed)]

    def wait(self, done: Callable[[], object], seconds: float = WITHIN) -> bool:
        """Read until something is so. Tells whether it is."""
        until = time.monotonic() + seconds
        while not done() and not self._ended and time.monotonic() < until:
            self._client.loop(0.05)
        return bool(done())

    def subscribe(self, topic: str) -> bool:
        """Subscribe; tells whether the broker granted it."""
        _, id = self._client.subscribe(topic, 0)
        return self.wait(lambda: id in self._answers) and self._answers[id or 0] < 0x80

    def publish(self, topic: str, message: Message) -> int | None:
        """Publish; returns the reason that the broker gave, 0 for success. None: it does not say, or not in time."""
        info = self._client.publish(topic, codec.encode([message]), qos=1)
        acknowledged = self.wait(lambda: info.mid in self._answers)
        return self._answers[info.mid] if acknowledged and self.version == MQTTProtocolVersion.MQTTv5 else None

    def close(self) -> None:
        """Disconnect."""
        self._client.disconnect()
        self._client.loop(0.05)
        sock = self._client.socket()
        if sock is not None:
            sock.close()


def _send_at_once(_client: Any, _data: Any, sock: Any) -> None:
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
