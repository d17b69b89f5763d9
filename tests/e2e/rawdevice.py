"""Plain MQTT clients, and a device without the SDK: it publishes tasks and reads replies, in JSON or CBOR."""

from __future__ import annotations

import json
from collections import deque
from typing import Any

import cbor2

from fogsdk.wire import topics
from tests.broker.mqtt import Client

SITE = "home"
_WORDS_IN_BETWEEN = ("accepted", "progress", "transfer")


class PlainClient(Client):
    """An MQTT client and nothing more."""

    def close(self) -> None:
        super().close()
        del self.paho  # which ends it, with its sockets, now and not at some later collection of garbage


class RawDevice(PlainClient):
    """Its name is its sender id. Use it in a ``with`` block."""

    def __init__(self, port: int, name: str) -> None:
        super().__init__(port, name)
        self.name = name
        self._replies: deque[dict[str, Any]] = deque()

    def __enter__(self) -> RawDevice:
        super().__enter__()
        self.subscribe(topics.reply(SITE, self.name))
        return self

    def send(self, message: object, node: str = "", *, as_json: bool = True) -> None:
        """Publish a message, or a list of them: to one node, or to whichever takes it."""
        payload = json.dumps(message).encode() if as_json else cbor2.dumps(message)
        self.send_bytes(payload, node)

    def send_bytes(self, payload: bytes, node: str = "") -> None:
        """Publish a payload, likewise."""
        topic = topics.task(SITE, node, self.name) if node else topics.any_task(SITE, self.name)
        self.publish(topic, payload)

    def reply(self) -> dict[str, Any]:
        """The next reply, whether in JSON or CBOR, alone or in a batch."""
        while not self._replies:
            payload = self.next()[1]
            decoded = json.loads(payload) if payload[:1] in (b"{", b"[") else cbor2.loads(payload)
            self._replies.extend(decoded if isinstance(decoded, list) else [decoded])
        return self._replies.popleft()

    def outcomes(self, count: int) -> dict[str, dict[str, Any]]:
        """The outcomes of ``count`` tasks, by id."""
        outcomes: dict[str, dict[str, Any]] = {}
        while len(outcomes) < count:
            reply = self.reply()
            if reply["type"] not in _WORDS_IN_BETWEEN:
                outcomes[reply["id"]] = reply
        return outcomes

    def outcome(self, id: str) -> dict[str, Any]:
        """The next reply about a task that is more than a word in between."""
        while (reply := self.reply())["type"] in _WORDS_IN_BETWEEN or reply["id"] != id:
            pass
        return reply
