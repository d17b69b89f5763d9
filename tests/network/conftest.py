"""Fixtures of the network tests: networks are made where that is permitted, and always in CI."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.e2e.journal import Journal
from tests.network.namespaces import why_not
from tests.network.site import Site


@pytest.fixture(scope="session", autouse=True)
def networks_are_permitted() -> None:
    """Skip these tests where there can be no network namespaces; in CI that is a failure."""
    reason = why_not()
    if reason is None:
        return
    if os.environ.get("CI"):
        pytest.fail(f"network tests are not skipped in CI: {reason}")
    pytest.skip(reason)


@pytest.fixture
def make_site(tmp_path: Path, no_process_is_left: None) -> Iterator[Callable[..., Site]]:
    """Make sites whose nodes are still to be started; see Site."""
    made: list[Site] = []

    def make(*nodes: str, brokers: int = 1, others: tuple[str, ...] = ("device",)) -> Site:
        made.append(Site(tmp_path, nodes, brokers, others))
        return made[-1]

    yield make
    for site in made:
        site.close()


@pytest.fixture
def journal(tmp_path: Path) -> Journal:
    """Where the tasks of one test write down what they do."""
    return Journal(tmp_path / "journal")
