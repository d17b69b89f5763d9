"""Who names no URL gets the brokers of one site, and no others later; whoever announces what.

mDNS itself is in ``test_discovery.py``; here it says what a test has it say.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path

import pytest

import fogsdk
from fogsdk import ConfigError, ConnectionFailed
from fogsdk.cli import announced, options, watch
from fogsdk.cli.main import main
from fogsdk.device import brokers, discovery
from fogsdk.device import fog as fog_module
from fogsdk.device.url import Credentials, parse
from tests.support.broker import Mosquitto
from tests.support.ports import free_port
from tests.support.waiting import eventually

Say = Callable[..., list[str | None]]
HOME, OFFICE, CORE = (f"mqtt://127.0.0.1:9/{site}" for site in ("home", "office", "core"))


@pytest.fixture
def say(monkeypatch: pytest.MonkeyPatch) -> Say:
    """Call it with what is announced at the first look, the second, and so on; returns the sites asked for."""
    asked: list[str | None] = []

    def announce(*looks: list[str]) -> list[str | None]:
        left = list(looks)

        def find(timeout: float = 1.0, site: str | None = None, interface: str | None = None) -> list[str]:
            asked.append(site)
            found = left.pop(0) if len(left) > 1 else left[0]
            return [url for url in found if site is None or url.endswith(f"/{site}")]

        monkeypatch.setattr(discovery, "find_brokers", find)
        return asked

    nowhere = f"mqtt://127.0.0.1:{free_port()}"
    monkeypatch.delenv("FOG_URL", raising=False)
    monkeypatch.setattr(discovery, "find_nodes", lambda **_: [])
    for module in (fog_module, options):
        monkeypatch.setattr(module, "fallback", lambda _: nowhere)
    return announce


def arguments(*words: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    options.add_common(parser)
    return parser.parse_args([*words])


def test_a_device_that_names_no_site_gets_home_or_the_only_one_or_an_error(say: Say, tmp_path: Path) -> None:
    for number, (found, site) in enumerate([([CORE, HOME], "home"), ([OFFICE], "office"), ([], "home")]):
        say(found)
        with fogsdk.connect(ledger=tmp_path / str(number)) as fog:
            assert fog.site == site
    say([CORE, OFFICE])
    with pytest.raises(ConfigError, match=r"several sites are announced here \(core, office\)"):
        fogsdk.connect()
    with pytest.raises(ConfigError, match="several sites"):
        options.observe(arguments())


def test_later_it_looks_for_that_site_alone(say: Say, tmp_path: Path) -> None:
    asked = say([OFFICE], [CORE, HOME])
    with fogsdk.connect(ledger=tmp_path / "ledger"):
        eventually(lambda: len(asked) > 1, what="a second look")
    assert asked[:2] == [None, "office"]


def test_the_error_names_what_was_tried_and_the_sites_that_were_not_meant(say: Say, tmp_path: Path) -> None:
    passwords = tmp_path / "passwords"
    passwords.write_text("")
    closed = Mosquitto(tmp_path, f"password_file {passwords}", anonymous=False)
    try:
        say([], [f"{closed.url}/home", OFFICE])
        with pytest.raises(ConnectionFailed) as failed:
            fogsdk.connect(timeout=5)
    finally:
        closed.kill()
    assert f"{closed.port}: login not accepted" in str(failed.value)
    assert "Others are announced here (office): name one" in str(failed.value)


def test_a_ledger_knows_its_site_where_nothing_is_announced(say: Say, tmp_path: Path) -> None:
    say([OFFICE])
    with fogsdk.connect(ledger=tmp_path / "ledger") as fog:
        fog.submit("x")
    asked = say([], [HOME])
    with fogsdk.connect(ledger=tmp_path / "ledger") as fog:
        assert (fog.site, len(fog.recovered)) == ("office", 1)
    assert asked[-1] == "office"
    with pytest.raises(ConfigError, match="for site 'home'"):
        fogsdk.connect("mqtt://127.0.0.1:9/home", ledger=tmp_path / "ledger")


def test_a_password_is_not_for_brokers_without_tls_beside_those_with_it(say: Say, tmp_path: Path) -> None:
    safe, plain = "mqtts://127.0.0.1:9/home", HOME
    say([plain, safe], [plain])
    with fogsdk.connect(username="me", password="secret", ledger=tmp_path / "ledger") as fog:
        assert [broker.tls for broker in fog._brokers] == [True]
    say([plain, safe])
    for login in (Credentials("me", "secret"), Credentials(ca="ca.pem")):
        assert [broker.tls for broker in brokers.later("home", login, [])] == [True]
    assert [broker.tls for broker in brokers.later("home", Credentials(), [parse(safe)])] == [False, True]
    say([plain])
    assert brokers.later("home", Credentials("me", "secret"), [parse(safe)]) == []
    assert [broker.tls for broker in brokers.later("home", Credentials("me", "secret"), [parse(plain)])] == [False]
    assert brokers.fallback(Credentials(ca="ca.pem")).startswith("mqtts:")


def test_an_empty_entry_in_fog_url_is_passed_over_by_all(
    say: Say, tmp_path: Path, mosquitto: Mosquitto, monkeypatch: pytest.MonkeyPatch
) -> None:
    say([])
    monkeypatch.setenv("FOG_URL", f" ,{mosquitto.url}/office")
    with fogsdk.connect() as fog, options.observe(arguments()) as observer:
        assert fog.site == observer.site == "office"


def test_who_announces_hundreds_of_brokers_has_some_of_them_tried(say: Say) -> None:
    say([f"mqtt://10.0.{number // 200}.{number % 200}/home" for number in range(1000)])
    assert len(brokers.announced(None, Credentials())) == brokers.MOST


def test_a_command_that_listens_stays_with_the_site_that_it_began_with(say: Say, mosquitto: Mosquitto) -> None:
    say([HOME], [f"{mosquitto.url}/home", OFFICE, CORE])
    with options.observe(arguments()) as observer:
        assert (observer.site, observer.broker.port) == ("home", mosquitto.port)
    say([], [f"{mosquitto.url}/office"])
    with pytest.raises(ConnectionFailed, match=r"Others are announced here \(office\)"):
        options.observe(arguments("--timeout", "2"))


def test_watch_stays_with_its_site_when_its_broker_dies(
    say: Say, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = Mosquitto(tmp_path)
    say([f"{first.url}/office"])
    args = arguments()
    seen: list[str | None] = []

    def traffic(observer: object, refresh: object) -> list[object]:
        seen.append(args.site)
        if len(seen) == 2:
            raise KeyboardInterrupt
        say([f"{first.url}/office", HOME, CORE])
        raise ConnectionFailed("the broker died")

    monkeypatch.setattr(watch, "_traffic", traffic)
    try:
        with pytest.raises(KeyboardInterrupt):
            watch.run(args)
    finally:
        first.kill()
    assert seen == ["office", "office"]


def test_the_doctor_shows_all_that_is_announced_and_that_none_was_named(
    say: Say, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    say([CORE, OFFICE])
    monkeypatch.setattr(announced, "find_brokers", lambda: [CORE, OFFICE])
    assert main(["doctor"]) == 1
    said = capsys.readouterr().out
    assert f"mDNS brokers: {CORE}, {OFFICE}" in said
    assert "several sites are announced here (core, office): name one" in said
