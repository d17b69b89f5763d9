"""SQLite files that outlive crash and power loss: how a program opens, marks, checks and locks one of its own.

The write-ahead log is synced at each commit (``synchronous=FULL``): what a commit took is on the disk when it returns.
NORMAL would sync at checkpoints only, and a power loss take back what was acknowledged; EXTRA adds nothing where there
is no rollback journal. The lock on the file is held until it is closed, or its process ends, however it ends.
"""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass
from pathlib import Path

from fogsdk.errors import ConfigError

MOST_LOG_BYTES = 16 * 1024 * 1024
"""A write-ahead log that grew beyond this is cut back once its content is in the file itself."""


class Damaged(ConfigError):
    """The file is ours, and cannot be read any more."""


class InUse(ConfigError):
    """Another process has the file open."""


@dataclass(frozen=True)
class Form:
    """What a file is: ``what`` people call it, the application id and version in its header, its tables."""

    what: str
    application: int
    version: int
    schema: str


def open_database(path: Path, form: Form) -> sqlite3.Connection:
    """Open a file of this form, or make it. It belongs to this connection alone; one thread at a time may use that.

    Raises ConfigError where it cannot be used: InUse, Damaged, something else, of another version, not to be written.
    """
    if not path.parent.is_dir():
        raise ConfigError(f"the {form.what} {path}: there is no folder {path.parent}")
    try:
        db = sqlite3.connect(path, timeout=1.0, isolation_level=None, check_same_thread=False)
        try:
            _prepare(db, form)
        except BaseException:
            db.close()
            raise
    except (sqlite3.Error, ConfigError) as error:
        kind, why = type(error) if isinstance(error, ConfigError) else ConfigError, str(error)
        if "locked" in why:
            kind, why = InUse, "another process uses it, or another part of this one"
        raise kind(f"the {form.what} {path} cannot be used: {why}") from error
    return db


def _prepare(db: sqlite3.Connection, form: Form) -> None:
    db.execute("PRAGMA locking_mode = EXCLUSIVE")
    [application] = db.execute("PRAGMA application_id").fetchone()
    [version] = db.execute("PRAGMA user_version").fetchone()
    try:
        [tables] = db.execute("SELECT COUNT(*) FROM sqlite_master").fetchone()
        if (application, version, tables) != (0, 0, 0):
            _check(db, form, application, version)
        db.execute("PRAGMA journal_mode = WAL")
    except sqlite3.OperationalError:  # locked, or the disk fails: the file itself may be sound
        raise
    except sqlite3.DatabaseError as error:
        if application == form.application:
            raise Damaged(f"it is damaged ({error}); move it away to begin a new one") from error
        raise
    db.execute("PRAGMA synchronous = FULL")
    db.execute("PRAGMA fullfsync = ON")  # on macOS a plain sync leaves it in the drive's own memory
    db.execute(f"PRAGMA journal_size_limit = {MOST_LOG_BYTES}")
    if not tables:
        header = f"PRAGMA application_id = {form.application}; PRAGMA user_version = {form.version};"
        db.executescript(f"BEGIN; {form.schema} {header} COMMIT;")


def _check(db: sqlite3.Connection, form: Form, application: int, version: int) -> None:
    if application != form.application:
        raise ConfigError(f"it is the database of another program; name a file of its own for the {form.what}")
    if version != form.version:
        raise ConfigError(f"it has the form {version}, this program knows the form {form.version}")
    [verdict] = db.execute("PRAGMA quick_check(1)").fetchone()
    if verdict != "ok":
        raise Damaged(f"it is damaged ({verdict}); move it away to begin a new one")
