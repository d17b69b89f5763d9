"""A way to a broker past TCP, for programs of its own user on its own computer: a socket in the file system.

Each packet takes some microseconds less on it. It lies in a folder that nobody else can look into, so that nobody gets
in by it who could not before.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import stat
import tempfile
from collections.abc import Sequence
from pathlib import Path

from fogsdk.device.mqtt import CONNECT_TIMEOUT

_PREFIX, _NAME = "fogsdk-broker-", "mqtt"
_LONGEST_PATH = 100  # bytes that every system's addresses have room for (unix(7): 108 on Linux, 104 on macOS)


class BrokerSocket:
    """The place for a socket, in a folder made for it, that a broker run by one of ``users`` can write to, the first
    of them that exists; no users are this process's own.

    Raises OSError where there is no such place.
    """

    def __init__(self, users: Sequence[str] = ()) -> None:
        if not hasattr(socket, "AF_UNIX"):
            raise OSError("this system has no such sockets")
        _remove_left_behind()
        self._folder = Path(tempfile.mkdtemp(prefix=_PREFIX))
        self.path = str(self._folder / _NAME)
        self._lock: int | None = None
        try:
            _check(self.path)
            self._lock = _locked(self._folder)
            _give_to(self._folder, users)
            self._owner = self._folder.stat().st_uid
        except OSError:
            self.close()
            raise

    def connect(self) -> socket.socket | None:
        """A connection to who listens; None where nobody does, and where the folder is gone or was made anew, which
        anybody can do."""
        connection = socket.socket(socket.AF_UNIX)
        connection.settimeout(CONNECT_TIMEOUT)
        try:
            folder = self._folder.lstat()
            if folder.st_uid == self._owner and folder.st_mode == stat.S_IFDIR | stat.S_IRWXU:
                connection.connect(self.path)
                return connection
        except OSError:
            pass
        connection.close()
        return None

    def close(self) -> None:
        """Remove the folder."""
        if self._lock is None:
            self._folder.rmdir()
            return
        _remove(self._folder, self._lock)
        self._lock = None


def _check(path: str) -> None:
    if len(os.fsencode(path)) > _LONGEST_PATH:
        raise OSError(f"{path} is too long for a socket")
    if " " in path or not path.isprintable():  # mosquitto takes what is before the space, and removes what lies there
        raise OSError(f"{path!r} cannot stand in a broker's configuration")


def _give_to(folder: Path, users: Sequence[str]) -> None:
    for user in users:
        with contextlib.suppress(LookupError):
            shutil.chown(folder, user)
            return
    if users:
        raise OSError(f"there is no user {' or '.join(users)}")


def _locked(folder: Path) -> int:
    """A descriptor of a folder that is this process's as long as it lives; OSError where it is another's."""
    import fcntl

    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(descriptor)
        raise
    return descriptor


def _remove(folder: Path, lock: int) -> None:
    with contextlib.suppress(OSError):
        os.unlink(_NAME, dir_fd=lock)
    with contextlib.suppress(OSError):
        folder.rmdir()
    os.close(lock)


def _remove_left_behind() -> None:
    """Remove the folders of processes that were killed, whose locks are gone with them."""
    for folder in Path(tempfile.gettempdir()).glob(f"{_PREFIX}*"):
        with contextlib.suppress(OSError):  # it is in use, or another user's
            _remove(folder, _locked(folder))
