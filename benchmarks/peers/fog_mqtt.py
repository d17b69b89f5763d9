"""fogsdk as it is: a real ``fognode`` with two workers, mosquitto, and the SDK; everything at its defaults."""

from __future__ import annotations

import subprocess
from typing import Any

import fogsdk
from benchmarks.harness.contender import Contender
from benchmarks.harness.services import Services
from fogsdk.device.future import FogFuture


class FogMqtt(Contender):
    """The device."""

    def start(self, services: Services) -> None:
        start_node(services, "--workers", "2")
        self._fog = fogsdk.connect(services.broker)

    def submit(self, work: str, argument: Any) -> FogFuture:
        return self._fog.submit(work, argument)

    def stop(self) -> None:
        self._fog.close()


def start_node(services: Services, *flags: str) -> subprocess.Popen[bytes]:
    """Start a node that offers the works, at the broker that runs already, if there is one."""
    brokers = ("--brokers", services.broker) if services.broker else ()
    quietly = ("--broker", "none", "--no-mdns", "--log-level", "warning", "--no-keep-journal")
    return services.python("fogsdk.node.main", "--tasks", "benchmarks.harness.offered", *brokers, *quietly, *flags)
