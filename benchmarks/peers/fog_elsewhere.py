"""fogsdk with its broker elsewhere: node and device both come to it by TCP, as the other contenders do."""

from __future__ import annotations

import fogsdk
from benchmarks.harness.services import Services
from benchmarks.peers import fog_mqtt


class FogElsewhere(fog_mqtt.FogMqtt):
    """The device."""

    def start(self, services: Services) -> None:
        fog_mqtt.start_node(services, "--brokers", services.broker, "--workers", "2")
        self._fog = fogsdk.connect(services.broker)
