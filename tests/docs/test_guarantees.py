"""docs/guarantees.md says of each guarantee what it rests on, what breaks it, and names tests and files that exist."""

from __future__ import annotations

import re

import pytest

from tests.docs.readme import ROOT

TEXT = (ROOT / "docs" / "guarantees.md").read_text()
SECTIONS = dict(re.findall(r"^## (.+)\n((?:(?!^## ).*\n)*)", TEXT, re.MULTILINE))


@pytest.mark.parametrize("title", SECTIONS)
def test_each_guarantee_is_told_in_full(title: str) -> None:
    for part in ("**What.**", "**What it rests on.**", "**What breaks it.**", "**Tests.**"):
        assert SECTIONS[title].count(part) == 1, part


@pytest.mark.parametrize("title", SECTIONS)
def test_each_guarantee_is_in_the_table(title: str) -> None:
    anchor = title.lower().replace(" ", "-")
    assert re.search(rf"^\| \[.+\]\(#{anchor}\) \|", TEXT, re.MULTILINE)


@pytest.mark.parametrize("path", sorted(set(re.findall(r"`((?:tests|fogsdk|broker)/[\w./]+)`", TEXT))))
def test_the_files_that_are_named_are_there(path: str) -> None:
    assert (ROOT / path).exists()
