"""The socket by which a broker's own user gets to it sooner: what goes by TCP goes there too."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import socket
import stat
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Literal

import pytest

from fogsdk.device.mqtt import MqttConnection
from fogsdk.device.url import BrokerUrl, Credentials, Local
from fogsdk.errors import ConnectionFailed
from fogsdk.node import broker_socket
from fogsdk.node.broker import Broker, find_mosquitto
from tests.broker.mqtt import TIMEOUT, Client, serving
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

    def __init__(self, port: int, local: Local, login: Credentials | None = None) -> None:
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


def place_of(broker: Broker) -> Path:
    """Where its socket is."""
    connection = broker.local()
    assert connection is not None
    with connection:
        return Path(connection.getpeername())


def test_messages_pass_between_it_and_tcp_and_it_is_gone_with_the_broker() -> None:
    with serving(kind="mosquitto") as broker, Client(broker.port) as other:
        speaker = Speaker(broker.port, broker.local)
        place = Path(speaker.connection.socket.getpeername())
        assert place.name == "mqtt"
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
        mode = place_of(broker).parent.stat().st_mode
        assert stat.S_IMODE(mode) == 0o700


def test_who_comes_by_it_needs_a_login_where_others_do(open_folder: Path) -> None:
    passwords = open_folder / "passwd"
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


def test_where_nobody_is_at_it_the_way_is_tcp(open_folder: Path) -> None:
    with serving(kind="mosquitto") as broker:
        nobody = broker_socket.BrokerSocket()
        speaker = Speaker(broker.port, nobody.connect)
        nobody.close()
        assert speaker.connection.socket.getpeername() == ("127.0.0.1", broker.port)
        speaker.until(lambda: speaker.said)
        assert speaker.said == ["up"]
        speaker.connection.close()


def test_a_mosquitto_that_knows_no_such_sockets_serves_without(
    open_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = open_folder / "mosquitto"
    old.write_text(OLD.format(mosquitto=find_mosquitto()))
    old.chmod(0o755)
    monkeypatch.setenv("PATH", f"{open_folder}:/usr/bin:/bin")
    with serving(kind="mosquitto") as broker:
        assert broker.local() is None
        with Client(broker.port):
            pass


@pytest.mark.parametrize(
    ("place", "users", "why"),
    [
        ("d" * 100, (), "too long"),
        ("d", ("nobody-of-that-name",), "there is no user"),
        ("with a space", (), "cannot stand in"),
        ("with a\nnewline", (), "cannot stand in"),
        ("no text \udcff", (), "cannot stand in"),
    ],
    ids=["too deep", "no user of that name", "a space", "a newline", "not UTF-8"],
)
def test_where_there_is_no_place_for_one_nothing_is_left_behind(
    place: str, users: tuple[str, ...], why: str, open_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    there = open_folder / place
    there.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(there))
    with pytest.raises(OSError, match=why):
        broker_socket.BrokerSocket(users)
    assert list(there.iterdir()) == []


def test_a_broker_whose_socket_would_have_a_space_in_its_path_removes_no_file_of_others(
    open_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """mosquitto takes a path as far as the space, and removes what lies there to make its socket."""
    (open_folder / "my").write_text("precious")
    (open_folder / "my folder").mkdir(mode=0o755)
    monkeypatch.setattr(tempfile, "tempdir", str(open_folder / "my folder"))
    with serving(kind="mosquitto") as broker:
        assert broker.local() is None
    assert (open_folder / "my").read_text() == "precious"


def test_a_broker_that_is_killed_comes_back_without_its_socket_when_the_folder_is_gone() -> None:
    async def scenario() -> None:
        deaths: asyncio.Queue[str] = asyncio.Queue()
        broker = Broker(port=0, kind="mosquitto", on_death=deaths.put_nowait)
        await broker.start()
        speaker = Speaker(broker.port, broker.local)
        speaker.until(lambda: speaker.said)
        shutil.rmtree(place_of(broker).parent)
        assert broker.pid is not None
        os.kill(broker.pid, signal.SIGKILL)
        said = await asyncio.wait_for(deaths.get(), TIMEOUT)
        assert said.endswith("printed: nothing"), "nor who came by the socket, which explains no death"
        await asyncio.wait_for(broker.ready(), TIMEOUT)
        with Client(broker.port):
            pass
        assert broker.local() is None
        speaker.connection.close()
        await broker.stop()

    asyncio.run(scenario())


@pytest.mark.parametrize("how", ["open to all", "another user's", "a link"])
def test_who_made_the_folder_anew_is_not_trusted(how: str, open_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(open_folder))
    place = broker_socket.BrokerSocket()
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(place.path)
        listener.listen()
        real = place.connect()
        assert real is not None
        real.close()
        private = Path(place.path).parent
        if how == "open to all":
            private.chmod(0o755)
        elif how == "another user's":
            if os.geteuid():
                pytest.skip("needs root, to give a folder to another user")
            os.chown(private, 12345, -1)
        else:
            private.symlink_to(private.rename(open_folder / "elsewhere"))
        assert place.connect() is None
    place.close()


def test_what_a_killed_process_left_behind_is_removed_by_the_next_one(
    open_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = "from fogsdk.node.broker_socket import BrokerSocket as S; import os; s = S(); open(s.path, 'w'); "
    killed = [sys.executable, "-c", made + "print(s.path, flush=True); os.kill(os.getpid(), 9)"]
    path = subprocess.run(
        killed, env={**os.environ, "TMPDIR": str(open_folder)}, stdout=subprocess.PIPE, check=False
    ).stdout
    left = Path(path.decode().strip())
    assert left.exists()
    monkeypatch.setattr(tempfile, "tempdir", str(open_folder))
    first, second = broker_socket.BrokerSocket(), broker_socket.BrokerSocket()
    assert {each.name for each in open_folder.iterdir()} == {Path(each.path).parent.name for each in (first, second)}
    first.close()
    second.close()
    assert list(open_folder.iterdir()) == []


@pytest.mark.parametrize("kind", ["amqtt", "mosquitto"])
def test_other_brokers_and_those_with_a_configuration_of_their_own_have_none(
    kind: Literal["amqtt", "mosquitto"], open_folder: Path
) -> None:
    options = {}
    if kind == "mosquitto":
        with serving() as probe:
            port = probe.port
        config = open_folder / "own.conf"
        config.write_text(f"listener {port} 127.0.0.1\nallow_anonymous true\n")
        config.chmod(0o644)
        options = {"config": config}
    with serving(kind=kind, **options) as broker:
        assert broker.local() is None


def test_a_broker_that_does_not_come_up_leaves_no_folder(open_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(open_folder))
    with pytest.raises(ConnectionFailed):
        asyncio.run(Broker(port=0, passwords=open_folder / "missing").start())
    assert list(open_folder.iterdir()) == []
