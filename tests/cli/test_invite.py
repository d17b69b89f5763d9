"""``fog invite``: a QR code with the way in, that is tried before it is shown, and a warning when it is a key."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from xml.etree import ElementTree

import pytest
import segno

import fogsdk
from fogsdk.device.url import parse
from fogsdk.node.invite import broker_url, qr_lines, qr_svg
from tests.cli.site import Site, Terminal, fog
from tests.support.ports import free_port

PASSWORD = "p@ss w/rd#1"


@pytest.fixture(scope="module")
def page() -> str:
    return f"http://127.0.0.1:{free_port()}/"


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory, page: str) -> Iterator[Site]:
    """A site that asks for a password, and whose node has a page."""
    folder = tmp_path_factory.mktemp("invite")
    passwords = folder / "passwords"
    passwords.write_text(f"phone:{PASSWORD}\nn1:node\n")
    subprocess.run(["mosquitto_passwd", "-U", passwords], check=True)
    (folder / "password").write_text(f"{PASSWORD}\n")
    (folder / "token").write_text("a-token-of-20-letters\n")
    site = Site(folder, f"password_file {passwords}", anonymous=False)
    try:
        login = ("--username", "n1", "--password", "node")
        site.start("n1", flags=(*login, "--http-port", page.rstrip("/").rpartition(":")[2]))
        yield site
    finally:
        site.close()


def invite(site: Site, *words: str) -> dict[str, object]:
    login = ("--username", "phone", "--password-file", str(site.folder / "password"))
    done = site.fog("invite", "--json", *login, *words)
    assert done.returncode == 0, done.stderr
    told: dict[str, object] = json.loads(done.stdout)
    return told


def test_a_device_gets_in_with_the_text_alone(site: Site, page: str) -> None:
    """The broker is at 127.0.0.1, which leads a phone to itself: it is told this computer's address instead."""
    told = invite(site)
    assert told["page"] == page
    assert told["key"] is True
    text = str(told["invitation"])
    assert text.startswith(f"{page}#url=mqtt://phone:")
    url, *_ = list(told["urls"])  # type: ignore[call-overload]
    here = text.replace(parse(url).host, "127.0.0.1")
    with fogsdk.connect(here, timeout=5) as device:
        assert device.name == "phone"
        assert device.run("fog.report")["node"] == "n1"
    assert fog("nodes", "--url", here).returncode == 0, "every command takes it"


def test_without_a_password_it_is_no_key(site: Site, page: str) -> None:
    told = invite(site, "--no-password", "--token-file", str(site.folder / "token"))
    assert told["key"] is False
    assert "p%40ss" not in str(told)
    assert "token" not in str(told["invitation"])


def test_a_token_for_http_goes_into_it(site: Site, page: str) -> None:
    told = invite(site, "--token-file", str(site.folder / "token"), "--page", "http://192.168.1.9:8080/")
    assert str(told["invitation"]).startswith("http://192.168.1.9:8080/#url=")
    assert str(told["invitation"]).endswith("&token=a-token-of-20-letters")


def test_on_a_terminal_it_is_black_on_white_and_says_that_it_is_a_key(
    site: Site, page: str, open_terminal: Callable[..., Terminal]
) -> None:
    terminal = open_terminal(
        *("invite", "--username", "phone", "--password-file", str(site.folder / "password")), url=site.url
    )
    assert terminal.wait() == 0
    assert "This code is a key: whoever sees it" in terminal.written
    shown = [line[8:].partition("\x1b")[0] for line in terminal.written.split("\r\n") if line.startswith("\x1b[97;40m")]
    text, *_ = [line for line in terminal.written.split("\r\n") if line.startswith(page)]
    assert matrix(shown) == [list(row) for row in segno.make_qr(text, error="l").matrix_iter(border=2)]


def matrix(lines: list[str]) -> list[list[int]]:
    """The modules of a code that is written in half blocks, dark ones as 1."""
    halves = {" ": (1, 1), "\u2580": (0, 1), "\u2584": (1, 0), "\u2588": (0, 0)}
    rows = [[halves[block][half] for block in line] for line in lines for half in (0, 1)]
    return rows[: len(lines[0])]


def test_a_login_that_is_refused_is_not_handed_on(site: Site) -> None:
    done = site.fog("invite", "--username", "phone", "--timeout", "1")
    assert done.returncode == 5
    assert "login not accepted" in done.stderr


def test_with_no_page_it_says_that_no_camera_can_open_it(start_site: Callable[..., Site]) -> None:
    done = start_site().fog("invite")
    assert done.returncode == 0
    assert "No node announces a page, so a camera cannot open this" in done.stderr
    assert "is a key" not in done.stderr
    assert "if nothing listens on another address" in done.stderr


@pytest.mark.parametrize(
    ("known", "told"),
    [
        ("mqtt://192.168.1.5", "mqtt://192.168.1.5/shop"),
        ("mqtt://localhost:1884", "mqtt://192.168.1.9:1884/shop"),
        ("mqtts://me:a%2Fb@pi.local", "mqtts://me:a%2Fb@pi.local/shop"),
        ("mqtt://me@[fe80::1]/other", "mqtt://me@[fe80::1]/shop"),
    ],
)
def test_a_broker_is_told_of_as_others_reach_it(known: str, told: str) -> None:
    assert broker_url(parse(known), "shop", "192.168.1.9") == told


def test_as_a_picture_it_has_the_same_modules_and_a_wide_margin() -> None:
    picture = ElementTree.fromstring(qr_svg("http://pi/"))  # noqa: S314 - our own
    side = segno.make_qr("http://pi/", error="l").symbol_size(border=4)[0]
    assert picture.attrib["viewBox"] == f"0 0 {side} {side}"
    assert len({len(line) for line in qr_lines("http://pi/")}) == 1


def test_what_cannot_be_read_is_a_clear_error(site: Site, tmp_path: Path) -> None:
    login = ("--username", "phone", "--password-file", str(site.folder / "password"))
    done = site.fog("invite", *login, "--token-file", str(tmp_path / "missing"))
    assert done.returncode == 2
    assert "missing cannot be read" in done.stderr
