"""What `Broker` promises of its process: it does what the fog needs, comes back, and does not live on."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Literal

import psutil
import pytest

from fogsdk.errors import ConfigError, ConnectionFailed
from fogsdk.node import broker as module
from fogsdk.node import broker_follow
from fogsdk.node.broker import Broker, PortTaken, find_mosquitto
from tests.broker.mqtt import TIMEOUT, Client, serving
from tests.support.ports import accepts, free_port
from tests.support.processes import Processes
from tests.support.waiting import eventually

Kind = Literal["mosquitto", "amqtt"]

if find_mosquitto() is None:
    pytest.skip("needs mosquitto", allow_module_level=True)


@pytest.fixture(params=["mosquitto", "amqtt"])
def kind(request: pytest.FixtureRequest) -> Kind:
    return request.param  # type: ignore[no-any-return]


def client_with_will(port: int, keepalive: int = 60, then: str = "pass") -> str:
    return f"""
import paho.mqtt.client as paho
client = paho.Client(paho.CallbackAPIVersion.VERSION2, "pi")
client.will_set("fog/v1/home/node/pi/birth", b"gone", 0, True)
client.on_connect = lambda *_: print("connected", flush=True)
client.connect("127.0.0.1", {port}, {keepalive})
{then}
client.loop_forever()
"""


def test_it_serves_when_start_returns_and_is_gone_when_stop_returns(kind: Kind) -> None:
    with serving(kind=kind) as broker:
        pid = broker.pid
        assert broker.kind == kind
        assert broker.url == f"mqtt://127.0.0.1:{broker.port}"
        assert pid is not None
        with Client(broker.port):
            pass
    assert broker.pid is None
    assert not psutil.pid_exists(pid)


def test_retained_births_wildcards_and_qos_0_work(kind: Kind) -> None:
    with serving(kind=kind) as broker, Client(broker.port) as node, Client(broker.port) as device:
        node.publish("fog/v1/home/node/pi/birth", b"here", retain=True)
        device.subscribe("fog/v1/home/node/+/birth", "fog/v1/home/reply/#")
        assert device.next() == ("fog/v1/home/node/pi/birth", b"here", True)
        node.publish("fog/v1/home/reply/phone", b"result", qos=0)
        assert device.next() == ("fog/v1/home/reply/phone", b"result", False)
        node.publish("fog/v1/home/node/pi/birth", b"", retain=True)
        assert device.next() == ("fog/v1/home/node/pi/birth", b"", False)
        with Client(broker.port) as late:
            late.subscribe("fog/v1/home/node/+/birth", "fog/v1/home/reply/#")
            node.publish("fog/v1/home/reply/phone", b"no birth before this")
            assert late.next()[1] == b"no birth before this"


def test_the_will_of_a_killed_client_is_published_and_retained(kind: Kind, processes: Processes) -> None:
    with serving(kind=kind) as broker, Client(broker.port) as watcher:
        watcher.subscribe("fog/v1/home/node/+/birth")
        doomed = processes.start_python("-c", client_with_will(broker.port))
        doomed.wait_for("connected")
        doomed.kill()
        assert watcher.next()[:2] == ("fog/v1/home/node/pi/birth", b"gone")
        with Client(broker.port) as late:
            late.subscribe("fog/v1/home/node/+/birth")
            assert late.next() == ("fog/v1/home/node/pi/birth", b"gone", True)


def test_the_old_connection_of_a_client_that_comes_back_ends_before_its_new_birth(kind: Kind) -> None:
    with serving(kind=kind) as broker, Client(broker.port) as watcher:
        watcher.subscribe("fog/v1/home/node/+/birth")
        old = Client(broker.port, client_id="pi")
        old.paho.will_set("fog/v1/home/node/pi/birth", b"gone", 0, True)
        with old, Client(broker.port, client_id="pi") as new:
            new.publish("fog/v1/home/node/pi/birth", b"here again", retain=True)
            assert old.lost.wait(TIMEOUT)
            assert [watcher.next()[1], watcher.next()[1]] == [b"gone", b"here again"]


def test_nothing_waits_for_a_delayed_acknowledgement(kind: Kind) -> None:
    """TCP_NODELAY at the broker: without it, each of these takes more than 40 ms."""
    with serving(kind=kind) as broker, Client(broker.port) as client:
        took = []
        for _ in range(10):
            started = time.perf_counter()
            client.publish("a", b"x")
            took.append(time.perf_counter() - started)
        assert min(took) < 0.03


def test_a_packet_larger_than_any_message_costs_the_connection(kind: Kind) -> None:
    with serving(kind=kind) as broker, Client(broker.port) as client:
        client.paho.publish("a", bytes(17 * 1024 * 1024))
        assert client.lost.wait(TIMEOUT)


def test_a_new_client_of_amqtt_hears_only_what_it_asked_for() -> None:
    """As it comes, amqtt sends it the retained messages of everybody's subscriptions."""
    with serving(kind="amqtt") as broker, Client(broker.port) as first, Client(broker.port) as node:
        first.subscribe("births")
        node.publish("births", b"here", retain=True)
        first.next()
        with Client(broker.port) as new:
            new.subscribe("other")
            node.publish("other", b"asked for")
            assert new.next() == ("other", b"asked for", False)


def start_amqtt(processes: Processes, constant: str) -> int:
    """Start the embedded broker with another value for a constant; returns its port."""
    port = free_port()
    processes.start_python(
        "-c",
        f"import asyncio; import fogsdk.node.broker_embedded as module; module.{constant}; "
        f"asyncio.run(module.serve('127.0.0.1', {port}))",
    )
    eventually(lambda: accepts(port), what="amqtt")
    return port


def test_amqtt_gives_up_a_silent_client_after_its_keepalive(processes: Processes) -> None:
    """Power or link lost: no packet says so. As it comes, amqtt waits for ever."""
    port = start_amqtt(processes, "_GRACE = 1")
    with Client(port) as watcher:
        watcher.subscribe("fog/v1/home/node/+/birth")
        silent = processes.start_python("-c", client_with_will(port, keepalive=1))
        silent.wait_for("connected")
        silent.freeze()
        assert watcher.next()[1] == b"gone"


def test_amqtt_gives_up_a_client_that_does_not_read(processes: Processes) -> None:
    """Else all that is sent to it would pile up in the broker."""
    port = start_amqtt(processes, "_BACKLOG = 1_000_000")
    with Client(port) as sender, Client(port) as watcher:
        watcher.subscribe("fog/v1/home/node/+/birth")
        stuck = processes.start_python("-c", client_with_will(port, then="client.subscribe('big')"))
        stuck.wait_for("connected")
        stuck.freeze()
        while watcher.heard.empty():
            sender.publish("big", bytes(1_000_000))
        assert watcher.next()[1] == b"gone"


def test_a_broker_that_dies_is_reported_and_comes_back_on_its_port(kind: Kind) -> None:
    async def scenario() -> None:
        deaths: asyncio.Queue[str] = asyncio.Queue()
        broker = Broker(port=0, kind=kind, on_death=deaths.put_nowait)
        await broker.start()
        port, first = broker.port, broker.pid
        assert first is not None
        os.kill(first, signal.SIGKILL)
        assert f"{kind} ended with status -9" in await asyncio.wait_for(deaths.get(), TIMEOUT)
        await asyncio.wait_for(broker.ready(), TIMEOUT)
        assert (broker.port, broker.pid != first) == (port, True)
        with Client(port):
            pass
        await broker.stop()

    asyncio.run(scenario())


def test_it_dies_with_a_parent_that_is_killed(kind: Kind, processes: Processes) -> None:
    parent = processes.start_python(
        "-c",
        f"""
import asyncio
from fogsdk.node.broker import Broker
async def main():
    broker = Broker(port=0, kind={kind!r})
    await broker.start()
    print("serving:", broker.pid)
    await asyncio.Event().wait()
asyncio.run(main())
""",
    )
    parent.wait_for("serving:")
    broker = psutil.Process(int(parent.output.split()[-1]))
    parent.kill()
    broker.wait(TIMEOUT)


def test_where_the_kernel_does_not_see_to_it_a_watcher_ends_what_outlives_its_parent() -> None:
    """The way of macOS and the BSDs, which works on Linux too."""
    code = (
        f"import os, runpy; runpy.run_path({broker_follow.__file__!r})['leave_watcher'](); "
        "os.execvp('sleep', ['sleep', '60'])"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE) as process:
        assert process.stdin is not None
        process.stdin.close()  # as the kernel does when the parent dies
        assert process.wait(TIMEOUT) == -signal.SIGKILL


def test_a_taken_port_is_a_clear_error(kind: Kind) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(PortTaken, match=f"127.0.0.1 port {port}: Address already in use; end the program"):
            asyncio.run(Broker(port=port, kind=kind).start())


def test_an_address_that_is_not_this_computers_is_not_called_taken(kind: Kind) -> None:
    with pytest.raises(ConnectionFailed, match="Cannot assign requested address; choose an address of") as raised:
        asyncio.run(Broker("192.0.2.1", port=free_port(), kind=kind, insecure_lan=True).start())
    assert not isinstance(raised.value, PortTaken)


def test_a_port_that_another_took_while_it_was_started_is_called_taken(
    monkeypatch: pytest.MonkeyPatch, open_folder: Path
) -> None:
    look = module._bindable

    def look_too_early(listener: module._Listener) -> module._Listener:
        monkeypatch.setattr(module, "_bindable", look)
        return listener

    monkeypatch.setattr(module, "_bindable", look_too_early)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        config = open_folder / "mosquitto.conf"
        config.write_text(f"listener {taken.getsockname()[1]} 127.0.0.1\nallow_anonymous true\n")
        with pytest.raises(PortTaken):
            asyncio.run(Broker(config=config).start())


def test_the_error_of_a_broker_that_does_not_come_up_says_what_it_printed(tmp_path: Path) -> None:
    with pytest.raises(ConnectionFailed, match=r"Unable to open.*/missing"):
        asyncio.run(Broker(port=0, passwords=tmp_path / "missing").start())


def test_without_mosquitto_auto_is_amqtt_and_refuses_what_amqtt_cannot_do(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(module, "_PLACES", ())
    monkeypatch.setenv("PATH", str(tmp_path))
    assert Broker().kind == "amqtt"
    with pytest.raises(ConfigError, match="apt install mosquitto"):
        Broker(passwords=tmp_path / "passwd")
    with pytest.raises(ConfigError, match="apt install mosquitto"):
        Broker(kind="mosquitto")


def test_auto_finds_mosquitto_where_a_plain_user_has_no_path(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    found = find_mosquitto()
    assert found is not None
    monkeypatch.setattr(module, "_PLACES", (str(Path(found).parent),))
    monkeypatch.setenv("PATH", str(tmp_path))
    assert Broker().kind == "mosquitto"


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1", "pi.local"])
def test_beyond_the_loopback_it_asks_for_passwords(host: str) -> None:
    with pytest.raises(ConfigError, match="without passwords"):
        Broker(host)


def test_insecure_lan_is_allowed_with_a_warning(caplog: pytest.LogCaptureFixture) -> None:
    with (
        caplog.at_level(logging.WARNING),
        serving(host="0.0.0.0", insecure_lan=True) as broker,
        Client(broker.port),
    ):
        assert "everybody in the network can submit tasks" in caplog.text


def test_a_configuration_that_names_no_listener_is_refused(tmp_path: Path) -> None:
    config = tmp_path / "mosquitto.conf"
    config.write_text("allow_anonymous true\n")
    with pytest.raises(ConfigError, match="listener <port>"):
        Broker(config=config)
    with pytest.raises(ConfigError, match="cannot be read"):
        Broker(config=tmp_path / "missing.conf")
