"""Wakes a thread that waits in a selector."""

from __future__ import annotations

import contextlib
import selectors
import socket


class Waker:
    """Makes ``selector`` return, with None as the data of its key. ``wake`` is for any thread, all else for the one
    that waits."""

    def __init__(self, selector: selectors.BaseSelector) -> None:
        self._selector = selector
        self._woken = False
        self._connect()

    def _connect(self) -> None:
        self._reader, self._writer = socket.socketpair()
        self._reader.setblocking(False)
        self._writer.setblocking(False)
        self._selector.register(self._reader, selectors.EVENT_READ, None)

    def wake(self, anyway: bool = False) -> None:
        """Have the selector return, now or as soon as it is asked; ``anyway``, where it may be that somebody was
        interrupted in the middle of waking or draining."""
        if self._woken and not anyway:
            return
        self._woken = True
        try:  # noqa: SIM105 - nothing in Python comes between these two, which an interrupt would begin with
            self._writer.send(b"\0")
        except OSError:
            pass  # it is full, or closed: the thread is awake, or has ended

    def drain(self) -> None:
        """The selector returned for it."""
        with contextlib.suppress(OSError):
            while self._reader.recv(4096):
                pass
        # Not before: the byte of one who wakes this thread meanwhile would be taken too, and no other ever sent.
        self._woken = False

    def renew(self) -> None:
        """Take new sockets: iOS takes those of an app in the background away. The thread wakes once for nothing, or
        for one who woke it over the old ones."""
        self._selector.unregister(self._reader)
        self.close()
        self._connect()
        self._writer.send(b"\0")

    def close(self) -> None:
        """Nobody waits any more."""
        self._reader.close()
        self._writer.close()
