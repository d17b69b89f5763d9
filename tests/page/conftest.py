"""Fixtures of the page's tests: one browser for a module, and a site, shared by those that break nothing."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from pathlib import Path

import pytest
from PIL import Image

from tests.page.browser import PHONE, Browser
from tests.page.site import PageSite
from tests.support.fixtures import no_process_is_left

__all__ = ["no_process_is_left"]


@pytest.fixture(scope="module")
def chromium(tmp_path_factory: pytest.TempPathFactory, no_process_is_left: None) -> Iterator[Browser]:
    browser = Browser(tmp_path_factory.mktemp("profile"))
    yield browser
    browser.close()


@pytest.fixture
def browser(chromium: Browser) -> Iterator[Browser]:
    """A browser of the size of a phone; whatever a script of the page complains about fails the test."""
    chromium.resize(PHONE)
    chromium.complaints()
    yield chromium
    assert chromium.complaints() == []


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory, no_process_is_left: None) -> Iterator[PageSite]:
    """The node n1, which serves the page, for all tests of a module."""
    site = PageSite(tmp_path_factory.mktemp("site"))
    try:
        site.start("n1")
        yield site
    finally:
        site.close()


@pytest.fixture
def start_site(tmp_path: Path) -> Iterator[Callable[..., PageSite]]:
    """Start sites of one's own: ``start_site("n1", "n2")``."""
    started: list[PageSite] = []

    def start(*names: str, flags: tuple[str, ...] = ()) -> PageSite:
        started.append(PageSite(tmp_path))
        started[-1].start(*names, flags=flags)
        return started[-1]

    yield start
    for site in started:
        site.close()


@pytest.fixture(scope="session")
def photo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A photo, small enough to be sent as it is."""
    path = tmp_path_factory.mktemp("photos") / "photo.jpg"
    Image.radial_gradient("L").resize((320, 240)).save(path)
    return path


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item,
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Show what the page said, and the log of the module's node, when a test failed."""
    report = yield
    if report.failed and report.when == "call":
        arguments = getattr(item, "funcargs", {})
        if isinstance(browser := arguments.get("browser"), Browser):
            report.sections.append(("page", browser.run("return document.body.innerText")))
        if isinstance(site := arguments.get("site"), PageSite):
            report.sections.extend((name, node.output[-3000:]) for name, node in site.nodes.items())
    return report
