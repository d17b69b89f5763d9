"""fogsdk over CoAP: a ``fognode`` with a CoAP door, no broker at all, and the SDK; everything at its defaults.

A result of 64 KiB comes in blocks of 1 KiB (RFC 7959), each asked for by itself, as CoAP has it.
"""

from __future__ import annotations

from typing import Any

import fogsdk
from benchmarks.harness.contender import Contender
from benchmarks.harness.services import Services, free_port
from benchmarks.peers.fog_mqtt import start_node
from fogsdk.device.future import FogFuture


class FogCoap(Contender):
    """The device."""

    def start(self, services: Services) -> None:
        port = free_port()
        start_node(services, "--workers", "2", "--coap-port", str(port))
        self._fog = fogsdk.connect(f"coap://127.0.0.1:{port}")

    def submit(self, work: str, argument: Any) -> FogFuture:
        return self._fog.submit(work, argument)

    def stop(self) -> None:
        self._fog.close()
