"""What the broker tests share: a broker that runs, and clients that say what they heard."""

from __future__ import annotations

import asyncio
import queue
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.reasoncodes import ReasonCode

from fogsdk.node.broker import Broker

TIMEOUT = 10.0  # seconds: far more than anything here takes


@contextmanager
def serving(**options: Any) -> Iterator[Broker]:
    """A started `Broker`, on an event loop in a thread of its own."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    broker = Broker(**{"port": 0, **options})
    try:
        asyncio.run_coroutine_threadsafe(broker.start(), loop).result(TIMEOUT * 2)
        try:
            yield broker
        finally:
            asyncio.run_coroutine_threadsafe(broker.stop(), loop).result(TIMEOUT)
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


class Client:
    """A client of MQTT 3.1.1 with a clean session; ``heard`` gets (topic, payload, retained)."""

    def __init__(
        self,
        port: int,
        login: str = "",
        *,
        password: str | None = None,
        client_id: str = "",
        ca: Path | None = None,
    ) -> None:
        self.heard: queue.Queue[tuple[str, bytes, bool]] = queue.Queue()
        self.lost = threading.Event()
        self._connected: queue.Queue[ReasonCode] = queue.Queue()
        self._acknowledged: queue.Queue[int] = queue.Queue()
        self.paho = paho.Client(CallbackAPIVersion.VERSION2, client_id or login, reconnect_on_failure=False)
        if login:
            self.paho.username_pw_set(login, login if password is None else password)
        if ca:
            self.paho.tls_set(str(ca))
        self.paho.on_connect = lambda _client, _data, _flags, code, _properties: self._connected.put(code)
        self.paho.on_disconnect = lambda *_: self.lost.set()
        self.paho.on_subscribe = lambda _client, _data, mid, *_: self._acknowledged.put(mid)
        self.paho.on_message = lambda _client, _data, message: self.heard.put(
            (message.topic, bytes(message.payload), message.retain)
        )
        self._port = port

    def connect(self) -> str:
        """Connect, and return what the broker said: ``Success``, ``Not authorized``..."""
        self.paho.connect("127.0.0.1", self._port)
        self.paho.loop_start()
        return str(self._connected.get(timeout=TIMEOUT))

    def __enter__(self) -> Client:
        assert self.connect() == "Success"
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self.paho.disconnect()
        self.paho.loop_stop()

    def subscribe(self, *filters: str) -> None:
        """Subscribe, and wait until the broker has acknowledged."""
        for each in filters:
            _, mid = self.paho.subscribe(each)
            assert self._acknowledged.get(timeout=TIMEOUT) == mid

    def publish(self, topic: str, payload: bytes = b"", *, retain: bool = False, qos: int = 1) -> None:
        """Publish, and return when it is sent; with QoS 1, when the broker has acknowledged."""
        self.paho.publish(topic, payload, qos, retain).wait_for_publish(TIMEOUT)

    def next(self) -> tuple[str, bytes, bool]:
        """The next message it hears."""
        return self.heard.get(timeout=TIMEOUT)
