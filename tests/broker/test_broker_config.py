"""The mosquitto configurations in broker/, run as they are shipped: who may do what, and nobody else.

Over MQTT 3.1.1 mosquitto accepts any subscription and acknowledges any message, and then delivers nothing. So
each of these tests sends what must not arrive first, and something that must arrive after it.
"""

from __future__ import annotations

import datetime
import ipaddress
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from fogsdk.errors import ConfigError
from fogsdk.node import broker as module
from fogsdk.node.broker import Broker
from tests.broker.mqtt import TIMEOUT, Client, serving
from tests.support.ports import free_port
from tests.support.processes import Processes

SHIPPED = Path(__file__).parents[2] / "broker"
LOGINS = ("phone", "tablet", "node-1", "node-2", "cloud")


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    """A folder that the user mosquitto can read, unlike pytest's own; each login is its own password."""
    with tempfile.TemporaryDirectory() as name:
        path = Path(name)
        path.chmod(0o755)
        (path / "acl").write_text((SHIPPED / "acl").read_text())
        passwords = path / "passwd"
        passwords.write_text("".join(f"{login}:{login}\n" for login in LOGINS))
        subprocess.run(["mosquitto_passwd", "-U", passwords], check=True)
        passwords.chmod(0o644)
        yield path


def shipped(name: str, folder: Path) -> Path:
    """A copy of a shipped configuration, with its paths and port changed to ones that a test may use."""
    text = (SHIPPED / name).read_text()
    for original, here in (
        ("/etc/mosquitto/certs/", f"{folder}/"),
        ("/etc/mosquitto/", f"{folder}/"),
        ("\nlistener 1883\n", f"\nlistener {free_port()} 127.0.0.1\n"),
        ("\nlistener 8883\n", f"\nlistener {free_port()} 127.0.0.1\n"),
    ):
        text = text.replace(original, here)
    copy = folder / name
    copy.write_text(text)
    return copy


@pytest.fixture(scope="module")
def site(folder: Path) -> Iterator[int]:
    """The port of a broker that runs with site.conf."""
    with serving(config=shipped("site.conf", folder)) as broker:
        yield broker.port


@pytest.mark.parametrize(("login", "password"), [("", ""), ("phone", "wrong"), ("nobody", "nobody"), ("phone", "")])
def test_nobody_gets_in_without_a_login_and_its_password(site: int, login: str, password: str) -> None:
    client = Client(site, login, password=password)
    assert client.connect() == "Not authorized"
    client.close()


def test_a_task_goes_to_the_node_and_its_reply_comes_back(site: int) -> None:
    with Client(site, "phone") as phone, Client(site, "node-1") as node:
        node.subscribe("fog/v1/home/node/node-1/task/+", "fog/v1/home/task/+")
        phone.subscribe("fog/v1/home/reply/phone")
        phone.publish("fog/v1/home/node/node-1/task/phone", b"task")
        assert node.next()[:2] == ("fog/v1/home/node/node-1/task/phone", b"task")
        phone.publish("fog/v1/home/task/phone", b"for any node")
        assert node.next()[:2] == ("fog/v1/home/task/phone", b"for any node")
        node.publish("fog/v1/home/reply/phone", b"result")
        assert phone.next()[1] == b"result"


@pytest.mark.parametrize("wanted", ["fog/v1/home/reply/phone", "fog/v1/home/reply/+", "fog/v1/#", "#"])
def test_a_device_cannot_read_anothers_replies_or_tasks(site: int, wanted: str) -> None:
    with Client(site, "tablet") as tablet, Client(site, "phone") as phone, Client(site, "node-1") as node:
        tablet.subscribe(wanted, "fog/v1/home/reply/tablet")
        phone.publish("fog/v1/home/node/node-1/task/phone", b"secret")
        phone.publish("fog/v1/home/task/phone", b"secret")
        node.publish("fog/v1/home/node/node-1/beat", b"not for devices")
        node.publish("fog/v1/home/node/node-2/replica/node-1", b"what nodes keep for others")
        node.publish("fog/v1/home/reply/phone", b"secret")
        node.publish("fog/v1/home/reply/tablet", b"its own")
        assert tablet.next()[1] == b"its own"


@pytest.mark.parametrize(
    "forged",
    [
        "fog/v1/home/node/node-1/task/phone",
        "fog/v1/home/task/phone",
        "fog/v1/home/reply/phone",
        "fog/v1/home/node/node-1/birth",
        "fog/v1/home/node/tablet/birth",
        "fog/v1/home/node/node-1/beat",
        "fog/v1/home/node/tablet/beat",
        "fog/v1/home/node/node-1/replica/tablet",
        "fog/v1/home/node/node-1/replica/node-2",
    ],
)
def test_a_device_writes_as_nobody_else_and_is_no_node(site: int, forged: str) -> None:
    with Client(site, "tablet") as tablet, Client(site, "node-1") as node, Client(site, "phone") as phone:
        filters = ("task/+", "node/node-1/task/+", "node/node-1/replica/+", "node/+/birth", "node/+/beat")
        node.subscribe(*(f"fog/v1/home/{each}" for each in filters))
        phone.subscribe("fog/v1/home/reply/phone")
        tablet.publish(forged, b"forged", retain=True)
        tablet.publish("fog/v1/home/task/tablet", b"in its own name")
        assert node.next()[1] == b"in its own name"
        node.publish("fog/v1/home/reply/phone", b"from a node")
        assert phone.next()[1] == b"from a node"


@pytest.mark.parametrize("login", ["node-1", "node-2", "cloud"])
def test_a_node_can_do_its_work(site: int, login: str) -> None:
    """The bridge is a node at its own site."""
    other = "node-2" if login != "node-2" else "node-1"
    with Client(site, login) as node, Client(site, other) as neighbour, Client(site, "phone") as phone:
        phone.subscribe("fog/v1/home/node/+/birth")
        neighbour.subscribe(
            *(f"fog/v1/home/node/{each}" for each in ("+/birth", "+/beat", f"{other}/task/+", f"{other}/replica/+"))
        )
        node.subscribe(f"fog/v1/home/reply/{login}")
        node.publish(f"fog/v1/home/node/{login}/birth", b"here")
        assert phone.next()[1] == neighbour.next()[1] == b"here"
        for kind in ("beat", "task", "replica"):
            topic = f"node/{login}/beat" if kind == "beat" else f"node/{other}/{kind}/{login}"
            node.publish(f"fog/v1/home/{topic}", kind.encode())
            assert neighbour.next()[:2] == (f"fog/v1/home/{topic}", kind.encode())
        neighbour.publish(f"fog/v1/home/reply/{login}", b"kept")
        assert node.next()[1] == b"kept"


def test_the_will_of_a_node_passes_the_access_list(site: int, processes: Processes) -> None:
    with Client(site, "phone") as phone:
        phone.subscribe("fog/v1/home/node/+/birth")
        node = processes.start_python(
            "-c",
            f"""
import paho.mqtt.client as paho
client = paho.Client(paho.CallbackAPIVersion.VERSION2, "node-1")
client.username_pw_set("node-1", "node-1")
client.will_set("fog/v1/home/node/node-1/birth", b"gone")
client.on_connect = lambda *_: print("connected")
client.connect("127.0.0.1", {site})
client.loop_forever()
""",
        )
        node.wait_for("connected")
        node.kill()
        assert phone.next()[1] == b"gone"


@pytest.mark.parametrize("forged", ["birth", "beat", "task/phone", "replica/node-1"])
def test_a_node_does_not_write_as_another(site: int, forged: str) -> None:
    with Client(site, "node-2") as rogue, Client(site, "node-1") as node:
        filters = ("+/birth", "+/beat", "node-1/task/+", "node-1/replica/+")
        node.subscribe(*(f"fog/v1/home/node/{each}" for each in filters))
        rogue.publish(f"fog/v1/home/node/node-1/{forged}", b"forged", retain=True)
        rogue.publish("fog/v1/home/node/node-2/beat", b"in its own name")
        assert node.next()[1] == b"in its own name"


def test_a_block_made_as_the_readme_says_makes_another_node(folder: Path) -> None:
    (command,) = (line for line in (SHIPPED / "README.md").read_text().splitlines() if "sed -n" in line)
    script = command.partition("|")[0].strip()
    block = subprocess.run(["bash", "-c", script], cwd=SHIPPED, check=True, capture_output=True, text=True).stdout
    acl, passwords = folder / "acl-3", folder / "passwd-3"
    acl.write_text((SHIPPED / "acl").read_text() + block)
    passwords.write_text((folder / "passwd").read_text())
    subprocess.run(["mosquitto_passwd", "-b", passwords, "pi-3", "pi-3"], check=True)
    passwords.chmod(0o644)
    with (
        serving(passwords=passwords, acl=acl) as broker,
        Client(broker.port, "pi-3") as node,
        Client(broker.port, "phone") as phone,
    ):
        phone.subscribe("fog/v1/home/reply/phone")
        node.subscribe("fog/v1/home/task/+")
        phone.publish("fog/v1/home/task/phone", b"task")
        assert node.next()[1] == b"task"
        node.publish("fog/v1/home/reply/phone", b"result")
        assert phone.next()[1] == b"result"


class Authority:
    """A certificate authority of this test's own."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "fog CA")])
        constraint = x509.BasicConstraints(ca=True, path_length=None)
        self.certificate = self._write("ca.crt", self._sign(self._name, self._key, constraint))

    def issue(self, name: str, address: str) -> tuple[Path, Path]:
        """Certificate and key for a server at ``address``."""
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        names = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address(address))])
        pem = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        return self._write(f"{name}.crt", self._sign(subject, key, names)), self._write(f"{name}.key", pem)

    def _sign(self, subject: x509.Name, key: ec.EllipticCurvePrivateKey, extension: x509.ExtensionType) -> bytes:
        now = datetime.datetime.now(datetime.timezone.utc)
        builder = (
            x509.CertificateBuilder(self._name, subject, key.public_key(), x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(minutes=5))
            .not_valid_after(now + datetime.timedelta(hours=1))
            .add_extension(extension, critical=False)
        )
        return builder.sign(self._key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)

    def _write(self, name: str, pem: bytes) -> Path:
        path = self._folder / name
        path.write_bytes(pem)
        path.chmod(0o644)
        return path


@pytest.fixture(scope="module")
def authority(folder: Path) -> Authority:
    return Authority(folder)


@pytest.fixture(scope="module")
def core(folder: Path, authority: Authority) -> Iterator[int]:
    """The port of a broker that runs with core.conf."""
    authority.issue("core", "127.0.0.1")
    with serving(config=shipped("core.conf", folder)) as broker:
        assert broker.url.startswith("mqtts://")
        yield broker.port


def test_a_core_site_serves_over_tls(core: int, authority: Authority) -> None:
    with (
        Client(core, "phone", ca=authority.certificate) as bridge,
        Client(core, "node-1", ca=authority.certificate) as node,
    ):
        node.subscribe("fog/v1/core/task/+")
        bridge.publish("fog/v1/core/task/phone", b"heavy")
        assert node.next()[1] == b"heavy"


def test_a_core_site_refuses_who_does_not_know_the_password(core: int, authority: Authority) -> None:
    client = Client(core, "phone", password="wrong", ca=authority.certificate)
    assert client.connect() == "Not authorized"
    client.close()


def test_a_core_site_does_not_speak_without_tls(core: int) -> None:
    client = Client(core, "phone")
    client.paho.connect("127.0.0.1", core)
    client.paho.loop_start()
    assert client.lost.wait(TIMEOUT)
    client.close()


def test_a_login_of_a_core_site_cannot_push_off_another_by_taking_its_client_id(
    core: int, authority: Authority
) -> None:
    with (
        Client(core, "node-1", ca=authority.certificate, client_id="node-1") as node,
        Client(core, "phone", ca=authority.certificate, client_id="node-1") as phone,
    ):
        node.subscribe("fog/v1/core/task/+")
        phone.publish("fog/v1/core/task/phone", b"heavy")
        assert node.next()[1] == b"heavy"
        assert not node.lost.is_set()


def test_a_broker_made_from_options_has_logins_and_tls_too(folder: Path, authority: Authority) -> None:
    certificate, key = authority.issue("option", "127.0.0.1")
    with (
        serving(passwords=folder / "passwd", acl=folder / "acl", certificate=certificate, key=key) as broker,
        Client(broker.port, "phone", ca=authority.certificate) as phone,
    ):
        phone.subscribe("fog/v1/home/reply/tablet", "fog/v1/home/reply/phone")
        stranger = Client(broker.port, ca=authority.certificate)
        assert stranger.connect() == "Not authorized"
        stranger.close()
        with Client(broker.port, "node-1", ca=authority.certificate) as node:
            node.publish("fog/v1/home/reply/tablet", b"not its own")
            node.publish("fog/v1/home/reply/phone", b"its own")
        assert phone.next()[1] == b"its own"


@pytest.mark.parametrize("name", ["site.conf", "core.conf"])
def test_the_limits_are_those_of_the_brokers_that_nodes_start(name: str) -> None:
    def settings(text: str) -> set[str]:
        return {line for line in text.splitlines() if line and not line.startswith("#")}

    own = {line for line in settings(module._MOSQUITTO) if not line.startswith(("log_dest", "log_timestamp"))}
    assert own <= settings((SHIPPED / name).read_text())


def test_certificate_and_key_belong_together(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="belong together"):
        Broker(certificate=tmp_path / "core.crt")
