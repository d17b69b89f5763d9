"""A site with the tasks that the examples ask for, shared by the tests of a module."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.conftest import start_site
from tests.e2e.site import Site
from tests.firmware.board import Board, RealBoard
from tests.support.fixtures import no_process_is_left
from tests.support.ports import free_port
from tests.support.processes import Processes

__all__ = ["no_process_is_left", "start_site"]

HOUSE = ("--tasks", "firmware_examples.house")


def coap_urls(site: Site) -> list[str]:
    """Where the site's nodes serve CoAP."""
    ports = [node.command[node.command.index("--coap-port") + 1] for node in site.nodes.values()]
    return [f"coap://127.0.0.1:{port}" for port in ports]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A broker and the nodes n1 and n2, which offer the tasks of house.py."""
    with Site(tmp_path_factory.mktemp("site")) as site:
        for node in ("n1", "n2"):
            site.start(node, flags=(*HOUSE, "--coap-port", str(free_port()), "--http-port", str(free_port())))
        yield site


@pytest.fixture(params=[Board, RealBoard], ids=["cpython", "micropython"])
def board(request: pytest.FixtureRequest, tmp_path: Path, processes: Processes) -> Iterator[Board]:
    """A board with the MicroPython examples on it."""
    board: Board = request.param(tmp_path / "flash", processes)
    yield board
    board.close()
