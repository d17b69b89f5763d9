"""Fixtures of these tests: a site that breaks nothing for a module, and the zip beside a script."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from fogsdk.node import phone_bundle
from tests.phone import pythons
from tests.phone.site import PhoneSite
from tests.support.fixtures import no_process_is_left

__all__ = ["no_process_is_left"]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PhoneSite]:
    site = PhoneSite(tmp_path_factory.mktemp("phone"))
    yield site
    site.close()


@pytest.fixture(params=["oldest", "newest"])
def python(request: pytest.FixtureRequest) -> str:
    """The Python of a phone."""
    found: str = getattr(pythons, request.param)()
    print(found)
    return found


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    """The zip, beside whatever is in this test's folder."""
    file = tmp_path / phone_bundle.NAME
    file.write_bytes(phone_bundle.build())
    return file
