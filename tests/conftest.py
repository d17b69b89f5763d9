"""Fixtures for all tests: real brokers and programs, shown when a test fails and gone when it ends."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Generator, Iterator
from pathlib import Path

import hypothesis
import psutil
import pytest

from tests.support.broker import Mosquitto
from tests.support.processes import Processes, check_none_left

# The same examples on every run where a failure must be repeatable; fresh ones at a developer's desk.
# No deadline for one example: a busy machine is not a failure.
hypothesis.settings.register_profile("ci", derandomize=True, deadline=None, print_blob=True)
hypothesis.settings.register_profile("desk", deadline=None, print_blob=True)
hypothesis.settings.load_profile("ci" if os.environ.get("CI") else "desk")


@pytest.fixture(autouse=True)
def no_process_is_left() -> Iterator[None]:
    """A test that leaves a process behind, at any depth, fails."""
    before = set(psutil.pids())
    yield
    check_none_left(before)


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """One that the user mosquitto can look into, unlike pytest's own."""
    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(0o755)
        yield Path(name)


@pytest.fixture
def processes(tmp_path: Path) -> Iterator[Processes]:
    """Start programs: ``processes.start("fognode", "--node", "n1")``; they are killed when the test ends."""
    started = Processes(tmp_path)
    yield started
    started.kill()


@pytest.fixture
def start_mosquitto(tmp_path: Path) -> Iterator[Callable[..., Mosquitto]]:
    """Start brokers: ``start_mosquitto("max_connections 2", anonymous=False)``; see Mosquitto."""
    started: list[Mosquitto] = []

    def start(*settings: str, anonymous: bool = True) -> Mosquitto:
        started.append(Mosquitto(tmp_path, *settings, anonymous=anonymous))
        return started[-1]

    yield start
    for broker in started:
        broker.kill()


@pytest.fixture
def mosquitto(start_mosquitto: Callable[..., Mosquitto]) -> Mosquitto:
    """A running broker that lets everybody in."""
    return start_mosquitto()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item,
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Show what the programs and brokers of a test wrote, if it failed."""
    report = yield
    folder = getattr(item, "funcargs", {}).get("tmp_path")
    if report.failed and folder is not None:
        for log in sorted(folder.glob("*.log")):
            report.sections.append((log.name, log.read_text(errors="replace")[-8000:]))
    return report
