"""What the bridge was given, on disk until it is delivered: a file that outlives crash and power loss.

It is an SQLite file that is synced at each commit (see ``fogsdk.device.database``): what ``put`` took is on the disk
when it returns, and may be acknowledged.

A call takes about as long as the disk needs for a sync: 0.1 ms on a solid-state disk, tens of ms on a poor SD
card; with large bodies a second and more. Calls may come from any thread, and wait for each other.

A large body lies beside its message, in pieces: to copy all of it at one go would keep the interpreter from everything
else in this process for as long as that takes.
"""

from __future__ import annotations

import contextlib
import logging
import sqlite3
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fogsdk.core.held import Key
from fogsdk.device.database import Form, open_database
from fogsdk.device.memory import Memory
from fogsdk.errors import ConfigError, FogError
from fogsdk.wire.limits import INLINE_SIZE
from fogsdk.wire.messages import Body

LARGE = INLINE_SIZE
"""Bytes from which on a body is better kept beside its message, and a record takes long to write and to forget."""
_PIECE = 1024 * 1024

_SCHEMA = """
    CREATE TABLE task (
        number INTEGER PRIMARY KEY,  -- the order in which they came
        sender TEXT NOT NULL, id TEXT NOT NULL,
        message BLOB NOT NULL, received_at REAL NOT NULL, deadline_ms INTEGER,
        result BLOB, done_at REAL,
        UNIQUE (sender, id)
    );
    CREATE INDEX task_done ON task (done_at) WHERE done_at IS NOT NULL;
    CREATE TABLE offer (only INTEGER PRIMARY KEY CHECK (only = 1), message BLOB NOT NULL);
"""
_BODIES = """
    CREATE TABLE IF NOT EXISTS piece (
        task INTEGER NOT NULL, at INTEGER NOT NULL, data BLOB NOT NULL, PRIMARY KEY (task, at)
    );
    CREATE TRIGGER IF NOT EXISTS forget AFTER DELETE ON task
        BEGIN DELETE FROM piece WHERE task = old.number; END;
"""  # not part of the schema: files that were made before there were any are good as they are
_FORM = Form("spool", 0x666F6773, 1, _SCHEMA)  # "fogs" in the file's header says that it is ours
_PUT = """
    INSERT INTO task (sender, id, message, received_at, deadline_ms, result, done_at)
    VALUES (?, ?, ?, ?, ?, ?, ?)
    ON CONFLICT (sender, id) DO UPDATE SET message = excluded.message, received_at = excluded.received_at,
        deadline_ms = excluded.deadline_ms, result = excluded.result, done_at = excluded.done_at
"""
_FINISH = "UPDATE task SET message = x'', result = ?, done_at = ? WHERE sender = ? AND id = ?"
_CUT_BODY = "DELETE FROM piece WHERE task = (SELECT number FROM task WHERE sender = ? AND id = ?)"
_ADD_PIECE = "INSERT INTO piece SELECT number, ?, ? FROM task WHERE sender = ? AND id = ?"
_GET_BODY = """
    SELECT at, data FROM piece WHERE task = (SELECT number FROM task WHERE sender = ? AND id = ?) ORDER BY at
"""
_BODY_SIZE = """
    SELECT SUM(LENGTH(data)) FROM piece WHERE task = (SELECT number FROM task WHERE sender = ? AND id = ?)
"""
_GET = """
    SELECT sender, id, message, received_at, deadline_ms, result FROM task
    WHERE sender = ? AND id = ? AND (done_at IS NULL OR done_at >= ?)
"""

log = logging.getLogger(__name__)


class SpoolFull(FogError):
    """The spool takes nothing more: it has reached a limit of its own, or its disk has."""


@dataclass(frozen=True, slots=True)
class Record:
    """One task of a sender. ``message`` is the encoded task; ``finish`` empties it. What is large in it, or in the
    ``result``, may be beside it: see ``Spool.body``.

    ``received_at`` is wall-clock time in seconds; ``deadline_ms`` counts from then.
    """

    sender: str
    id: str
    message: bytes
    received_at: float
    deadline_ms: int | None = None
    result: bytes | None = None

    def left(self, now: float) -> int | None:
        """Return the milliseconds until the deadline at wall-clock time ``now``; 0 when it is past."""
        if self.deadline_ms is None:
            return None
        waited = max(0.0, now - self.received_at)  # a clock that was set back gives no task extra time
        return max(0, self.deadline_ms - int(waited * 1000))


class Spool:
    """Records by sender and id: at most ``most`` of them, at most ``most_bytes`` in messages and results.

    Results are kept for ``keep`` seconds. The file belongs to one process at a time. Raises ConfigError when
    it cannot be used: in use already, damaged, or something else than a spool of this version.
    """

    def __init__(self, path: Path, *, most: int = 10_000, most_bytes: int = 2**30, keep: float = 3600.0) -> None:
        self._path = path
        self._most = most
        self._most_bytes = most_bytes
        self._keep = keep
        self._lock = threading.RLock()
        self._db = open_database(path, _FORM)
        try:
            self._db.executescript(_BODIES)
        except sqlite3.Error as error:
            self._db.close()
            raise ConfigError(f"the spool {path} cannot be written: {error}") from error
        body = "(SELECT SUM(LENGTH(data)) FROM piece WHERE piece.task = task.number)"
        size = f"LENGTH(message) + IFNULL(LENGTH(result), 0) + IFNULL({body}, 0)"
        rows = self._db.execute(f"SELECT sender, id, {size} FROM task")  # noqa: S608  no input in it
        self._sizes: dict[Key, int] = {(sender, id_): size for sender, id_, size in rows}
        self._bytes = sum(self._sizes.values())
        self._large = {key for key, size in self._sizes.items() if size >= LARGE}

    @property
    def has_large(self) -> bool:
        """Whether there is a large record: then any call may take long, as it may be the one that forgets it."""
        return bool(self._large)

    def put(self, record: Record, body: Body = b"") -> None:
        """Keep a record, in place of one with the same sender and id. Afterwards it is on the disk, and so is ``body``.

        Raises SpoolFull where it would exceed a limit, or the disk takes no more.
        """
        key = record.sender, record.id
        size = len(record.message) + len(record.result or b"") + len(body)
        done_at = None if record.result is None else time.time()
        row = (*key, record.message, record.received_at, record.deadline_ms, record.result, done_at)
        with self._lock:
            self._sweep()
            count = len(self._sizes) + (key not in self._sizes)
            total = self._bytes + size - self._sizes.get(key, 0)
            if count > self._most or total > self._most_bytes:
                self._make_room(key)
                count = len(self._sizes) + (key not in self._sizes)
                total = self._bytes + size - self._sizes.get(key, 0)
            if count > self._most or total > self._most_bytes:
                raise SpoolFull(
                    f"the spool holds {len(self._sizes)} of {self._most} tasks and {self._bytes} of "
                    f"{self._most_bytes} bytes: no room for {size} bytes more"
                )
            try:
                with self._at_once():
                    self._db.execute(_PUT, row)
                    self._put_body(key, body)
            except sqlite3.Error as error:
                raise SpoolFull(f"the spool {self._path} cannot be written: {error}") from error
            self._set_size(key, size)

    def finish(self, sender: str, id: str, result: bytes, body: Body = b"") -> None:
        """Keep the result of a task, and its message no longer, nor the body that was beside that. Limits do not apply:
        the task was taken."""
        with self._lock:
            if self._write(_FINISH, (result, time.time(), sender, id), (sender, id), body):
                self._set_size((sender, id), len(result) + len(body))

    def remove(self, sender: str, id: str) -> None:
        """Forget a record, if it is there."""
        with self._lock:
            if self._write("DELETE FROM task WHERE sender = ? AND id = ?", (sender, id)):
                self._set_size((sender, id), None)

    def get(self, sender: str, id: str) -> Record | None:
        """Return the record with this sender and id, None if there is none."""
        with self._lock:
            row = self._db.execute(_GET, (sender, id, time.time() - self._keep)).fetchone()
        return None if row is None else Record(*row)

    def body(self, sender: str, id: str) -> Body:
        """Return what is kept beside a record."""
        with self._lock:
            [size] = self._db.execute(_BODY_SIZE, (sender, id)).fetchone()
            if not size:
                return b""
            memory = Memory(size)
            for at, data in self._db.execute(_GET_BODY, (sender, id)):
                memory.write(at, data)
        return memory.view().toreadonly()

    def all(self) -> Iterator[Record]:
        """Each record, in the order in which they came. One at a time is read from the disk."""
        with self._lock:
            keys = self._db.execute("SELECT sender, id FROM task ORDER BY number").fetchall()
        for sender, id_ in keys:
            record = self.get(sender, id_)
            if record is not None:
                yield record

    def waiting(self) -> list[Key]:
        """Which records have no result, in the order in which they came."""
        with self._lock:
            return self._db.execute("SELECT sender, id FROM task WHERE done_at IS NULL ORDER BY number").fetchall()

    def set_offer(self, message: bytes) -> None:
        """Remember what the core site offers: a bridge may start while that is away."""
        with self._lock:
            self._write("INSERT OR REPLACE INTO offer VALUES (1, ?)", (message,))

    def offer(self) -> bytes | None:
        """Return what ``set_offer`` was given last."""
        with self._lock:
            row = self._db.execute("SELECT message FROM offer").fetchone()
        return None if row is None else bytes(row[0])

    def close(self) -> None:
        """Let go of the file."""
        with self._lock:
            self._db.close()

    def _sweep(self) -> None:
        """Forget the results whose time has run out."""
        before = time.time() - self._keep
        stale = self._db.execute("SELECT sender, id FROM task WHERE done_at < ?", (before,)).fetchall()
        if stale and self._write("DELETE FROM task WHERE done_at < ?", (before,)):
            for key in stale:
                self._set_size(key, None)

    def _make_room(self, but: Key) -> None:
        """Forget the older half of the results: what is done makes room for what is not."""
        oldest = "SELECT sender, id FROM task WHERE done_at IS NOT NULL ORDER BY done_at"
        done = [key for key in self._db.execute(oldest).fetchall() if key != but]
        for key in done[: len(done) // 2 + 1]:
            self.remove(*key)

    def _set_size(self, key: Key, size: int | None) -> None:
        self._bytes += (size or 0) - self._sizes.pop(key, 0)
        self._large.discard(key)
        if size is not None:
            self._sizes[key] = size
            if size >= LARGE:
                self._large.add(key)

    def _write(self, statement: str, values: tuple[Any, ...], key: Key | None = None, body: Body = b"") -> bool:
        """Return whether it changed anything; where it did, ``body`` is put beside the record with this ``key``. A disk
        that fails costs a repetition, not the bridge."""
        try:
            with self._at_once():
                changed = self._db.execute(statement, values).rowcount > 0
                if changed and key is not None:
                    self._put_body(key, body)
            return changed
        except sqlite3.Error:
            log.exception("the spool %s cannot be written; after a restart tasks may run again", self._path)
            return False

    def _put_body(self, key: Key, body: Body) -> None:
        self._db.execute(_CUT_BODY, key)
        for at in range(0, len(body), _PIECE):
            self._db.execute(_ADD_PIECE, (at, body[at : at + _PIECE], *key))

    @contextlib.contextmanager
    def _at_once(self) -> Iterator[None]:
        """All of it, or none."""
        self._db.execute("BEGIN")
        try:
            yield
            self._db.execute("COMMIT")
        except BaseException:
            if self._db.in_transaction:  # some failures have ended it already
                self._db.execute("ROLLBACK")
            raise
