"""The device's doctor at what is no node, and with what is no address."""

from __future__ import annotations

import http.server
import threading

import pytest

from fogsdk.device.doctor import examine
from fogsdk.errors import ConfigError
from tests.cli.test_device_doctor import diagnose


@pytest.mark.parametrize("body", [b'{"ok":true}', b"[1]", b'{"nodes":[{}]}', b"<html>", b""])
def test_a_server_that_is_no_node_is_told(body: bytes) -> None:
    """Whatever it says, a date that is none included."""

    class Stranger(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response_only(200)
            self.send_header("Date", "rubbish")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Keep silent."""

    with http.server.HTTPServer(("127.0.0.1", 0), Stranger) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            found = diagnose(f"http://127.0.0.1:{server.server_port}/", 1)
        finally:
            server.shutdown()
            thread.join()
    assert "not answered as by a node" in found["nodes"].text


@pytest.mark.parametrize("url", ["http://127.0.0.1:99999/", "http://[::1/", "http://"])
def test_an_address_that_is_none_is_told(url: str) -> None:
    with pytest.raises(ConfigError, match="cannot be read"):
        list(examine(url))
