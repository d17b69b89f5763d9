"""A site for a phone: a broker, a node with HTTP, and the way in."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from tests.support.broker import Mosquitto
from tests.support.ports import free_port
from tests.support.processes import Processes, Program

GATE = str(Path(__file__).with_name("gate.py"))
ROOT = Path(__file__).parents[2]


class PhoneSite:
    """One broker, and nodes. The page of ``node`` is at ``page``."""

    def __init__(self, folder: Path, nap: float = 0.0) -> None:
        self.folder = folder
        self.broker = Mosquitto(folder)
        self.http_port = free_port()
        self.page = f"http://127.0.0.1:{self.http_port}/"
        self.processes = Processes(folder)
        self.node = self.start_node("n1", "--http-port", str(self.http_port), nap=nap)

    @property
    def invitation(self) -> str:
        """What the QR code says."""
        return f"{self.page}#url={self.broker.url}/home"

    def start_node(self, name: str, *flags: str, nap: float = 0.0) -> Program:
        """Start a node, and return when it is connected."""
        node = self.processes.start_python(
            *("-m", "fogsdk.node.main", "--node", name, "--brokers", self.broker.url, "--broker", "none", "--no-mdns"),
            *("--tasks", "tests.phone.phone_tasks", "--workers", "2", *flags),
            environ={"PHONE_NAP": str(nap)},
        )
        node.wait_for("connected to")
        return node

    def run(self, python: str, script: Path, *arguments: str, environ: Mapping[str, str] | None = None) -> Program:
        """Start a script on a phone with this Python."""
        command: Sequence[str] = [python, "-I", "-S", "-B", "-u", GATE, str(script), *arguments]
        return self.processes.start(*command, environ=environ, cwd=self.folder)

    def close(self) -> None:
        """Kill everything."""
        self.processes.kill()
        self.broker.kill()
