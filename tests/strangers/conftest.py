"""Fixtures of these tests: a site for a module, as the end-to-end tests have it."""

from __future__ import annotations

from tests.e2e.conftest import no_process_is_left, site

__all__ = ["no_process_is_left", "site"]
