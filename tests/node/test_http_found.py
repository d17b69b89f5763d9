"""A node's HTTP is found by mDNS, over TLS too, and the SDK's invitation leads to it."""

from __future__ import annotations

import asyncio
import secrets
import ssl
import subprocess
import urllib.request
from pathlib import Path

from zeroconf import ServiceInfo
from zeroconf.asyncio import AsyncZeroconf

from tests.support.broker import Mosquitto
from tests.support.ports import free_port
from tests.support.processes import Processes

TYPE = "_http._tcp.local."


def test_a_node_that_serves_http_is_announced(processes: Processes, mosquitto: Mosquitto) -> None:
    site, port = f"test-{secrets.token_hex(4)}", free_port()
    where = ("--node", "n1", "--site", site, "--brokers", mosquitto.url, "--broker", "none")
    node = processes.start_python(
        *("-m", "fogsdk.node.main", "--tasks", "tests.node.pool_tasks", *where),
        *("--mdns-interfaces", "127.0.0.1", "--http-port", str(port)),
    )
    node.wait_for("connected to")
    found = asyncio.run(_look(f"n1_{site}.{TYPE}"))
    assert found is not None
    assert (found.port, found.parsed_addresses()) == (port, ["127.0.0.1"])
    assert found.decoded_properties == {"site": site, "id": "n1", "path": "/"}


async def _look(name: str) -> ServiceInfo | None:
    mdns = AsyncZeroconf(interfaces=["127.0.0.1"])
    try:
        return await mdns.async_get_service_info(TYPE, name, timeout=5000)
    finally:
        await mdns.async_close()


def test_http_over_tls(processes: Processes, mosquitto: Mosquitto, tmp_path: Path) -> None:
    cert, key, port = tmp_path / "cert.pem", tmp_path / "key.pem", free_port()
    curve = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1")
    made = ("req", "-x509", *curve, "-nodes", "-days", "1", "-subj", "/CN=localhost")
    names = ("-addext", "subjectAltName=DNS:localhost", "-keyout", str(key), "-out", str(cert))
    subprocess.run(["openssl", *made, *names], check=True, capture_output=True)
    where = ("--node", "n1", "--brokers", mosquitto.url, "--broker", "none", "--no-mdns", "--http-port", str(port))
    node = processes.start_python(
        *("-m", "fogsdk.node.main", "--tasks", "tests.node.pool_tasks", *where),
        *("--http-cert", cert, "--http-key", key),
    )
    node.wait_for(f"https://127.0.0.1:{port}/")
    trusted = ssl.create_default_context(cafile=str(cert))
    url = f"https://localhost:{port}/fog/v1/nodes"
    with urllib.request.urlopen(url, timeout=10, context=trusted) as response:
        assert b'"node":"n1"' in response.read()
    assert node.terminate() == 0
