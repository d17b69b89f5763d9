"""A site with every door open, and each way into it."""

from __future__ import annotations

import json
import re
import secrets
import urllib.request
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from paho.mqtt.enums import MQTTProtocolVersion as Version

import fogsdk
from tests.conformance.link import Link
from tests.conformance.link_coap import CoapLink
from tests.conformance.link_http import HttpLink
from tests.conformance.link_mqtt import MqttLink
from tests.conformance.link_phone import PhoneLink
from tests.conformance.link_sdk import SdkLink
from tests.e2e.conftest import journal, no_process_is_left, pytest_runtest_makereport
from tests.e2e.site import Site
from tests.support.ports import free_port

__all__ = ["journal", "no_process_is_left", "pytest_runtest_makereport"]

NODE = "n1"


class OpenSite(Site):
    """A site whose one node serves CoAP and HTTP beside the broker."""

    def open(self, *flags: str) -> None:
        self.http, self.coap = free_port(), free_port()
        doors = ["--http-port", str(self.http), "--coap-port", str(self.coap)]
        self.start(NODE, flags=["--tasks", "tests.conformance.tasks", *doors, *flags])

    def queued(self) -> int:
        """How many tasks wait for a worker."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.http}/fog/v1/nodes") as answer:
            [node] = json.load(answer)["nodes"]
        return int(node["queued"])


def _mqtt(version: Version, as_json: bool) -> Callable[[OpenSite, str], Link]:
    return lambda site, name: MqttLink(site.broker.port, name, version=version, as_json=as_json)


WAYS: dict[str, Callable[[OpenSite, str], Link]] = {
    "sdk-mqtt": lambda site, name: SdkLink(site.connect(name=name)),
    "sdk-coap": lambda site, name: SdkLink(fogsdk.connect(f"coap://127.0.0.1:{site.coap}", name=name)),
    "phone": lambda site, name: PhoneLink(site.folder, site.broker.url, name),
    "mqtt-3.1.1-cbor": _mqtt(Version.MQTTv311, as_json=False),
    "mqtt-3.1.1-json": _mqtt(Version.MQTTv311, as_json=True),
    "mqtt-5-cbor": _mqtt(Version.MQTTv5, as_json=False),
    "coap-cbor": lambda site, name: CoapLink(site.coap, name, as_json=False),
    "coap-json": lambda site, name: CoapLink(site.coap, name, as_json=True),
    "http-cbor": lambda site, name: HttpLink(site.http, name, as_json=False),
    "http-json": lambda site, name: HttpLink(site.http, name, as_json=True),
}
"""Each way in, made for a device of a name."""


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OpenSite]:
    """A broker and a node with every door open, for all tests of a module."""
    with OpenSite(tmp_path_factory.mktemp("site")) as site:
        site.open()
        yield site


@pytest.fixture(params=WAYS)
def way(request: pytest.FixtureRequest) -> str:
    """The name of a way in: a test that asks for it, or for a link, is run over each."""
    return str(request.param)


@pytest.fixture
def link(site: OpenSite, way: str) -> Iterator[Link]:
    """A device of its own that goes this way."""
    link = WAYS[way](site, a_name(way))
    yield link
    link.close()


def a_name(way: Any) -> str:
    """A name that no device had before."""
    return f"{re.sub('[^a-z0-9]', '-', way)}-{secrets.token_hex(4)}"
