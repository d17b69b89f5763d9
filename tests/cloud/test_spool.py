"""The spool of the bridge: what it took it gives back, after every kind of end, and within its limits."""

from __future__ import annotations

import os
import random
import sqlite3
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from fogsdk.cloud.spool import LARGE, Record, Spool, SpoolFull
from fogsdk.errors import ConfigError
from tests.support.processes import Processes

OLD, NEW = 1000.0, 2000.0  # seconds


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "spool.db"


@pytest.fixture
def open_spool(path: Path) -> Iterator[Callable[..., Spool]]:
    """Open the spool, instead of the one opened before."""
    spools: list[Spool] = []

    def open_(**limits: float) -> Spool:
        for spool in spools:
            spool.close()
        spools.append(Spool(path, **limits))  # type: ignore[arg-type]
        return spools[-1]

    yield open_
    for spool in spools:
        spool.close()


def record(name: str, size: int = 10) -> Record:
    return Record("phone", name, name[:1].encode() * size, OLD)


# What it keeps


def test_records_come_back_after_a_restart_in_the_order_in_which_they_came(
    open_spool: Callable[..., Spool],
) -> None:
    records = [
        Record("phone", "z", b"\x00\xff", OLD, 5000),
        Record("phone", "a", b"", NEW),
        Record("pi", "z", b"other", OLD, None, b"result"),
    ]
    for one in records:
        open_spool().put(one)
    spool = open_spool()
    assert list(spool.all()) == records
    assert spool.waiting() == [("phone", "z"), ("phone", "a")]
    assert spool.get("pi", "z") == records[2]
    assert spool.get("pi", "a") is None


def test_a_record_with_the_same_sender_and_id_takes_the_place_of_the_first(
    open_spool: Callable[..., Spool],
) -> None:
    spool = open_spool()
    for one in (record("first"), record("second"), Record("phone", "first", b"again", NEW, 7)):
        spool.put(one)
    assert list(spool.all()) == [Record("phone", "first", b"again", NEW, 7), record("second")]


def test_a_removed_record_is_gone_after_a_restart_too(open_spool: Callable[..., Spool]) -> None:
    spool = open_spool()
    spool.put(record("one"))
    spool.put(record("two"))
    spool.remove("phone", "one")
    spool.remove("phone", "never there")
    assert list(open_spool().all()) == [record("two")]


def test_a_result_takes_the_place_of_the_message_and_is_kept_until_its_time_runs_out(
    open_spool: Callable[..., Spool],
) -> None:
    spool = open_spool(keep=3600)
    spool.put(record("done"))
    spool.put(record("waits"))
    spool.finish("phone", "done", b"result")
    done = Record("phone", "done", b"", OLD, None, b"result")
    assert spool.get("phone", "done") == done
    assert list(open_spool(keep=3600).all()) == [done, record("waits")]
    assert list(open_spool(keep=-1).all()) == [record("waits")]  # as if the time was over


def test_the_result_of_a_task_that_was_removed_is_not_kept(open_spool: Callable[..., Spool]) -> None:
    spool = open_spool()
    spool.put(record("one"))
    spool.remove("phone", "one")
    spool.finish("phone", "one", b"result")
    assert list(spool.all()) == []


def test_a_large_body_is_kept_beside_its_message_until_the_result_comes_and_counts(
    open_spool: Callable[..., Spool],
) -> None:
    body, result = bytes(range(256)) * 12_000, bytes(range(255, -1, -1)) * 9_000
    spool = open_spool(most_bytes=len(body) + 30)
    spool.put(record("other"))
    spool.put(record("large"), memoryview(body))
    assert spool.has_large
    assert spool.body("phone", "large") == body
    assert spool.body("phone", "other") == spool.body("phone", "never there") == b""
    spool = open_spool(most_bytes=len(body) + 30)
    assert spool.has_large
    assert spool.body("phone", "large") == body
    with pytest.raises(SpoolFull):
        spool.put(record("more", size=11))
    spool.finish("phone", "large", b"result", memoryview(result))
    assert open_spool().body("phone", "large") == result
    assert open_spool(keep=-1).body("phone", "large") == result
    open_spool(keep=-1).put(record("more"))  # sweeps what is past its time
    assert open_spool().body("phone", "large") == b""
    assert not open_spool().has_large


def test_a_body_goes_with_its_record(open_spool: Callable[..., Spool], path: Path) -> None:
    spool = open_spool()
    for name in ("removed", "replaced", "emptied"):
        spool.put(record(name), bytes(LARGE))
    spool.remove("phone", "removed")
    spool.put(record("replaced"), b"new")
    spool.finish("phone", "emptied", b"result")
    spool.finish("phone", "removed", b"result", bytes(LARGE))
    spool.close()
    with sqlite3.connect(path) as db:
        assert db.execute("SELECT data FROM piece").fetchall() == [(b"new",)]
    db.close()


def test_a_spool_that_was_made_before_bodies_lay_beside_messages_is_used_on(
    open_spool: Callable[..., Spool], path: Path
) -> None:
    open_spool().put(record("old"))
    open_spool().close()
    with sqlite3.connect(path) as db:
        db.executescript("DROP TRIGGER forget; DROP TABLE piece;")
    db.close()
    spool = open_spool()
    spool.put(record("new"), b"body")
    assert [one.id for one in spool.all()] == ["old", "new"]
    assert spool.body("phone", "new") == b"body"


def test_the_last_offer_comes_back(open_spool: Callable[..., Spool]) -> None:
    assert open_spool().offer() is None
    spool = open_spool()
    spool.set_offer(b"first")
    spool.set_offer(b"last")
    assert open_spool().offer() == b"last"


def test_what_is_left_of_a_deadline_counts_from_the_receipt() -> None:
    sent = Record("phone", "one", b"", OLD, 5000)
    assert sent.left(OLD + 2) == 3000
    assert sent.left(OLD + 60) == 0
    assert sent.left(OLD - 60) == 5000  # the clock was set back meanwhile
    assert record("no deadline").left(NEW) is None


def test_threads_may_share_it(open_spool: Callable[..., Spool]) -> None:
    spool = open_spool()

    def fill(thread: int) -> None:
        for number in range(50):
            spool.put(record(f"{thread}-{number}"))
            spool.finish("phone", f"{thread}-{number}", b"result")

    threads = [threading.Thread(target=fill, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(list(spool.all())) == 200


# Limits


def test_more_records_than_allowed_are_refused_with_the_numbers(open_spool: Callable[..., Spool]) -> None:
    spool = open_spool(most=2)
    spool.put(record("one"))
    spool.put(record("two"))
    with pytest.raises(SpoolFull, match=r"2 of 2 tasks and 20 of \d+ bytes: no room for 10 bytes"):
        spool.put(record("three"))
    spool.put(record("two"))  # is there already
    spool.remove("phone", "one")
    spool.put(record("three"))
    assert [one.id for one in spool.all()] == ["two", "three"]


def test_more_bytes_than_allowed_are_refused_before_and_after_a_restart(
    open_spool: Callable[..., Spool],
) -> None:
    spool = open_spool(most_bytes=100)
    spool.put(record("one", size=60))
    with pytest.raises(SpoolFull):
        spool.put(record("two", size=41))
    spool.put(record("one", size=100))
    spool = open_spool(most_bytes=100)
    with pytest.raises(SpoolFull):
        spool.put(record("two", size=1))
    spool.finish("phone", "one", bytes(99))
    spool.put(record("two", size=1))


def test_results_past_their_time_make_room(open_spool: Callable[..., Spool]) -> None:
    spool = open_spool(most=1, keep=-1)
    spool.put(record("one"))
    spool.finish("phone", "one", b"result")
    spool.put(record("two"))
    assert list(spool.all()) == [record("two")]


def test_a_result_is_kept_whatever_its_size(open_spool: Callable[..., Spool]) -> None:
    spool = open_spool(most_bytes=100)
    spool.put(record("one"))
    spool.finish("phone", "one", bytes(1000))
    [done] = open_spool().all()
    assert done.result == bytes(1000)


# Files that it must not touch


def test_a_file_that_is_no_database_is_refused_and_stays_as_it_is(path: Path) -> None:
    path.write_text("a shopping list\n" * 100)
    with pytest.raises(ConfigError, match=r"spool\.db cannot be used: file is not a database"):
        Spool(path)
    assert path.read_text() == "a shopping list\n" * 100


def test_the_database_of_another_program_is_refused_and_stays_as_it_is(path: Path) -> None:
    with sqlite3.connect(path) as other:
        other.execute("CREATE TABLE photos (name TEXT)")
    other.close()
    before = path.read_bytes()
    with pytest.raises(ConfigError, match="another program"):
        Spool(path)
    assert path.read_bytes() == before


def test_a_spool_of_a_later_version_is_refused(open_spool: Callable[..., Spool], path: Path) -> None:
    open_spool().close()
    with sqlite3.connect(path) as later:
        later.execute("PRAGMA user_version = 2")
    later.close()
    with pytest.raises(ConfigError, match="form 2, this program knows the form 1"):
        Spool(path)


def test_a_damaged_spool_is_refused(open_spool: Callable[..., Spool], path: Path) -> None:
    spool = open_spool()
    for number in range(100):
        spool.put(record(str(number), size=5000))
    spool.close()
    content = bytearray(path.read_bytes())
    content[4096:-4096] = os.urandom(len(content) - 8192)
    path.write_bytes(content)
    with pytest.raises(ConfigError, match="cannot be used"):
        Spool(path)


def test_a_spool_in_use_is_refused(open_spool: Callable[..., Spool], path: Path) -> None:
    open_spool()
    with pytest.raises(ConfigError, match="another process uses it"):
        Spool(path)


def test_a_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"there is no folder .*missing"):
        Spool(tmp_path / "missing" / "spool.db")


def test_a_full_disk_refuses_the_record_and_keeps_the_others(
    open_spool: Callable[..., Spool],
) -> None:
    spool = open_spool()
    spool.put(record("one"))
    [pages] = spool._db.execute("PRAGMA page_count").fetchone()
    spool._db.execute(f"PRAGMA max_page_count = {pages}")  # the file cannot grow, as on a full disk
    with pytest.raises(SpoolFull, match=r"spool\.db cannot be written: .*full"):
        spool.put(record("two", size=100_000))
    assert list(open_spool().all()) == [record("one")]


# Crashes


Change = tuple[str, Record]


def changes(seed: int) -> Iterator[Change]:
    """An endless, repeatable sequence of changes to a spool."""
    chance = random.Random(seed)
    for number in range(sys.maxsize):
        name = str(chance.randrange(20))
        kind = chance.choice(["put", "put", "put", "finish", "remove"])
        size = chance.choice([10, 3000, 200_000])
        yield kind, Record("phone", name, f"{number} ".encode() * (size // 4), OLD, number)


def body_of(new: Record) -> bytes:
    """What a change puts beside the record: several pieces, or nothing."""
    return new.message * 12 if len(new.message) > 100_000 else b""


def apply(spool: Spool, change: Change) -> None:
    kind, new = change
    if kind == "put":
        spool.put(new, body_of(new))
    elif kind == "finish":
        spool.finish(new.sender, new.id, new.message, body_of(new))
    else:
        spool.remove(new.sender, new.id)


def expected(seed: int, count: int) -> dict[str, tuple[Record, bytes]]:
    """What a spool holds after the first ``count`` changes."""
    held: dict[str, tuple[Record, bytes]] = {}
    for _, (kind, new) in zip(range(count), changes(seed), strict=False):
        if kind == "put":
            held[new.id] = new, body_of(new)
        elif kind == "remove":
            held.pop(new.id, None)
        elif (old := held.get(new.id)) is not None:
            held[new.id] = replace(old[0], message=b"", result=new.message), body_of(new)
    return held


def change_until_killed(path: str, seed: int) -> None:
    """Run in a process of its own: say each change that is done."""
    spool = Spool(Path(path))
    for number, change in enumerate(changes(seed), 1):
        apply(spool, change)
        os.write(1, b"%d\n" % number)


@pytest.mark.parametrize("seed", range(5))
def test_kill_9_at_any_moment_loses_nothing_that_was_done_and_half_does_nothing(
    path: Path, processes: Processes, seed: int
) -> None:
    code = f"from tests.cloud.test_spool import *; change_until_killed({str(path)!r}, {seed})"
    program = processes.start_python("-c", code)
    program.wait_for(f"\n{random.Random(seed).randrange(2, 400)}\n")
    program.kill()
    done = int(program.output.split("\n")[-2])
    spool = Spool(path)
    held = {one.id: (one, spool.body(one.sender, one.id)) for one in spool.all()}
    spool.close()
    assert held in (expected(seed, done), expected(seed, done + 1))
