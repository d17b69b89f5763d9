"""A broker that stops answering is found out in less than a second, one that has nothing to say is left alone.

With mosquitto, whatever its access list allows, and with the embedded broker.
"""

from __future__ import annotations

import select
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from fogsdk.device.mqtt import MqttConnection
from fogsdk.device.url import Credentials, parse
from fogsdk.errors import ConnectionFailed
from tests.support.broker import Mosquitto
from tests.support.ports import free_port
from tests.support.processes import Processes
from tests.support.waiting import eventually

Freeze = Callable[[], None]


@pytest.fixture(params=["mosquitto", "mosquitto that allows nothing", "amqtt"])
def broker(
    request: pytest.FixtureRequest,
    start_mosquitto: Callable[..., Mosquitto],
    processes: Processes,
    tmp_path: Path,
) -> tuple[str, Freeze]:
    """The URL of a broker, and what freezes it."""
    if request.param == "amqtt":
        port = free_port()
        program = processes.start_python("-m", "fogsdk.node.broker_embedded", "127.0.0.1", str(port))
        return f"mqtt://127.0.0.1:{port}", program.freeze
    (tmp_path / "acl").write_text("topic read only/this\n")
    settings = [f"acl_file {tmp_path / 'acl'}"] if "nothing" in request.param else []
    mosquitto = start_mosquitto(*settings)
    return mosquitto.url, mosquitto.freeze


class Device:
    """A connection that is driven by the test, and watches."""

    def __init__(self, url: str) -> None:
        self.ups: list[float] = []
        self.downs: list[str] = []
        self.connection = MqttConnection(
            parse(url),
            Credentials(),
            "device",
            keepalive=60,
            on_up=lambda: self.ups.append(time.monotonic()),
            on_down=self.downs.append,
            on_message=lambda *_: None,
        )

    def run(self, seconds: float) -> None:
        """Drive it for a while, or until it is silent."""
        until = time.monotonic() + seconds
        while (left := until - time.monotonic()) > 0 and not self.connection.silent:
            if self.connection.wants_write:
                self.connection.flush()
            if select.select([self.connection.socket], [], [], min(left, self.connection.watch()))[0]:
                self.connection.readable()


@pytest.fixture
def device(broker: tuple[str, Freeze]) -> Iterator[Device]:
    device = eventually(lambda: _connected(broker[0]), what="the broker")
    assert device is not None
    yield device
    device.connection.close()


def test_what_piles_up_here_is_no_sign_that_it_gets_there() -> None:
    """Somebody goes on submitting, and all of it stays in this computer."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        device = Device(f"mqtt://127.0.0.1:{server.getsockname()[1]}")
        device.connection.open()
        broker, _ = server.accept()
        with broker:
            device.run(0.1)
            broker.sendall(b"\x20\x02\x00\x00")  # the login is accepted, and that was its last word
            device.run(0.1)
            begun = time.monotonic()
            while not device.connection.silent and time.monotonic() - begun < 5:
                device.connection.publish("fog/v1/home/task/device", bytes(2000))
                device.run(0.01)
            assert device.ups
            assert time.monotonic() - begun < 2.0
            device.connection.close()


def _connected(url: str) -> Device | None:
    device = Device(url)
    try:
        device.connection.open()
    except ConnectionFailed:
        return None
    return device


def test_a_broker_that_has_nothing_to_say_is_asked_and_answers(device: Device) -> None:
    device.run(2.0)
    assert device.ups
    assert not device.connection.silent
    assert not device.downs


def test_a_broker_that_is_frozen_is_silent_in_less_than_a_second(device: Device, broker: tuple[str, Freeze]) -> None:
    device.run(0.5)
    broker[1]()
    begun = time.monotonic()
    device.run(5.0)
    took = time.monotonic() - begun
    print(f"silent after {took * 1000:.0f} ms")
    assert device.connection.silent
    assert took < 1.5  # 0.7 s where the machine has nothing else to do
    begun = time.monotonic()
    device.connection.close()
    assert time.monotonic() - begun < 0.2, "nobody waits for the dead"
