"""A site of real nodes whose first one serves the page."""

from __future__ import annotations

from pathlib import Path

from tests.support.broker import Mosquitto
from tests.support.ports import free_port
from tests.support.processes import Processes, Program
from tests.support.waiting import eventually

TASKS = "tests.page.page_tasks", "tests.page.odd_tasks"


class PageSite:
    """A broker, and nodes that are started by name; ``folder`` gets their logs. The tests use n1, which serves HTTP."""

    def __init__(self, folder: Path, tasks: tuple[str, ...] = TASKS) -> None:
        self.folder = folder
        self.port = free_port()
        self.nodes: dict[str, Program] = {}
        self._tasks = tasks
        self._broker = Mosquitto(folder)
        self._processes = Processes(folder)

    @property
    def url(self) -> str:
        """The page's address."""
        return f"http://127.0.0.1:{self.port}/"

    def start(self, *names: str, flags: tuple[str, ...] = ()) -> None:
        """Start nodes; the first that the site has serves the page, again on the same port after its end."""
        first = next(iter(self.nodes), names[0])
        for name in names:
            door = ("--http-port", str(self.port)) if name == first else ()
            self.nodes[name] = self._processes.start_python(
                *("-m", "fogsdk.node.main", "--node", name, "--tasks", ",".join(self._tasks), "--workers", "2"),
                *("--brokers", self._broker.url, "--broker", "none", "--no-mdns", "--journal", self.folder / name),
                *door,
                *flags,
            )
        for name in names:
            self.nodes[name].wait_for("connected to")
        if first in names:
            self.nodes[first].wait_for("serving HTTP")

    def kill(self, name: str) -> None:
        """End a node with SIGKILL."""
        self.nodes[name].kill()

    def close(self) -> None:
        """Kill everything."""
        self._processes.kill()
        self._broker.kill()


def lines(path: Path) -> int:
    """How many lines a file has; none where there is no file."""
    return len(path.read_text().splitlines()) if path.exists() else 0


def wait_for_lines(path: Path, number: int) -> None:
    """Wait until a file has so many lines."""
    eventually(lambda: lines(path) >= number, what=f"{number} lines in {path.name}")
