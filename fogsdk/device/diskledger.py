"""The device's ledger on its own disk: tasks that were handed in and are not settled outlive the program.

It is an SQLite file, synced at each commit. One thread does all the writing, and commits in one go whatever has been
handed in while it was busy with the commit before: nobody waits for a timer, and many share a sync.
"""

from __future__ import annotations

import atexit
import logging
import os
import secrets
import sqlite3
import threading
import time
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import closing
from dataclasses import dataclass, field, replace
from pathlib import Path
from queue import Empty, SimpleQueue

from fogsdk.core.builtins import PREFIX
from fogsdk.device.database import Form, open_database
from fogsdk.errors import ConfigError, FogError, TaskRefused, WireError
from fogsdk.wire import codec
from fogsdk.wire.limits import STORED_SIZE
from fogsdk.wire.messages import Task

log = logging.getLogger(__name__)

MOST_TASKS = 100_000
MOST_BYTES = 256 * 1024 * 1024
"""Bytes of tasks: they are in memory, too, until they are settled."""

_FAILURES = (sqlite3.Error, MemoryError)

_FORM = Form(
    what="ledger",
    application=0x666F676C,  # "fogl"
    version=1,
    schema="""
        CREATE TABLE task (
            number INTEGER PRIMARY KEY,  -- the order in which they were handed in
            id TEXT NOT NULL UNIQUE, message BLOB NOT NULL,
            submitted_at REAL NOT NULL  -- wall-clock time, in seconds; the message's deadline counts from then
        );
        CREATE TABLE device (
            only INTEGER PRIMARY KEY CHECK (only = 1),
            site TEXT NOT NULL, name TEXT NOT NULL,
            prefix TEXT NOT NULL, runs INTEGER NOT NULL  -- of the ids, which must not come again
        );
    """,
)


@dataclass(frozen=True)
class _Put:
    id: str
    message: bytes
    submitted_at: float
    done: Future[None] = field(default_factory=Future)


@dataclass(frozen=True)
class _Remove:
    id: str


class _Stop:
    pass


def site_of(path: str | os.PathLike[str]) -> str | None:
    """The site whose tasks a ledger has; None where it cannot be read, which who opens it is told."""
    try:
        with closing(sqlite3.connect(f"{Path(path).absolute().as_uri()}?mode=ro", uri=True, timeout=0.1)) as db:
            row = db.execute("SELECT site FROM device").fetchone()
    except (sqlite3.Error, ValueError):
        return None
    return None if row is None else str(row[0])


class DiskLedger:
    """The unsettled tasks of one device, in the file ``path``, at most MOST_TASKS of them and MOST_BYTES.

    ``name`` is the device's id on the wire: the one that is asked for, else the one it had before, else a random one.
    ``prefix`` begins the ids of this run's tasks. Safe to use from several threads; ``remove`` waits for nobody, so
    that it may be called wherever the garbage collector calls it.

    Raises ConfigError for a file that cannot be used: open in another program, damaged, something else, or with tasks
    of another device or site.
    """

    def __init__(self, path: str | os.PathLike[str], site: str, name: str | None) -> None:
        self._path = Path(path)
        self._db = open_database(self._path, _FORM)
        self._sizes: dict[str, int] = {}
        try:
            self._left = list(self._load())
            self.name, self.prefix = self._sign_in(site, name)
        except BaseException:
            self._db.close()
            raise
        self._bytes = sum(self._sizes.values())
        self._orders: SimpleQueue[_Put | _Remove | _Stop] = SimpleQueue()
        self._unwritten: list[_Remove] = []
        self._stopped = False
        self._thread = threading.Thread(target=self._write, name="fogsdk-ledger", daemon=True)
        self._thread.start()
        atexit.register(self.close)  # what is settled shall not be found again when a script just ends

    def take_left(self) -> list[Task]:
        """The tasks of earlier runs, in order, each with what is left of its deadline."""
        left, self._left = self._left, []
        return left

    # ------------------------------------------------------------ for any thread

    def put(self, task: Task) -> None:
        """Write a task down; when this returns it is on the disk. What is posted, steps of sessions, and questions to
        nodes are kept elsewhere, if at all, and passed over.

        Raises TaskRefused (overloaded) where there is no room for it in the ledger or on the disk.
        """
        if task.keep is not None or task.session or task.name.startswith(PREFIX):
            return
        order = _Put(task.id, codec.encode([task], most=STORED_SIZE), time.time())
        self._orders.put(order)
        if self._stopped:
            self._thread.join()
            if not order.done.done():
                raise FogError("this Fog is closed; connect() again")
        order.done.result()

    def holds(self, id: str) -> bool:
        """Whether a task is in here."""
        return id in self._sizes

    def remove(self, id: str) -> None:
        """Forget a task, if it is there; it is done in the background."""
        self._orders.put(_Remove(id))

    def close(self) -> None:
        """Write what is to be written, and let go of the file."""
        self._orders.put(_Stop())
        self._thread.join()
        atexit.unregister(self.close)

    # ------------------------------------------------------------ opening

    def _load(self) -> Iterator[Task]:
        now = time.time()
        for id, message, submitted_at in self._db.execute("SELECT id, message, submitted_at FROM task ORDER BY number"):
            self._sizes[id] = len(message)
            task = _read(message)
            if task is None:
                log.error("the ledger %s: task %s cannot be read by this program, and stays there", self._path, id)
                continue
            passed = max(0, int((now - submitted_at) * 1000))  # a clock that was set back gives no task extra time
            yield replace(task, deadline=None if task.deadline is None else max(0, task.deadline - passed))

    def _sign_in(self, site: str, name: str | None) -> tuple[str, str]:
        row = self._db.execute("SELECT site, name, prefix, runs FROM device").fetchone()
        known_site, known_name, prefix, runs = row or (site, None, secrets.token_hex(4), 0)
        name = name or known_name or f"device-{secrets.token_hex(6)}"
        if self._left and (site, name) != (known_site, known_name):
            raise ConfigError(
                f"the ledger {self._path} has {len(self._left)} tasks of {known_name!r} for site {known_site!r}, and "
                f"this is {name!r} for site {site!r}: let that one finish them, or name another file"
            )
        self._db.execute("INSERT OR REPLACE INTO device VALUES (1, ?, ?, ?, ?)", (site, name, prefix, runs + 1))
        return name, f"{prefix}-{runs + 1:x}"

    # ------------------------------------------------------------ the thread that writes

    def _write(self) -> None:
        try:
            while not self._stopped:
                self._carry_out([self._orders.get(), *self._at_hand()])
            self._carry_out(self._at_hand())  # what came in the moment that it stopped
        finally:
            self._stopped = True
            self._db.close()

    def _at_hand(self) -> list[_Put | _Remove | _Stop]:
        orders = []
        try:
            while True:
                orders.append(self._orders.get_nowait())
        except Empty:
            return orders

    def _carry_out(self, orders: list[_Put | _Remove | _Stop]) -> None:
        if any(isinstance(order, _Stop) for order in orders):
            self._stopped = True
        removes = self._unwritten + [order for order in orders if isinstance(order, _Remove) and self._freed(order.id)]
        puts = [order for order in orders if isinstance(order, _Put) and self._has_room(order)]
        try:
            self._commit(puts, removes)
        except _FAILURES as error:
            self._commit_apart(puts, removes, error)
        else:
            self._unwritten = []
            for put in puts:
                put.done.set_result(None)

    def _freed(self, id: str) -> bool:
        """Give back the room of a task; False where there is none."""
        size = self._sizes.pop(id, None)
        self._bytes -= size or 0
        return size is not None

    def _has_room(self, put: _Put) -> bool:
        """Reserve room for a task, or refuse it."""
        if len(self._sizes) < MOST_TASKS and self._bytes + len(put.message) <= MOST_BYTES:
            self._sizes[put.id] = len(put.message)
            self._bytes += len(put.message)
            return True
        full = f"the ledger {self._path} holds {len(self._sizes)} tasks with {self._bytes} bytes: no room for more"
        put.done.set_exception(TaskRefused("overloaded", full))
        return False

    def _commit(self, puts: list[_Put], removes: list[_Remove]) -> None:
        with self._db:
            self._db.execute("BEGIN")
            self._db.executemany(
                "INSERT INTO task (id, message, submitted_at) VALUES (?, ?, ?)",
                [(put.id, put.message, put.submitted_at) for put in puts],
            )
            self._db.executemany("DELETE FROM task WHERE id = ?", [(remove.id,) for remove in removes])

    def _commit_apart(self, puts: list[_Put], removes: list[_Remove], error: Exception) -> None:
        """The disk did not take them together: each task by itself then, and what is to be removed first."""
        log.error("the ledger %s cannot be written: %s", self._path, error)
        self._unwritten = removes
        try:
            self._commit([], removes)
            self._unwritten = []
        except _FAILURES:
            pass  # tried again with the next; if that never comes, these tasks are found again by the next run
        for put in puts:
            try:
                self._commit([put], [])
                put.done.set_result(None)
            except _FAILURES as why:
                self._freed(put.id)
                refusal = TaskRefused("overloaded", f"the ledger {self._path} cannot be written: {why}")
                put.done.set_exception(refusal)


def _read(message: bytes) -> Task | None:
    try:
        [task] = codec.decode(message, STORED_SIZE)
    except (WireError, ValueError):
        return None
    return task if isinstance(task, Task) else None
