"""What a broker says it received: packets that publish, and bytes of all packets."""

from __future__ import annotations

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion

from tests.support.broker import Mosquitto
from tests.support.waiting import eventually

_FOLDER = "$SYS/broker/"
_CLOCK, _PACKETS, _BYTES = "uptime", "publish/messages/received", "bytes/received"


class Traffic:
    """Listens to what a mosquitto, which has to have ``sys_interval 1``, says of itself. Use it in a ``with`` block."""

    def __init__(self, broker: Mosquitto) -> None:
        self._said: dict[str, bytes] = {}
        self._client = paho.Client(CallbackAPIVersion.VERSION2)
        self._client.on_message = lambda _c, _u, message: self._hear(message.topic, bytes(message.payload))
        self._client.on_connect = lambda client, *_: client.subscribe(
            [(_FOLDER + topic, 0) for topic in (_CLOCK, _PACKETS, _BYTES)]
        )
        self._client.connect("127.0.0.1", broker.port)
        self._client.loop_start()

    def _hear(self, topic: str, payload: bytes) -> None:
        self._said[topic.removeprefix(_FOLDER)] = payload

    def received(self) -> tuple[int, int]:
        """Packets and bytes so far. What came before the call is in it."""
        for _ in range(2):  # what it says at one second it says after its clock, so that is complete at the next
            before = self._said.get(_CLOCK)
            eventually(lambda before=before: self._said.get(_CLOCK, before) != before, what="a word of the broker")  # type: ignore[misc]
        return int(self._said[_PACKETS]), int(self._said[_BYTES])

    def __enter__(self) -> Traffic:
        return self

    def __exit__(self, *_: object) -> None:
        self._client.disconnect()
        self._client.loop_stop()
