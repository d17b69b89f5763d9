"""The obvious way: paho-mqtt in MQTT 5, whose messages carry where to answer and to what, and a ProcessPoolExecutor.

QoS 0 and TCP_NODELAY, which is kind to it; both ends use paho's own thread or loop, as its examples do.
"""

from __future__ import annotations

import itertools
import os
import pickle
import threading
from concurrent.futures import Future, ProcessPoolExecutor
from typing import Any

import paho.mqtt.client as paho
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from benchmarks.harness.contender import Contender
from benchmarks.harness.services import BROKER, Services
from benchmarks.harness.works import FUNCTIONS
from benchmarks.peers.paho_echo import REPLY, TASK, connect

WORKERS = 2


def about(number: bytes, answer_on: str = "") -> Properties:
    """The properties of a request or an answer."""
    properties = Properties(PacketTypes.PUBLISH)
    properties.CorrelationData = number
    if answer_on:
        properties.ResponseTopic = answer_on
    return properties


class Obvious(Contender):
    """The device."""

    def start(self, services: Services) -> None:
        self._futures: dict[bytes, Future[Any]] = {b"ready": Future()}
        self._numbers = itertools.count()
        ready, subscribed = self._futures[b"ready"], threading.Event()
        self._client = connect(services.broker, REPLY, paho.MQTTv5)
        self._client.on_message = lambda _c, _u, message: self._hear(message)
        self._client.on_subscribe = lambda *_: subscribed.set()
        self._client.loop_start()
        subscribed.wait(10)
        services.python(__name__)
        ready.result(20)

    def submit(self, work: str, argument: Any) -> Future[Any]:
        number = next(self._numbers).to_bytes(4, "big")
        future = self._futures[number] = Future()
        self._client.publish(TASK, pickle.dumps((work, argument)), properties=about(number, REPLY))
        return future

    def _hear(self, message: paho.MQTTMessage) -> None:
        self._futures.pop(message.properties.CorrelationData).set_result(pickle.loads(message.payload))  # type: ignore[union-attr]  # noqa: S301

    def stop(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()


def main() -> None:
    """The node."""
    with ProcessPoolExecutor(WORKERS) as pool:
        list(pool.map(FUNCTIONS["increment"], range(WORKERS)))  # starts the workers
        client = connect(os.environ[BROKER], TASK, paho.MQTTv5)

        def hear(message: paho.MQTTMessage) -> None:
            work, argument = pickle.loads(message.payload)  # noqa: S301
            asked = message.properties

            def answer(future: Future[Any]) -> None:
                properties = about(asked.CorrelationData)  # type: ignore[union-attr]
                client.publish(asked.ResponseTopic, pickle.dumps(future.result()), properties=properties)  # type: ignore[union-attr]

            pool.submit(FUNCTIONS[work], argument).add_done_callback(answer)

        client.on_message = lambda _c, _u, message: hear(message)
        client.on_subscribe = lambda *_: client.publish(REPLY, pickle.dumps(None), properties=about(b"ready"))
        client.loop_forever()


if __name__ == "__main__":
    main()
