"""Fixtures of the end-to-end tests: sites, and devices connected to them.

A module whose tests break nothing shares one ``site``; a test that kills something starts its own.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator
from pathlib import Path

import pytest

from fogsdk import Fog
from tests.e2e.journal import Journal
from tests.e2e.site import Site, StartSite, logs
from tests.support.fixtures import no_process_is_left

__all__ = ["no_process_is_left"]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A broker and the node n1, for all tests of a module."""
    with Site(tmp_path_factory.mktemp("site")) as site:
        site.start("n1")
        yield site


@pytest.fixture
def start_site(tmp_path: Path) -> Iterator[StartSite]:
    """Start sites of one's own: ``start_site("n1", "n2", brokers=2)``."""
    started: list[Site] = []

    def start(*nodes: str, brokers: int = 1) -> Site:
        started.append(Site(tmp_path, brokers))
        started[-1].start(*nodes)
        return started[-1]

    yield start
    for site in started:
        site.close()


@pytest.fixture
def fog(site: Site) -> Iterator[Fog]:
    """A device connected to the module's site."""
    with site.connect() as fog:
        yield fog


@pytest.fixture
def journal(tmp_path: Path) -> Journal:
    """Where the tasks of one test write down what they do."""
    return Journal(tmp_path / "journal")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item,
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Show the logs of the module's site when a test on it failed."""
    report = yield
    site = getattr(item, "funcargs", {}).get("site")
    if report.failed and isinstance(site, Site):
        report.sections.extend(logs(site.folder))
    return report
