"""The socket by which a broker's own user gets to it sooner: what goes by TCP goes there too."""

from __future__ import annotations

import asyncio
import stat
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Literal

import pytest

from fogsdk.device.mqtt import MqttConnection
from fogsdk.device.url import BrokerUrl, Credentials
from fogsdk.errors import ConnectionFailed
from fogsdk.node import broker_socket
from fogsdk.node.broker import Broker, find_mosquitto
from tests.broker.mqtt import Client, serving
from tests.support.waiting import eventually

if find_mosquitto() is None:
    pytest.skip("needs mosquitto", allow_module_level=True)

OLD = """#!/bin/sh
# As a mosquitto that knows no sockets but those of the network.
if grep -q "^listener 0 " "$2"; then echo "Error: Invalid port value (0)."; exit 1; fi
exec {mosquitto} "$@"
"""


class Speaker:
    """A connection as nodes have it, driven by hand; what it heard is in ``heard``."""

    def __init__(self, port: int, local: str, login: Credentials | None = None) -> None:
        self.heard: list[tuple[str, bytes]] = []
        self.said: list[str] = []
        self.connection = MqttConnection(
            BrokerUrl("127.0.0.1", port, local=local),
            login or Credentials(),
            "speaker",
            keepalive=60,
            on_up=lambda: self.said.append("up"),
            on_down=self.said.append,
            on_message=lambda topic, payload: self.heard.append((topic, payload)),
        )
        self.connection.open()

    def until(self, there: Callable[[], object]) -> None:
        """Drive the connection until something is there."""

        def drive() -> object:
            self.connection.flush()
            self.connection.readable()
            return there()

        eventually(drive)


@pytest.fixture
def folder() -> Iterator[Path]:
    """One that the user mosquitto can look into, unlike pytest's own."""
    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(0o755)
        yield Path(name)


def test_messages_pass_between_it_and_tcp_and_it_is_gone_with_the_broker() -> None:
    with serving(kind="mosquitto") as broker, Client(broker.port) as other:
        place = Path(broker.local)
        speaker = Speaker(broker.port, broker.local)
        assert speaker.connection.socket.getpeername() == broker.local
        speaker.until(lambda: "up" in speaker.said)
        speaker.connection.subscribe(["a"])
        other.subscribe("b")
        large = bytes(range(256)) * 4096  # more than the socket takes at once
        speaker.connection.publish("b", large)
        speaker.until(lambda: not other.heard.empty())
        assert other.next() == ("b", large, False)
        other.publish("a", large)
        speaker.until(lambda: speaker.heard)
        assert speaker.heard == [("a", large)]
        speaker.connection.close()
    assert not place.parent.exists()


def test_nobody_else_can_look_into_its_folder() -> None:
    with serving(kind="mosquitto") as broker:
        mode = Path(broker.local).parent.stat().st_mode
        assert stat.S_IMODE(mode) == 0o700


def test_who_comes_by_it_needs_a_login_where_others_do(folder: Path) -> None:
    passwords = folder / "passwd"
    passwords.write_text("node-1:secret\n")
    subprocess.run(["mosquitto_passwd", "-U", passwords], check=True)
    passwords.chmod(0o644)
    with serving(kind="mosquitto", passwords=passwords) as broker:
        stranger = Speaker(broker.port, broker.local)
        stranger.until(lambda: stranger.said)
        assert stranger.said == ["Not authorized"]
        stranger.connection.close()
        node = Speaker(broker.port, broker.local, Credentials("node-1", "secret"))
        node.until(lambda: node.said)
        assert node.said == ["up"]
        node.connection.close()


def test_where_nobody_is_at_it_the_way_is_tcp(folder: Path) -> None:
    with serving(kind="mosquitto") as broker:
        speaker = Speaker(broker.port, str(folder / "nobody"))
        assert speaker.connection.socket.getpeername() == ("127.0.0.1", broker.port)
        speaker.until(lambda: speaker.said)
        assert speaker.said == ["up"]
        speaker.connection.close()


def test_a_mosquitto_that_knows_no_such_sockets_serves_without(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    old = folder / "mosquitto"
    old.write_text(OLD.format(mosquitto=find_mosquitto()))
    old.chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")
    with serving(kind="mosquitto") as broker:
        assert broker.local == ""
        with Client(broker.port):
            pass


@pytest.mark.parametrize("why", ["a folder that is too deep", "no user of that name"])
def test_where_there_is_no_place_for_one_nothing_is_left_behind(
    why: str, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    deep = folder / ("d" * 100 if "deep" in why else "d")
    deep.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(deep))
    with pytest.raises(OSError, match="too long" if "deep" in why else "there is no user"):
        broker_socket.BrokerSocket(() if "deep" in why else ("nobody-of-that-name",))
    assert list(deep.iterdir()) == []


@pytest.mark.parametrize("kind", ["amqtt", "mosquitto"])
def test_other_brokers_and_those_with_a_configuration_of_their_own_have_none(
    kind: Literal["amqtt", "mosquitto"], folder: Path
) -> None:
    options = {}
    if kind == "mosquitto":
        with serving() as probe:
            port = probe.port
        config = folder / "own.conf"
        config.write_text(f"listener {port} 127.0.0.1\nallow_anonymous true\n")
        config.chmod(0o644)
        options = {"config": config}
    with serving(kind=kind, **options) as broker:
        assert broker.local == ""


def test_a_broker_that_does_not_come_up_leaves_no_folder(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    with pytest.raises(ConnectionFailed):
        asyncio.run(Broker(port=0, passwords=folder / "missing").start())
    assert list(folder.iterdir()) == []
