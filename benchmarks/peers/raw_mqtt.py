"""Floor: two hand-written MQTT clients on plain sockets, one sending back what the other sends."""

from __future__ import annotations

import os
from functools import partial
from typing import Any

from benchmarks.harness.contender import Contender
from benchmarks.harness.services import BROKER, Services
from benchmarks.harness.wire import Answer, Caller, answer_all, open_mqtt, publish_packet, take_payloads
from benchmarks.harness.works import from_bytes, to_bytes

TASK, REPLY = "bench/task", "bench/reply"


class RawMqtt(Contender):
    """The device's end."""

    def start(self, services: Services) -> None:
        self._caller = Caller(open_mqtt(services.broker, "device", REPLY), take_payloads)
        ready = self._caller.call(b"")
        services.python(__name__)
        ready.result()

    def submit(self, work: str, argument: Any) -> Answer:
        return self._caller.call(publish_packet(TASK, to_bytes(work, argument)), partial(from_bytes, work))


def main() -> None:
    """Send everything back."""
    sock = open_mqtt(os.environ[BROKER], "node", TASK)
    sock.sendall(publish_packet(REPLY, b"ready"))
    answer_all(sock, take_payloads, partial(publish_packet, REPLY))


if __name__ == "__main__":
    main()
