"""A site with TLS, passwords and the shipped access list: who belongs gets in, and the rest is told why not."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from fogsdk import ConfigError, ConnectionFailed
from tests.e2e.site import Site, wait_for_nodes
from tests.support.authority import Authority
from tests.support.broker import Mosquitto
from tests.support.ports import free_port

ACL = Path(__file__).parents[2] / "broker" / "acl"
PASSWORDS = {"phone": "phone's: p@ss/word", "node-1": "node's"}


class SecureSite(Site):
    """A site with a node, node-1, whose broker listens with TLS; on a second port it wants certificates of clients."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder, brokers=0)
        self.authority = Authority(folder / "authority")
        certificate, key = self.authority.issue("broker")
        passwords = folder / "passwd"
        passwords.touch()
        for name, password in PASSWORDS.items():
            subprocess.run(["mosquitto_passwd", "-b", passwords, name, password], check=True)
        self.port, self.strict_port = free_port(), free_port()
        tls = (f"cafile {self.authority.file}", f"certfile {certificate}", f"keyfile {key}")
        self.brokers = [
            Mosquitto(
                folder,
                *(f"password_file {passwords}", f"acl_file {ACL}"),
                *(f"listener {self.port} 127.0.0.1", *tls),
                *(f"listener {self.strict_port} 127.0.0.1", *tls, "require_certificate true"),
                anonymous=False,
            )
        ]

    @property
    def urls(self) -> list[str]:
        return [f"mqtts://127.0.0.1:{self.port}"]

    @property
    def login(self) -> dict[str, str]:
        """What a device needs to get in."""
        return {"username": "phone", "password": PASSWORDS["phone"], "ca": str(self.authority.file)}


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SecureSite]:
    with SecureSite(tmp_path_factory.mktemp("secure")) as site:
        password = site.folder / "node.password"
        password.write_text(PASSWORDS["node-1"])
        node = site.nodes["node-1"] = site.launch(
            *("--node", "node-1", "--username", "node-1", "--password-file", str(password)),
            *("--ca", str(site.authority.file), "--brokers", ",".join(site.urls)),
        )
        node.wait_for("connected to mqtts://")
        yield site


def test_a_task_runs_over_tls_with_passwords_and_the_shipped_access_list(site: SecureSite) -> None:
    """The login's name becomes the sender's id, to which the access list ties tasks and replies."""
    with site.connect(**site.login) as fog:
        assert fog.name == "phone"
        wait_for_nodes(fog, "node-1")
        assert [fog.run("increment", number) for number in range(20)] == list(range(1, 21))


def test_large_data_goes_the_same_ways_as_small(site: SecureSite) -> None:
    """Its chunks and their acknowledgements are on topics that the access list allows already; and TLS cuts it anew."""
    data = bytes(range(256)) * 40_000
    with site.connect(**site.login) as fog:
        assert fog.run("give_back", data, deadline=30) == [[data], {}]


def test_the_login_can_be_part_of_the_url(site: SecureSite) -> None:
    url = f"mqtts://phone:phone%27s%3A%20p%40ss%2Fword@127.0.0.1:{site.port}/home"
    with site.connect(url, ca=str(site.authority.file)) as fog:
        assert fog.name == "phone"
        assert fog.run("increment", 1) == 2


@pytest.mark.parametrize("login", [{"password": "wrong"}, {"username": "nobody"}, {"username": None}])
def test_a_wrong_login_is_a_clear_connection_failed(site: SecureSite, login: dict[str, str]) -> None:
    with pytest.raises(ConnectionFailed, match="login not accepted: Not authorized") as caught:
        site.connect(**{**site.login, **login}, timeout=0.7)
    assert f"mqtts://127.0.0.1:{site.port}" in str(caught.value)
    assert PASSWORDS["phone"] not in str(caught.value)


def test_a_certificate_of_another_authority_is_a_clear_connection_failed(site: SecureSite) -> None:
    """Neither the system's authorities nor a wrong one vouch for this broker."""
    stranger = Authority(site.folder / "stranger")
    for ca in (None, str(stranger.file)):
        with pytest.raises(ConnectionFailed, match=r"its certificate is not trusted: .*pass ca="):
            site.connect(**{**site.login, "ca": ca}, timeout=0.7)


def test_a_certificate_for_another_address_is_a_clear_connection_failed(site: SecureSite) -> None:
    with pytest.raises(ConnectionFailed, match="certificate is not valid for 'localhost'"):
        site.connect(f"mqtts://localhost:{site.port}", **site.login, timeout=0.7)


def test_tls_spoken_to_a_plain_port_and_the_reverse_are_clear_too(site: SecureSite) -> None:
    with pytest.raises(ConnectionFailed, match=rf"{site.broker.port}: .*perhaps that port does not speak TLS"):
        site.connect(f"mqtts://127.0.0.1:{site.broker.port}", **site.login, timeout=0.7)
    with pytest.raises(ConnectionFailed, match=rf"{site.port}: .*perhaps that port wants mqtts://"):
        site.connect(f"mqtt://127.0.0.1:{site.port}", **site.login, timeout=0.7)


def test_a_broker_that_wants_a_certificate_of_the_device_gets_it(site: SecureSite) -> None:
    url = f"mqtts://127.0.0.1:{site.strict_port}"
    certificate, key = site.authority.issue("phone")
    with site.connect(url, **site.login, cert=str(certificate), key=str(key)) as fog:
        assert fog.run("increment", 1) == 2
    with pytest.raises(ConnectionFailed, match=f"{url}: .*perhaps it wants a certificate"):
        site.connect(url, **site.login, timeout=0.7)


@pytest.mark.parametrize("option", ["ca", "cert"])
def test_a_file_that_cannot_be_read_is_a_clear_config_error(site: SecureSite, option: str) -> None:
    with pytest.raises(ConfigError, match=r"missing\.pem"):
        site.connect(**{**site.login, option: "missing.pem"}, timeout=0.7)


def test_a_node_with_a_wrong_password_says_so_and_tries_on(site: SecureSite) -> None:
    node = site.launch(
        *("--node", "node-2", "--username", "node-2", "--password", "wrong"),
        *("--ca", str(site.authority.file), "--brokers", site.urls[0]),
    )
    node.wait_for(f"cannot connect to {site.urls[0]}: Not authorized; trying on")
    assert node.terminate() == 0
