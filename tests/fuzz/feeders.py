"""Who feeds each door: fuzzed inputs as fast as they are taken, and now and then a request that must be answered."""

from __future__ import annotations

import contextlib
import itertools
import random
import select
import socket
import time
from collections.abc import Callable
from typing import Any

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion

from fogsdk import Fog
from tests.conformance.conftest import NODE, OpenSite
from tests.conformance.link import Link, Order
from tests.conformance.link_coap import CoapLink
from tests.conformance.link_http import HttpLink
from tests.conformance.link_mqtt import MqttLink
from tests.conformance.link_sdk import SdkLink
from tests.fuzz import inputs

PATIENCE = 30.0
"""Seconds in which a well-formed request is answered, among all the others."""


class Feeder:
    """Feeds one door with so many ``inputs``; ``link`` asks what must be answered, each ``every`` inputs."""

    door = ""
    every = 500

    def __init__(self, site: OpenSite, inputs: int, seed: str) -> None:
        self.inputs = inputs
        self.fed = self.asked = 0
        self.broken: list[str] = []
        self.chance = random.Random(seed)
        self.site = site
        self.link = self.connect()

    def connect(self) -> Link:
        """The way by which well-formed requests go."""
        raise NotImplementedError

    def feed(self) -> None:
        """One fuzzed input."""
        raise NotImplementedError

    def run(self, until: float) -> None:
        """Feed until all is fed, or the time is over."""
        try:
            while self.fed < self.inputs and time.monotonic() < until and not self.broken:
                self.feed()
                self.fed += 1
                if self.fed % self.every == 0:
                    self.ask()
            self.ask()
        except Exception as error:  # noqa: BLE001 - it belongs to what was found
            self.broken.append(f"after {self.fed} inputs the feeder ended: {error!r}")
        finally:
            self.close()

    def ask(self) -> None:
        """A well-formed request: it is answered, and rightly."""
        self.asked += 1
        order = Order("increment", (self.asked,))
        try:
            outcome = self.link.hand_in(order).outcome(PATIENCE)
        except TimeoutError:
            self.broken.append(f"after {self.fed} inputs a well-formed request was not answered in {PATIENCE:g} s")
            return
        if outcome.value != self.asked + 1 and outcome.reason != "overloaded":
            self.broken.append(f"after {self.fed} inputs a well-formed request got {outcome}")

    def close(self) -> None:
        """Leave."""
        self.link.close()


class Mqtt(Feeder):
    """Payloads on every topic that a node hears."""

    door = "mqtt"
    _TOPICS = (
        f"node/{NODE}/task/fuzz", f"node/{NODE}/task/other", "task/fuzz", f"reply/{NODE}", f"node/{NODE}/replica/ghost",
        "node/ghost/birth", "node/ghost/beat", f"node/{NODE}/beat", f"node/{NODE}/task/a b", "task/" + "x" * 80,
    )  # fmt: skip

    def connect(self) -> Link:
        self._client = paho.Client(CallbackAPIVersion.VERSION2, "fuzz")
        self._client.connect("127.0.0.1", self.site.broker.port)
        self._client.loop_start()
        port = self.site.broker.port
        version = MQTTProtocolVersion.MQTTv311
        # To this node: what is for any node the ghost may seem to take, where no broker forbids it to be born.
        return MqttLink(port, "fair-mqtt", version=version, as_json=False, node=NODE)

    def feed(self) -> None:
        topic = f"fog/v1/home/{self.chance.choice(self._TOPICS)}"
        published = self._client.publish(topic, inputs.payload(self.chance))
        if self.fed % 50 == 0:  # no faster than the broker takes them
            published.wait_for_publish(PATIENCE)

    def close(self) -> None:
        super().close()
        self._client.disconnect()
        self._client.loop_stop()


class Device(Feeder):
    """Replies and births to a device of the SDK, as from nodes that have gone mad."""

    door = "device"

    def connect(self) -> Link:
        self._fog: Fog = self.site.connect(name="fair-sdk")
        self._client = paho.Client(CallbackAPIVersion.VERSION2, "fuzz-device")
        self._client.connect("127.0.0.1", self.site.broker.port)
        self._client.loop_start()
        return SdkLink(self._fog)

    def feed(self) -> None:
        topic = self.chance.choice(("reply/fair-sdk", "reply/fair-sdk", "node/ghost/birth", f"node/{'y' * 70}/birth"))
        published = self._client.publish(f"fog/v1/home/{topic}", inputs.payload(self.chance))
        if self.fed % 50 == 0:
            published.wait_for_publish(PATIENCE)

    def close(self) -> None:
        super().close()
        self._client.disconnect()
        self._client.loop_stop()


class Http(Feeder):
    """Requests of HTTP, each on a connection of its own, some of them side by side."""

    door = "http"
    every = 200
    _SIDE_BY_SIDE = 8

    def connect(self) -> Link:
        self._open: list[tuple[socket.socket, float]] = []
        return HttpLink(self.site.http, "fair-http", as_json=False)

    def feed(self) -> None:
        connection = socket.create_connection(("127.0.0.1", self.site.http), timeout=PATIENCE)
        try:
            connection.sendall(inputs.http_request(self.chance))
            connection.shutdown(socket.SHUT_WR)
        except OSError:  # it was refused by its head
            connection.close()
            return
        self._open.append((connection, time.monotonic()))
        while len(self._open) >= self._SIDE_BY_SIDE:
            self._read()

    def _read(self) -> None:
        """Take what was answered; a connection that stays open for long is given up."""
        ready, _, _ = select.select([connection for connection, _ in self._open], [], [], 0.5)
        for connection, began in list(self._open):
            ended = False
            if connection in ready:
                try:
                    ended = not connection.recv(65536)
                except OSError:
                    ended = True
            if ended or time.monotonic() - began > 5:
                connection.close()
                self._open.remove((connection, began))

    def close(self) -> None:
        for connection, _ in self._open:
            connection.close()
        super().close()


class Coap(Feeder):
    """Datagrams, from some ports."""

    door = "coap"
    every = 200
    _PORTS = 4
    _UNANSWERED = 16

    def connect(self) -> Link:
        self._sockets = [socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(self._PORTS)]
        for each in self._sockets:
            each.connect(("127.0.0.1", self.site.coap))
            each.setblocking(False)
        self._turns = itertools.cycle(self._sockets)
        return CoapLink(self.site.coap, "fair-coap", as_json=False)

    def feed(self) -> None:
        each = next(self._turns)
        self._try(each.send, inputs.datagram(self.chance))
        if self.fed % self._UNANSWERED == 0:  # no faster than they are dealt with: UDP drops what is too much
            select.select([each], [], [], 0.02)
        self._try(each.recv, 65536)

    @staticmethod
    def _try(what: Callable[[Any], Any], argument: Any) -> None:
        with contextlib.suppress(BlockingIOError, ConnectionRefusedError):
            what(argument)

    def close(self) -> None:
        for each in self._sockets:
            each.close()
        super().close()


FEEDERS: dict[str, Callable[[OpenSite, int, str], Feeder]] = {each.door: each for each in (Mqtt, Device, Http, Coap)}
