"""The log of notes: all counted, few written, and none of another kind kept back."""

from __future__ import annotations

import logging

import pytest

from fogsdk.core.commands import Note
from fogsdk.device import notes
from fogsdk.device.notes import NoteLog
from tests.support.waiting import eventually

LOGGER = logging.getLogger("tests.notes")


def test_a_flood_is_one_line_and_all_are_counted(caplog: pytest.LogCaptureFixture) -> None:
    log = NoteLog(LOGGER)
    for number in range(1000):
        log.add(Note("malformed", f"message {number}"))
    assert [record.getMessage() for record in caplog.records] == ["malformed: message 0"]
    assert log.counts["malformed"] == 1000


def test_each_kind_has_a_line_of_its_own(caplog: pytest.LogCaptureFixture) -> None:
    log = NoteLog(LOGGER)
    for kind in ("malformed", "lost", "malformed"):
        log.add(Note(kind, "text"))
    assert [record.getMessage() for record in caplog.records] == ["malformed: text", "lost: text"]
    assert {record.levelno for record in caplog.records} == {logging.WARNING}


def test_the_next_line_says_how_many_were_not_written(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = NoteLog(LOGGER)
    for number in range(5):
        log.add(Note("malformed", f"message {number}"))
    monkeypatch.setattr(notes, "EVERY", 0.02)

    def another_line() -> bool:
        log.add(Note("malformed", "once more"))
        return len(caplog.records) > 1

    eventually(another_line)
    unwritten = log.counts["malformed"] - 2
    assert unwritten >= 4
    assert caplog.records[1].getMessage() == f"malformed: once more (and {unwritten} more since)"


def test_percent_signs_in_what_others_sent_are_text(caplog: pytest.LogCaptureFixture) -> None:
    NoteLog(LOGGER).add(Note("malformed", "%s %d 100%"))
    assert caplog.records[0].getMessage() == "malformed: %s %d 100%"
