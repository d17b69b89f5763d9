"""A site with the tasks that the examples ask for, shared by the tests of a module."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from tests.e2e.site import Site, StartSite
from tests.firmware.board import Board, RealBoard
from tests.support.ports import free_port
from tests.support.processes import Processes, check_none_left

HOUSE = ("--tasks", "firmware_examples.house")


def coap_urls(site: Site) -> list[str]:
    """Where the site's nodes serve CoAP."""
    ports = [node.command[node.command.index("--coap-port") + 1] for node in site.nodes.values()]
    return [f"coap://127.0.0.1:{port}" for port in ports]


@pytest.fixture(autouse=True, scope="module")
def no_process_is_left() -> Iterator[None]:
    """A module that leaves a process behind fails: its site, and the site's workers, live as long as it does."""
    before = set(psutil.pids())
    yield
    check_none_left(before)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A broker and the nodes n1 and n2, which offer the tasks of house.py."""
    site = Site(tmp_path_factory.mktemp("site"))
    try:
        for node in ("n1", "n2"):
            site.start(node, flags=(*HOUSE, "--coap-port", str(free_port()), "--http-port", str(free_port())))
        yield site
        site.stop()
    finally:
        site.close()


@pytest.fixture(params=[Board, RealBoard], ids=["cpython", "micropython"])
def board(request: pytest.FixtureRequest, tmp_path: Path, processes: Processes) -> Iterator[Board]:
    """A board with the MicroPython examples on it."""
    board: Board = request.param(tmp_path / "flash", processes)
    yield board
    board.close()


@pytest.fixture
def start_site(tmp_path: Path) -> Iterator[StartSite]:
    """Start sites of one's own: ``start_site("n1", brokers=2)``."""
    started: list[Site] = []

    def start(*nodes: str, brokers: int = 1) -> Site:
        started.append(Site(tmp_path, brokers))
        started[-1].start(*nodes)
        return started[-1]

    yield start
    for site in started:
        site.close()
