"""A site on a network of its own: real brokers and nodes on computers of theirs, and users on the device's."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import fogsdk
from fogsdk.core.presence import BEAT_EVERY
from tests.broker.mqtt import TIMEOUT
from tests.e2e.journal import NODE_VARIABLE
from tests.e2e.rawdevice import RawDevice
from tests.e2e.site import TASKS, wait_for_nodes
from tests.network.namespaces import Host, Network
from tests.support.processes import Processes, Program

ROOT = Path(__file__).parents[2]


class Site:
    """Brokers b1, b2, ..., some nodes and further computers (device, ...), gone when the site is closed."""

    def __init__(
        self, folder: Path, nodes: Sequence[str] = ("n1", "n2"), brokers: int = 1, others: Sequence[str] = ("device",)
    ) -> None:
        self.folder = folder
        self._processes = Processes(folder)
        names = [f"b{number + 1}" for number in range(brokers)]
        self.network = Network(*names, *nodes, *others)
        self.urls = [f"mqtt://{self.network[name].address}" for name in names]
        self.brokers: dict[str, Program] = {}
        for name in names:
            self.start_broker(name)
        self.nodes: dict[str, Program] = {}

    def start(self, *names: str, urls: Sequence[str] = (), flags: Sequence[str] = ()) -> None:
        """Start nodes side by side, each on its computer, and return when a device sees them on every broker."""
        for name in names:
            brokers = ",".join(urls or self.urls)
            self.launch(name, "--brokers", brokers, "--broker", "none", "--no-mdns", *flags)
        for url in self.urls:
            with self.connect(url) as fog:
                wait_for_nodes(fog, *names)

    def launch(self, name: str, *flags: str, workers: int = 2) -> Program:
        """Start ``fognode`` on the computer ``name``."""
        self.nodes[name] = self.run(
            self.network[name],
            *(sys.executable, "-m", "fogsdk.node.main", "--node", name, "--tasks", TASKS),
            *("--workers", str(workers), *flags),
            environ={NODE_VARIABLE: name},
        )
        return self.nodes[name]

    def start_broker(self, name: str) -> None:
        """Start a broker on its computer, or start it again."""
        host = self.network[name]
        config = self.folder / f"{name}.conf"
        config.write_text(f"listener 1883 {host.address}\nallow_anonymous true\nset_tcp_nodelay true\nuser root\n")
        self.brokers[name] = self.run(host, "mosquitto", "-c", str(config))
        self.brokers[name].wait_for("running")

    def run(self, host: Host, *command: str, environ: dict[str, str] | None = None) -> Program:
        """Run a program on a computer."""
        python = {"PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1"}
        return self._processes.start(*host.command(*command), environ={**python, **(environ or {})}, cwd=self.folder)

    def connect(self, url: str | Sequence[str] | None = None, *, on: str = "device", **options: Any) -> fogsdk.Fog:
        """Connect a device, to all brokers if not told otherwise; where the site has none, to what it finds itself."""
        with self.network[on].inside():
            return fogsdk.connect(url or self.urls or None, **options)

    def raw(self, name: str, broker: str, *, on: str = "device", patience: float = TIMEOUT) -> RawDevice:
        """A device without the SDK, to be entered with ``with``. ``patience`` is how long it waits for a message."""
        return _FarDevice(self.network[on], self.network[broker].address, name, patience)

    def wait_until_heard(self, *nodes: str) -> None:
        """Wait until each broker passes on the heartbeats of these nodes, and the nodes have had time to hear them."""
        for broker in self.brokers:
            with self.raw("listener", broker) as listener:
                _hear_beats(listener, [f"fog/v1/home/node/{node}/beat" for node in nodes])

    def close(self) -> None:
        """Kill everything."""
        self._processes.kill()
        self.network.close()


def _hear_beats(listener: RawDevice, topics: list[str]) -> None:
    """Hear three heartbeats of each; those that were held back somewhere come all at once, and count as one."""
    listener.subscribe(*topics)
    heard = dict.fromkeys(topics, (0, 0.0))
    while min(beats for beats, _ in heard.values()) < 3:
        topic, now = listener.next()[0], time.monotonic()
        beats, last = heard[topic]
        if now - last > BEAT_EVERY / 2000:
            heard[topic] = beats + 1, now


class _FarDevice(RawDevice):
    """A raw device on a computer of the network."""

    def __init__(self, host: Host, broker: str, name: str, patience: float) -> None:
        super().__init__(1883, name)
        self._host, self._broker, self._patience = host, broker, patience

    def connect(self) -> str:
        with self._host.inside():
            self.paho.connect(self._broker)
            self.paho.loop_start()
        return str(self._connected.get(timeout=TIMEOUT))

    def next(self) -> tuple[str, bytes, bool]:
        return self.heard.get(timeout=self._patience)
