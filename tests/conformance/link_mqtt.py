"""A stranger's MQTT client, of version 3.1.1 or 5, in CBOR or JSON: what is in docs/protocol.md and nothing more."""

from __future__ import annotations

import json
import threading
from typing import Any

import cbor2
import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion

from fogsdk.wire import limits, values
from tests.conformance.link import PATIENCE, Order, Outcome
from tests.conformance.reply import outcome_of

OUTCOMES = ("result", "failed", "refused", "deadline-exceeded", "cancelled")


class MqttCall:
    """A task that was published."""

    def __init__(self, link: MqttLink, id: str) -> None:
        self.done = threading.Event()
        self.reply: dict[str, Any] = {}
        self.fractions: list[float] = []
        self._link = link
        self._id = id

    def outcome(self, timeout: float = PATIENCE) -> Outcome:
        if not self.done.wait(timeout):
            raise TimeoutError(f"no outcome of {self._id} in {timeout} s")
        return outcome_of(self.reply)

    def progress(self) -> list[float]:
        return list(self.fractions)

    def cancel(self) -> None:
        self._link.publish({"type": "cancel", "id": self._id})


class MqttLink:
    """A client of its own name, which sends to one node, or to whichever is first to take it."""

    arrays = True
    persists = False

    def __init__(self, port: int, name: str, *, version: MQTTProtocolVersion, as_json: bool, node: str = "") -> None:
        self.json = as_json
        self.most_body = limits.MESSAGE_SIZE - 1024
        self._topic = f"fog/v1/home/node/{node}/task/{name}" if node else f"fog/v1/home/task/{name}"
        self._calls: dict[str, MqttCall] = {}
        self._last = ""
        self._listening = threading.Event()
        self._client = paho.Client(CallbackAPIVersion.VERSION2, name, protocol=version)
        self._client.on_message = lambda _client, _data, message: self._heard(bytes(message.payload))
        self._client.on_subscribe = lambda *_: self._listening.set()
        self._client.on_connect = lambda client, *_: client.subscribe(f"fog/v1/home/reply/{name}")
        self._client.connect("127.0.0.1", port)
        self._client.loop_start()
        assert self._listening.wait(PATIENCE)

    def hand_in(self, order: Order) -> MqttCall:
        self._calls[order.id] = MqttCall(self, order.id)
        return self.repeat(order)

    def repeat(self, order: Order) -> MqttCall:
        self._last = order.id
        self.publish(_message(order, self.json))
        return self._calls[order.id]

    def publish(self, message: dict[str, Any]) -> None:
        self._client.publish(self._topic, json.dumps(message) if self.json else cbor2.dumps(message))

    def close(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()
        del self._client

    def _heard(self, payload: bytes) -> None:
        said = json.loads(payload) if self.json else cbor2.loads(payload)
        for reply in said if isinstance(said, list) else [said]:
            # A node cannot say whose id was in a message that it could not read.
            call = self._calls.get(reply.get("id") or self._last)
            if call is None:
                continue
            if reply["type"] == "progress":
                call.fractions.append(reply["fraction"])
            elif reply["type"] in OUTCOMES:  # what else there is, chunks of large results too, one may leave alone
                call.reply = reply
                call.done.set()


def _message(order: Order, as_json: bool) -> dict[str, Any]:
    message: dict[str, Any] = {"type": "task", "id": order.id, "name": order.name, "priority": order.priority}
    if order.deadline is not None:
        message["deadline"] = int(order.deadline * 1000)
    if order.keep is not None:
        message |= {"keep": int(order.keep * 1000), "copies": order.copies}
    if as_json:
        return {**message, "args": list(order.args), "kwargs": order.kwargs}
    return {**message, "body": values.encode([list(order.args), order.kwargs])}
