"""Fixtures that folders of tests take from here."""

from __future__ import annotations

from collections.abc import Iterator

import psutil
import pytest

from tests.support.processes import check_none_left


@pytest.fixture(autouse=True, scope="module")
def no_process_is_left() -> Iterator[None]:
    """A module that leaves a process behind fails: what its tests share lives as long as it does."""
    before = set(psutil.pids())
    yield
    check_none_left(before)
