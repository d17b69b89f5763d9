"""What a node keeps for its site: posted tasks and sessions, by key, in a file that outlives crash and power loss.

Writes are done by one thread, in groups: everything that came in while the disk was busy with the last commit goes into
the next one, and is confirmed together. So a thousand writes at once cost a handful of syncs, and one alone costs one:
0.1 ms on a solid-state disk, tens of ms on a poor SD card.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
import os
import sqlite3
import threading
from collections import deque
from collections.abc import Callable, Mapping
from pathlib import Path

from fogsdk.core.commands import Write
from fogsdk.core.events import WriteFailed, Written
from fogsdk.device.database import Damaged, Form, InUse, open_database
from fogsdk.errors import ConfigError

BATCH_BYTES = 4 * 1024 * 1024
"""What one commit takes at the most, unless one record is larger: a bound on its time, and on what fails with it."""

_SCHEMA = "CREATE TABLE record (number INTEGER PRIMARY KEY, key TEXT NOT NULL UNIQUE, data BLOB NOT NULL);"
_FORM = Form("journal", 0x666F676A, 1, _SCHEMA)  # "fogj" in the file's header says that it is ours
_PUT = "INSERT INTO record (key, data) VALUES (?, ?) ON CONFLICT (key) DO UPDATE SET data = excluded.data"

Records = tuple[tuple[str, bytes], ...]
Confirm = Callable[[Written | WriteFailed], None]

log = logging.getLogger(__name__)


class Journal:
    """Records by key. The file belongs to one process at a time.

    Raises ConfigError when it cannot be used: in use already, or something else than a journal of this version. A
    journal that is damaged is moved aside, where ``sqlite3 FILE .recover`` may still read it, and a new one begun: a
    node that does not start would help nobody, and its neighbours have copies of what it kept. One of another ``site``
    cannot be used: what that keeps would go on here.
    """

    def __init__(self, path: Path, site: str) -> None:
        self._path = path
        self._db, self.records = _open(path, site)
        self._queue: deque[Write] = deque()
        self._arrived = threading.Condition()
        self._closing = False
        self._failing = False
        self._thread: threading.Thread | None = None

    def open(self, confirm: Confirm) -> Records:
        """Begin to write, and return what the file holds. ``confirm`` is called on the event loop that this is called
        on, once for each commit."""
        loop = asyncio.get_running_loop()
        self._thread = threading.Thread(
            target=self._run,
            args=(lambda event: loop.call_soon_threadsafe(confirm, event),),
            name="journal",
            daemon=True,
        )
        self._thread.start()
        records, self.records = self.records, ()
        return records

    def write(self, write: Write) -> None:
        """Queue a write; never blocks. Writes are done in the order in which they come."""
        with self._arrived:
            self._queue.append(write)
            self._arrived.notify()

    def close(self) -> None:
        """Write what is queued, and let go of the file. Blocks until that is done."""
        with self._arrived:
            self._closing = True
            self._arrived.notify()
        if self._thread is not None:
            self._thread.join()
        self._db.close()

    # ------------------------------------------------------------ the thread

    def _run(self, confirm: Confirm) -> None:
        while batch := self._next_batch():
            confirm(self._commit(batch))

    def _next_batch(self) -> list[Write]:
        """Wait for writes and return them; none at the end."""
        with self._arrived:
            while not self._queue and not self._closing:
                self._arrived.wait()
            batch: list[Write] = []
            size = 0
            while self._queue and (not batch or size + len(self._queue[0].data or b"") <= BATCH_BYTES):
                batch.append(self._queue.popleft())
                size += len(batch[-1].data or b"")
        return batch

    def _commit(self, batch: list[Write]) -> Written | WriteFailed:
        last = batch[-1].number
        newest = {write.key: write.data for write in batch}
        try:
            self._db.execute("BEGIN")
            self._db.executemany(_PUT, ((key, data) for key, data in newest.items() if data is not None))
            self._db.executemany("DELETE FROM record WHERE key = ?", ((k,) for k, d in newest.items() if d is None))
            self._db.execute("COMMIT")
        except Exception as error:  # noqa: BLE001 - whatever it is, the node has to know
            return WriteFailed(last, self._failed(error))
        if self._failing:
            self._failing = False
            log.warning("the journal %s can be written again", self._path)
        return Written(last)

    def _failed(self, error: Exception) -> str:
        if not self._failing:  # said once, not for each write while the disk is full
            self._failing = True
            log.error("the journal %s cannot be written: %s", self._path, error)
        try:
            if self._db.in_transaction:
                self._db.execute("ROLLBACK")
            self._db.execute("PRAGMA wal_checkpoint(TRUNCATE)")  # may give back some room on a full disk
        except sqlite3.Error:
            pass  # the next write tries again
        return f"the journal cannot be written: {error}"


def _open(path: Path, site: str) -> tuple[sqlite3.Connection, Records]:
    try:
        return _read(path, site)
    except Damaged as error:
        log.error("%s", error)
        aside = _move_aside(path)
        log.error("what it kept is lost to this node; it is now %s, and a new journal is begun", aside)
        return _read(path, site)


def _read(path: Path, site: str) -> tuple[sqlite3.Connection, Records]:
    db = open_database(path, _FORM)
    try:
        _check_site(db, path, site)
        return db, tuple(db.execute("SELECT key, data FROM record ORDER BY number"))
    except sqlite3.DatabaseError as error:
        db.close()
        raise Damaged(f"the journal {path} is damaged ({error})") from error
    except ConfigError:
        db.close()
        raise


def _check_site(db: sqlite3.Connection, path: Path, site: str) -> None:
    try:
        db.execute("CREATE TABLE IF NOT EXISTS owner (site TEXT NOT NULL)")  # older journals have none
        [owner] = db.execute("SELECT site FROM owner").fetchone() or [None]
        if owner is None:
            db.execute("INSERT INTO owner VALUES (?)", (site,))
    except sqlite3.OperationalError:  # a full disk, say: then it is written down at a later start
        return
    if owner not in (None, site):
        raise ConfigError(f"the journal {path} is of the site {owner!r}, and this is {site!r}: name a file of its own")


def _move_aside(path: Path) -> Path:
    free = (path.with_name(f"{path.name}.damaged-{number}") for number in itertools.count(1))
    aside = next(name for name in free if not name.exists())
    for suffix in ("-wal", ""):  # sqlite3 looks for the log beside the file
        source = path.with_name(path.name + suffix)
        if source.exists():
            source.rename(aside.with_name(aside.name + suffix))
    return aside


# ---------------------------------------------------------------- where it is


def default_path(environ: Mapping[str, str], site: str, node: str) -> Path:
    """Where a node's journal is when nobody says: in systemd's state directory, else in this user's (XDG Base Directory
    Specification)."""
    base = environ.get("STATE_DIRECTORY", "").split(":")[0]
    if base:
        folder = Path(base)
    else:
        state = environ.get("XDG_STATE_HOME", "")
        folder = (Path(state) if Path(state).is_absolute() else Path("~/.local/state").expanduser()) / "fogsdk"
    return folder / site / f"{node}.journal"


def open_journal(path: Path | None, site: str, node: str) -> Journal | None:
    """Open the journal at ``path``, or where this node's is by default. None where it cannot be there: then the node
    keeps nothing for its site, and says so.

    Raises ConfigError as :class:`Journal` does for a path that was given; and for any where another process has it.
    """
    if path is not None:
        return Journal(path, site)
    try:
        path = default_path(os.environ, site, node)
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        return Journal(path, site)
    except InUse as error:
        raise ConfigError(
            f"{error}; does a node {node} of site {site} run here already? Then give this one a name: --node {node}-2"
        ) from error
    except (ConfigError, OSError, RuntimeError) as error:
        log.warning("this node keeps no posted tasks and sessions: %s; set journal, or keep_journal = false", error)
        return None
