"""A node with keys takes OSCORE (RFC 8613) alone, from the devices that it has keys of, each message once."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import aiocoap
import cbor2
import pytest

import fogsdk
from fogsdk import ConfigError, ConnectionFailed
from tests.e2e import coap
from tests.e2e.journal import Journal
from tests.e2e.site import Site, StartSite
from tests.support.ports import free_port
from tests.support.udp import LossyWay
from tests.support.waiting import eventually

KEYS = {"kitchen": secrets.token_hex(16), "a-device-with-a-long-name": secrets.token_hex(32)}


@pytest.fixture
def key_file(tmp_path: Path) -> Path:
    """The file of a node with the keys of two devices."""
    file = tmp_path / "keys"
    lines = [f"{device} {key}" for device, key in KEYS.items()]
    file.write_text("# who may use this node\n\n" + "\n".join(lines) + "  # a second one\n")
    file.chmod(0o600)
    return file


@dataclass
class Guarded:
    """A site whose node c1 takes no plain requests."""

    site: Site
    port: int
    key_file: Path

    def start(self) -> None:
        """Start the node (again)."""
        self.site.start("c1", flags=("--coap-port", str(self.port), "--coap-keys", str(self.key_file)))

    def url(self, device: str = "", port: int = 0) -> str:
        """Where the node is, for a device with its key, or for one without."""
        login = f"{device}:{KEYS[device]}@" if device else ""
        return f"coap://{login}127.0.0.1:{port or self.port}"


@pytest.fixture
def guarded(start_site: StartSite, key_file: Path) -> Iterator[Guarded]:
    guarded = Guarded(start_site(), free_port(), key_file)
    guarded.start()
    yield guarded
    guarded.site.stop()


def test_plain_requests_are_refused_with_what_to_do(guarded: Guarded) -> None:
    for path in ("fog/v1/nodes", ".well-known/core", "fog/v1/outcomes/kitchen/k-1"):
        answer = coap.client(f"{guarded.url()}/{path}")
        assert answer.code == "4.01"
        assert "OSCORE" in answer.err
    with pytest.raises(ConnectionFailed, match="takes no plain requests"):
        fogsdk.connect(guarded.url(), timeout=1)


@pytest.mark.parametrize("device", KEYS)
def test_with_its_key_a_device_has_everything(guarded: Guarded, journal: Journal, device: str) -> None:
    with fogsdk.connect(guarded.url(device)) as fog:
        assert fog.name == device
        assert fog.run("increment", 1) == 2
        data = bytes(range(256)) * 256
        assert fog.run("give_back", data) == [[data], {}]
        future = fog.submit("work", journal.path, "slow", 0.6)
        eventually(lambda: 0.1 < (future.progress or 0.0) < 1.0, 5, what="progress")
        assert future.result(10) == "slow"


def test_a_wrong_key_an_unknown_device_and_a_borrowed_name_are_told(guarded: Guarded) -> None:
    wrong = secrets.token_hex(16)
    with pytest.raises(ConnectionFailed, match="Decryption failed"):
        fogsdk.connect(f"coap://kitchen:{wrong}@127.0.0.1:{guarded.port}", timeout=1)
    with pytest.raises(ConnectionFailed, match="no key of such a device"):
        fogsdk.connect(f"coap://garden:{wrong}@127.0.0.1:{guarded.port}", timeout=1)
    with pytest.raises(ConfigError, match="belongs to a device"):
        fogsdk.connect(guarded.url("kitchen"), name="garden")
    assert wrong not in guarded.site.nodes["c1"].output


def test_a_recorded_request_is_not_answered_again_not_by_a_node_that_was_started_anew_either(
    guarded: Guarded, journal: Journal
) -> None:
    with LossyWay(guarded.port) as way:
        with fogsdk.connect(guarded.url("kitchen", way.port)) as fog:
            assert fog.run("work", journal.path, "once", 0.0) == "once"
        recorded = [datagram for datagram in way.seen if len(datagram) > 60]
    assert b"work" not in b"".join(recorded), "it could be read on the way"
    replay(guarded, recorded)
    guarded.site.nodes["c1"].kill()
    guarded.start()
    replay(guarded, recorded)
    assert len(journal.begun("once")) == 1


def replay(guarded: Guarded, recorded: list[bytes]) -> None:
    """Send requests again under new message ids, from another port: all are refused."""
    requests = [each for each in recorded if aiocoap.Message.decode(each).code.is_request()]
    assert len(requests) > 3
    with coap.plain(guarded.url()) as socket:
        for number, datagram in enumerate(requests):
            answer = socket.ask(datagram[:2] + number.to_bytes(2, "big") + datagram[4:])
            assert answer.code is aiocoap.UNAUTHORIZED, answer
            assert answer.payload == b"Replay detected" or b"context not found" in answer.payload


def test_what_is_no_oscore_is_refused_in_plain_words_and_is_no_error_of_the_node(guarded: Guarded) -> None:
    with coap.plain(guarded.url()) as socket:
        epoch = cbor2.loads(socket.ask(coap.request(aiocoap.GET, "/fog/v1/oscore")).payload)["epoch"]
        options = (b"", b"\x00", b"\x09\x00kitchen", b"\x19\x01", b"\xff" * 9, b"\x19\x01\x10" + epoch)
        for number, option in enumerate(options):
            request = coap.request(aiocoap.POST, "/", b"nonsense" * 4, mid=100 + number, oscore=option)
            assert socket.ask(request).code in (aiocoap.BAD_REQUEST, aiocoap.UNAUTHORIZED)
    assert "Traceback" not in guarded.site.nodes["c1"].output


def test_where_plain_requests_are_taken_too_a_device_with_a_key_is_not_impersonated(
    start_site: StartSite, key_file: Path
) -> None:
    site, port = start_site(), free_port()
    site.start("c1", flags=("--coap-port", str(port), "--coap-keys", str(key_file), "--insecure-lan"))
    url = f"coap://127.0.0.1:{port}"
    assert coap.post(url, "increment", 1).value["value"] == 2
    assert coap.post(url, "increment", 1, query="?sender=kitchen").code == "4.01"
    assert coap.client(f"{url}/fog/v1/outcomes/kitchen/k-1", method="delete").code == "4.01"
    with pytest.raises(ConnectionFailed, match="kitchen has a key"):
        fogsdk.connect(url, name="kitchen", timeout=1)
