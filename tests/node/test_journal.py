"""The node's journal: what it confirmed it gives back, after every kind of end, and in few commits."""

from __future__ import annotations

import asyncio
import itertools
import os
import random
import sqlite3
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from fogsdk.core.commands import Write
from fogsdk.core.events import WriteFailed, Written
from fogsdk.errors import ConfigError
from fogsdk.node import journal as module
from fogsdk.node.journal import Journal, default_path, open_journal
from tests.support.processes import Processes
from tests.support.waiting import eventually


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "n1.journal"


class Desk:
    """A journal at work: write by key, and see what it confirms."""

    def __init__(self, path: Path) -> None:
        self.journal = Journal(path, "home")
        self.confirmed: list[Written | WriteFailed] = []
        self._numbers = itertools.count(1)
        self._news = asyncio.Event()

    async def __aenter__(self) -> Desk:
        self.records = self.journal.open(self._confirm)
        return self

    async def __aexit__(self, *_: object) -> None:
        self.journal.close()

    def _confirm(self, event: Written | WriteFailed) -> None:
        self.confirmed.append(event)
        self._news.set()

    def write(self, key: str, data: bytes | None) -> int:
        number = next(self._numbers)
        self.journal.write(Write(number, key, data))
        return number

    async def settled(self, number: int) -> Written | WriteFailed:
        """Wait until a write is confirmed or has failed."""
        while not self.confirmed or self.confirmed[-1].number < number:
            self._news.clear()
            await asyncio.wait_for(self._news.wait(), 20)
        return next(event for event in self.confirmed if event.number >= number)


def records(path: Path) -> dict[str, bytes]:
    """What a journal holds."""
    journal = Journal(path, "home")
    journal.close()
    return dict(journal.records)


# What it keeps


def test_records_come_back_after_a_restart_the_newest_of_each_key(path: Path) -> None:
    async def fill() -> None:
        async with Desk(path) as desk:
            assert desk.records == ()
            for key, data in (("b", b"1"), ("a", b"\x00\xff"), ("b", b"2"), ("gone", b"3"), ("empty", b"")):
                desk.write(key, data)
            await desk.settled(desk.write("gone", None))
            assert await desk.settled(desk.write("never there", None)) == Written(7)

    asyncio.run(fill())
    assert records(path) == {"b": b"2", "a": b"\x00\xff", "empty": b""}


def test_what_was_queued_is_written_when_it_is_closed(path: Path) -> None:
    async def fill() -> None:
        async with Desk(path) as desk:
            for number in range(100):
                desk.write(str(number), b"data")

    asyncio.run(fill())
    assert len(records(path)) == 100


# Groups


def test_a_thousand_writes_at_once_take_a_handful_of_commits(path: Path) -> None:
    """Everything that comes in while a commit is synced goes into the next, and is confirmed with one event."""

    async def fill() -> list[Written | WriteFailed]:
        async with Desk(path) as desk:
            for number in range(1, 1001):
                desk.write(str(number), b"data" * 100)
            await desk.settled(1000)
            return desk.confirmed

    confirmed = asyncio.run(fill())
    print(f"{len(confirmed)} commits for 1000 writes")
    assert len(confirmed) <= 50
    numbers = [event.number for event in confirmed]
    assert numbers == sorted(numbers)
    assert numbers[-1] == 1000
    assert len(records(path)) == 1000


def test_a_commit_is_bounded_in_bytes(path: Path) -> None:
    async def fill() -> list[Written | WriteFailed]:
        async with Desk(path) as desk:
            with desk.journal._arrived:  # hold it up until all are queued
                for number in range(1, 8):
                    desk.journal._queue.append(Write(number, str(number), bytes(module.BATCH_BYTES * 2 // 5)))
            desk.journal.write(Write(8, "large", bytes(module.BATCH_BYTES * 2)))
            await desk.settled(8)
            return desk.confirmed

    assert [event.number for event in asyncio.run(fill())] == [2, 4, 6, 7, 8]


# Disks that fail


def test_a_full_disk_fails_the_write_and_the_next_is_tried_again(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async def fill() -> None:
        async with Desk(path) as desk:
            assert await desk.settled(desk.write("before", b"1")) == Written(1)
            desk.journal._db.execute("PRAGMA max_page_count = 8")  # the file cannot grow, as on a full disk
            for _ in range(2):
                failed = await desk.settled(desk.write("large", bytes(100_000)))
                assert isinstance(failed, WriteFailed)
                assert "full" in failed.why
            assert await desk.settled(desk.write("small", b"2")) == Written(4)
            desk.journal._db.execute("PRAGMA max_page_count = 1000000")
            assert await desk.settled(desk.write("large", b"3")) == Written(5)

    asyncio.run(fill())
    assert records(path) == {"before": b"1", "small": b"2", "large": b"3"}
    told = [record.getMessage() for record in caplog.records]
    assert [line.partition(str(path))[2] for line in told] == [
        " cannot be written: database or disk is full",
        " can be written again",
    ]


# Files that it must not touch, or may not lose


def test_a_second_daemon_on_the_same_journal_is_refused(path: Path) -> None:
    journal = Journal(path, "home")
    try:
        with pytest.raises(ConfigError, match="another process uses it"):
            Journal(path, "home")
    finally:
        journal.close()


def test_a_file_that_is_no_journal_is_refused_and_stays_as_it_is(path: Path) -> None:
    path.write_text("a shopping list\n" * 100)
    with pytest.raises(ConfigError, match=r"the journal .*n1\.journal cannot be used: file is not a database"):
        Journal(path, "home")
    assert path.read_text() == "a shopping list\n" * 100


def test_the_database_of_another_program_is_refused_and_stays_as_it_is(path: Path) -> None:
    with sqlite3.connect(path) as other:
        other.execute("CREATE TABLE photos (name TEXT)")
    other.close()
    before = path.read_bytes()
    with pytest.raises(ConfigError, match="another program; name a file of its own for the journal"):
        Journal(path, "home")
    assert path.read_bytes() == before


def test_a_journal_of_another_site_is_refused_and_stays_that_site_s(path: Path) -> None:
    """What it keeps would go on there: its sessions would be another site's."""
    Journal(path, "home").close()
    with pytest.raises(ConfigError, match="is of the site 'home', and this is 'other': name a file of its own"):
        Journal(path, "other")
    Journal(path, "home").close()


def test_a_journal_from_before_sites_were_written_down_is_of_the_next_site_that_opens_it(path: Path) -> None:
    Journal(path, "home").close()
    with sqlite3.connect(path) as db:
        db.execute("DROP TABLE owner")
    db.close()
    Journal(path, "other").close()
    with pytest.raises(ConfigError, match="is of the site 'other'"):
        Journal(path, "home")


def test_a_damaged_journal_is_moved_aside_whole_and_a_new_one_begun(
    path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    contents = []
    for _ in range(2):

        async def fill() -> None:
            async with Desk(path) as desk:
                for number in range(100):
                    desk.write(str(number), bytes(5000))

        asyncio.run(fill())
        sound = path.read_bytes()
        contents.append(sound[:4096] + os.urandom(len(sound) - 8192) + sound[-4096:])
        path.write_bytes(contents[-1])
        assert records(path) == {}
    for number, content in enumerate(contents, 1):
        aside = path.with_name(f"n1.journal.damaged-{number}")
        assert aside.read_bytes() == content
        assert str(aside) in caplog.text
    assert {record.levelname for record in caplog.records} == {"ERROR"}


# Where it is


@pytest.mark.parametrize(
    ("environ", "expected"),
    [
        ({"STATE_DIRECTORY": "/var/lib/fog:/other", "XDG_STATE_HOME": "/x"}, "/var/lib/fog/home/n1.journal"),
        ({"XDG_STATE_HOME": "/x"}, "/x/fogsdk/home/n1.journal"),
        ({"XDG_STATE_HOME": "not/absolute"}, "~/.local/state/fogsdk/home/n1.journal"),
        ({}, "~/.local/state/fogsdk/home/n1.journal"),
    ],
)
def test_by_default_it_is_among_the_states_of_the_service_or_the_user(environ: dict[str, str], expected: str) -> None:
    assert default_path(environ, "home", "n1") == Path(expected).expanduser()


def test_where_the_default_place_cannot_be_written_the_node_says_so_in_one_line_and_keeps_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.delenv("STATE_DIRECTORY", raising=False)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "file"))
    assert open_journal(None, "home", "n1") is None
    [record] = caplog.records
    assert "keeps no posted tasks and sessions" in record.getMessage()
    with pytest.raises(ConfigError, match="there is no folder"):
        open_journal(tmp_path / "file" / "n1.journal", "home", "n1")


def test_two_nodes_of_one_name_on_one_computer_are_told_apart_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STATE_DIRECTORY", str(tmp_path))
    journal = open_journal(None, "home", "n1")
    assert journal is not None
    try:
        with pytest.raises(ConfigError, match="does a node n1 of site home run here already"):
            open_journal(None, "home", "n1")
    finally:
        journal.close()


# Crashes


def changes(seed: int) -> Iterator[tuple[str, bytes | None]]:
    """An endless, repeatable sequence of writes."""
    chance = random.Random(seed)
    for number in range(sys.maxsize):
        data = f"{number} ".encode() * chance.choice([3, 800, 50_000])
        yield str(chance.randrange(20)), chance.choice([data, data, data, None])


def expected(seed: int, count: int) -> dict[str, bytes]:
    """What a journal holds after the first ``count`` writes."""
    held: dict[str, bytes] = {}
    for key, data in itertools.islice(changes(seed), count):
        if data is None:
            held.pop(key, None)
        else:
            held[key] = data
    return held


async def write_until_killed(path: str, seed: int) -> None:
    """Run in a process of its own: say each number that is confirmed, and never have many that are not."""
    desk = Desk(Path(path))
    async with desk:
        for number, change in enumerate(changes(seed), 1):
            desk.write(*change)
            if number % 10 == 0:
                await asyncio.sleep(0)
            if number > 40:
                await desk.settled(number - 40)
                os.write(1, b"%d\n" % desk.confirmed[-1].number)
                del desk.confirmed[:-50]


@pytest.mark.parametrize("seed", range(5))
def test_after_kill_9_in_the_middle_of_writing_all_that_was_confirmed_is_there_and_nothing_half(
    path: Path, processes: Processes, seed: int
) -> None:
    code = (
        f"import asyncio; from tests.node.test_journal import *; asyncio.run(write_until_killed({str(path)!r}, {seed}))"
    )
    program = processes.start_python("-c", code)
    wanted = random.Random(seed).randrange(50, 600)
    eventually(lambda: _last_number(program.output) >= wanted, what=f"write {wanted}")
    program.kill()
    done = _last_number(program.output)
    print(f"seed {seed}: killed after {done} writes were confirmed")
    held = records(path)
    assert any(held == expected(seed, done + more) for more in range(50))


def _last_number(output: str) -> int:
    lines = output.split("\n")
    return int(lines[-2]) if len(lines) > 1 else 0
