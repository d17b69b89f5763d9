"""Fixtures of these tests: one site for all tests of a module that break nothing, and sites of one's own."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.cli.site import Site, Terminal
from tests.support.fixtures import no_process_is_left

__all__ = ["no_process_is_left"]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A broker, and the nodes n1 and n2, for all tests of a module."""
    site = Site(tmp_path_factory.mktemp("site"))
    try:
        site.start("n1", "n2")
        yield site
    finally:
        site.close()


@pytest.fixture
def start_site(tmp_path: Path) -> Iterator[Callable[..., Site]]:
    """Start sites of one's own: ``start_site("n1", settings=["max_connections 3"])``."""
    started: list[Site] = []

    def start(*nodes: str, settings: tuple[str, ...] = (), anonymous: bool = True) -> Site:
        started.append(Site(tmp_path, *settings, anonymous=anonymous))
        started[-1].start(*nodes)
        return started[-1]

    yield start
    for site in started:
        site.close()


@pytest.fixture
def open_terminal() -> Iterator[Callable[..., Terminal]]:
    """Run commands on terminals: ``open_terminal("nodes", url=site.url)``."""
    opened: list[Terminal] = []

    def run(*words: str, **options: Any) -> Terminal:
        opened.append(Terminal(*words, **options))
        return opened[-1]

    yield run
    for terminal in opened:
        terminal.close()
