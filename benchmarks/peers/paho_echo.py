"""Floor: paho-mqtt, MQTT 3.1.1, QoS 0, TCP_NODELAY; the other end sends back what it is sent.

The device drives its socket itself: with paho's own thread each answer would change threads once more.
"""

from __future__ import annotations

import os
import select
import socket
from collections import deque
from typing import Any
from urllib.parse import urlsplit

import paho.mqtt.client as paho

from benchmarks.harness.contender import Contender
from benchmarks.harness.services import BROKER, Services
from benchmarks.harness.works import from_bytes, to_bytes

TASK, REPLY = "bench/task", "bench/reply"


def connect(broker: str, topic: str, protocol: int) -> paho.Client:
    """A connected client that subscribes to a topic."""
    url = urlsplit(broker)
    client = paho.Client(paho.CallbackAPIVersion.VERSION2, protocol=protocol)  # type: ignore[arg-type]
    client.on_connect = lambda *_: client.subscribe(topic)
    client.connect(url.hostname or "", url.port or 0)
    client.socket().setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # type: ignore[union-attr]
    return client


class PahoEcho(Contender):
    """The device's end."""

    def start(self, services: Services) -> None:
        self._client = connect(services.broker, REPLY, paho.MQTTv311)
        self._pending: deque[_Answer] = deque([_Answer(self, "echo")])
        self._client.on_message = lambda _c, _u, message: self._hear(message.payload)
        self._client.on_subscribe = lambda *_: services.python(__name__)
        self._pending[0].result()  # the other end's greeting

    def submit(self, work: str, argument: Any) -> _Answer:
        self._pending.append(answer := _Answer(self, work))
        self._client.publish(TASK, to_bytes(work, argument))
        return answer

    def _hear(self, payload: bytes) -> None:
        self._pending.popleft().body = payload

    def pump(self) -> None:
        """Wait for the socket, and let paho read and write."""
        sock = self._client.socket()
        readable, writable, _ = select.select([sock], [sock] if self._client.want_write() else [], [], 1)
        if readable:
            self._client.loop_read()
        if writable:
            self._client.loop_write()

    def stop(self) -> None:
        self._client.disconnect()


class _Answer:
    def __init__(self, device: PahoEcho, work: str) -> None:
        self._device, self._work = device, work
        self.body: bytes | None = None

    def result(self) -> Any:
        while self.body is None:
            self._device.pump()
        return from_bytes(self._work, self.body)


def main() -> None:
    """Send everything back."""
    client = connect(os.environ[BROKER], TASK, paho.MQTTv311)
    client.on_subscribe = lambda *_: client.publish(REPLY, b"ready")
    client.on_message = lambda _c, _u, message: client.publish(REPLY, message.payload)
    client.loop_forever()


if __name__ == "__main__":
    main()
