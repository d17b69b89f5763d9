"""fogsdk as it is: a real ``fognode`` with two workers, which serves its mosquitto itself, and the SDK; everything at
its defaults. The device comes by TCP, the node by a socket of its own."""

from __future__ import annotations

import subprocess
from typing import Any

import fogsdk
from benchmarks.harness.contender import Contender
from benchmarks.harness.services import Services, free_port
from fogsdk.device.future import FogFuture


class FogMqtt(Contender):
    """The device."""

    def start(self, services: Services) -> None:
        port = free_port()
        start_node(services, "--broker", "mosquitto", "--broker-port", str(port), "--workers", "2")
        self._fog = fogsdk.connect(f"mqtt://127.0.0.1:{port}")

    def submit(self, work: str, argument: Any) -> FogFuture:
        return self._fog.submit(work, argument)

    def stop(self) -> None:
        self._fog.close()


def start_node(services: Services, *flags: str) -> subprocess.Popen[bytes]:
    """Start a node that offers the works: without a broker, if the ``flags`` name none."""
    quietly = ("--broker", "none", "--no-mdns", "--log-level", "warning", "--no-keep-journal")
    return services.python("fogsdk.node.main", "--tasks", "benchmarks.harness.offered", *quietly, *flags)
