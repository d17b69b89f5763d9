"""fogsdk over CoAP: a ``fognode`` with a CoAP door, no broker at all, and the SDK; everything at its defaults.

64 KiB travel in blocks of 1 KiB (RFC 7959), each of which waits for an answer: of such calls few are made at once.
"""

from __future__ import annotations

from typing import Any

import fogsdk
from benchmarks.harness.contender import Contender, Limit
from benchmarks.harness.services import Services, free_port
from benchmarks.peers.fog_mqtt import start_node
from fogsdk.device.future import FogFuture

MOST_ECHOES = 4


class FogCoap(Contender):
    """The device."""

    def start(self, services: Services) -> None:
        port = free_port()
        start_node(services, "--workers", "2", "--coap-port", str(port))
        self._fog = fogsdk.connect(f"coap://127.0.0.1:{port}")

    def submit(self, work: str, argument: Any) -> FogFuture:
        return self._fog.submit(work, argument)

    def at_once(self, work: str, argument: Any, outstanding: int, limit: Limit) -> tuple[int, float]:
        most = MOST_ECHOES if work == "echo" else outstanding
        return super().at_once(work, argument, most, limit)

    def stop(self) -> None:
        self._fog.close()
