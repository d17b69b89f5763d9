"""connect: finds a broker, waits for one, and says what it tried when there is none."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, wait

import pytest

import fogsdk
from fogsdk import ConfigError, ConnectionFailed
from tests.e2e.site import Site
from tests.support.broker import Mosquitto
from tests.support.ports import free_port


def test_without_any_broker_it_raises_within_its_timeout_and_says_what_it_tried() -> None:
    urls = [f"mqtt://127.0.0.1:{free_port()}" for _ in range(2)]
    begun = time.monotonic()
    with pytest.raises(ConnectionFailed, match=r"within 0\.5 s") as caught:
        fogsdk.connect(urls, timeout=0.5)
    assert 0.4 < time.monotonic() - begun < 1.0
    for url in urls:
        assert f"{url}: nothing listens there (connection refused)" in str(caught.value)


def test_a_host_that_does_not_exist_is_named() -> None:
    with pytest.raises(ConnectionFailed, match=r"mqtt://no-such-host\.invalid:1883: no such host name"):
        fogsdk.connect("mqtt://no-such-host.invalid", timeout=1)


def test_what_listens_and_says_nothing_is_no_broker() -> None:
    with socket.create_server(("127.0.0.1", 0)) as mute:
        begun = time.monotonic()
        with pytest.raises(ConnectionFailed, match=f"127.0.0.1:{mute.getsockname()[1]}"):
            fogsdk.connect(f"mqtt://127.0.0.1:{mute.getsockname()[1]}", timeout=0.5)
        assert time.monotonic() - begun < 1.0


def test_an_address_that_does_not_even_refuse_holds_it_no_longer_than_its_timeout() -> None:
    """A host that is off: nobody answers the packets that ask for a connection."""
    with socket.create_server(("127.0.0.1", 0), backlog=0) as deaf:
        address = deaf.getsockname()
        queue = [socket.socket() for _ in range(4)]  # more than the system keeps waiting
        for each in queue:
            each.setblocking(False)
            each.connect_ex(address)
        try:
            begun = time.monotonic()
            with pytest.raises(ConnectionFailed, match=f"127.0.0.1:{address[1]}"):
                fogsdk.connect(f"mqtt://127.0.0.1:{address[1]}", timeout=0.5)
            assert time.monotonic() - begun < 1.0
        finally:
            for each in queue:
                each.close()


def test_a_device_that_starts_before_the_broker_waits_for_it(
    start_mosquitto: Callable[..., Mosquitto],
) -> None:
    broker = start_mosquitto()
    broker.kill()
    with ThreadPoolExecutor(1) as thread:
        connecting = thread.submit(fogsdk.connect, broker.url, timeout=10)
        assert wait([connecting], timeout=0.3).not_done
        broker.start()
        with connecting.result(10) as fog:
            assert "connected" in repr(fog)


def test_a_device_that_starts_before_the_node_waits_with_its_tasks(
    start_mosquitto: Callable[..., Mosquitto],
) -> None:
    """The deadline says for how long."""
    with fogsdk.connect(start_mosquitto().url) as fog:
        assert fog.nodes() == {}
        with pytest.raises(fogsdk.DeadlineExceeded, match="no node was there"):
            fog.run("increment", 1, deadline=0.3)


def test_the_first_broker_that_answers_is_taken(site: Site) -> None:
    with fogsdk.connect([f"mqtt://127.0.0.1:{free_port()}", site.broker.url]) as fog:
        assert fog.run("increment", 1) == 2


def test_fog_url_is_used_where_no_url_is_given(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """It may name several brokers, and the site."""
    monkeypatch.setenv("FOG_URL", f"mqtt://127.0.0.1:{free_port()}, {site.broker.url}/home")
    with fogsdk.connect() as fog:
        assert fog.site == "home"
        assert fog.run("increment", 1) == 2


def test_the_url_or_the_argument_names_the_site(site: Site) -> None:
    for options in ({"url": f"{site.broker.url}/elsewhere"}, {"url": site.broker.url, "site": "elsewhere"}):
        with fogsdk.connect(**options) as fog:  # type: ignore[arg-type]
            assert fog.site == "elsewhere"
            with pytest.raises(fogsdk.DeadlineExceeded):
                fog.run("increment", 1, deadline=0.2)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"url": "ftp://127.0.0.1"}, "the scheme must be mqtt, mqtts or coap"),
        ({"url": "http://127.0.0.1"}, "is a page for people"),
        ({"url": "mqtt://me:secret@:1883"}, "names no host"),
        ({"url": "mqtt://127.0.0.1:99999"}, "the port is a number up to 65535"),
        ({"url": []}, "no broker URL was given"),
        ({"url": "mqtt://127.0.0.1", "site": "My Home"}, "site: must be"),
        ({"url": "mqtt://127.0.0.1", "name": "a/b"}, "name: must be"),
    ],
)
def test_what_cannot_be_right_is_a_config_error(options: dict[str, object], words: str) -> None:
    with pytest.raises(ConfigError, match=words) as caught:
        fogsdk.connect(**options)  # type: ignore[arg-type]
    assert "secret" not in str(caught.value)
