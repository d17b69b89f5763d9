"""The daemon's end of a socket pair: frames in and out on the event loop, which they never block."""

from __future__ import annotations

import asyncio
import select
import socket
import time
from collections import deque
from collections.abc import Callable, Sequence
from itertools import islice
from typing import Any

from fogsdk.node.worker_frames import MOST_DESCRIPTORS, PIECES, Frame, Inbox, attached, descriptors, pack
from fogsdk.wire.messages import Body


class Link:
    """Speaks frames over ``connection``, which it owns from here on.

    ``on_frames`` is called with those that came together. ``on_end()`` is called once, when the other end has closed,
    cannot be reached, or has sent what is no frame or cannot be taken; not when this end closes.
    """

    def __init__(
        self,
        connection: socket.socket,
        on_frames: Callable[[list[Frame]], None],
        on_end: Callable[[], None],
    ) -> None:
        connection.setblocking(False)
        self._loop = asyncio.get_running_loop()
        self._socket = connection
        self._on_frames = on_frames
        self._on_end = on_end
        self._inbox = Inbox(connection)
        self._unsent: deque[Body] = deque()
        self._unsent_shared: list[Body] = []
        self._closed = False
        self._poll = select.poll()
        self._poll.register(connection, select.POLLIN)
        self._loop.add_reader(connection, self._read)

    def send(self, fields: Sequence[Any], bodies: Sequence[Body] = (), *, soon: bool = False) -> None:
        """Send a frame: what the socket does not take at once follows when it can. ``soon`` is together with what else
        there is in this turn of the event loop, or as much of that as one system call takes: each may wake a process,
        which takes longer than all else that is done for a small job."""
        if self._closed:
            return
        waiting = bool(self._unsent)
        room = MOST_DESCRIPTORS - len(self._unsent_shared)
        pieces, shared = pack(fields, bodies, room)
        if shared:
            self._unsent_shared += bodies[:room]
        self._unsent += pieces
        if soon and not waiting:
            self._loop.call_soon(self._write_first)
        elif not waiting or (soon and len(self._unsent) == PIECES):
            self._write_first()

    def _write_first(self) -> None:
        if self._unsent:
            self._write()
            if self._unsent:
                self._loop.add_writer(self._socket, self._write_on)

    @property
    def has_sent(self) -> bool:
        """Whether the socket took all that was to be sent."""
        return not self._unsent

    def busy_poll(self, longest: float) -> bool:
        """Wait without sleeping, ``longest`` seconds at the most, and take in what came; returns whether it was
        anything."""
        poll, clock = self._poll.poll, time.perf_counter
        until = clock() + longest
        while not self._closed and clock() < until:
            if poll(0):
                return self._read()
        return False

    def drain(self) -> None:
        """Take in all that the other end has sent already."""
        while self._read():
            pass

    def close(self) -> None:
        """Close this end; what is unsent or unread is dropped, and nothing is called any more."""
        if not self._closed:
            self._closed = True
            self._unsent.clear()
            self._unsent_shared.clear()
            self._inbox.close()
            self._loop.remove_reader(self._socket)
            self._loop.remove_writer(self._socket)
            self._socket.close()

    def _read(self) -> bool:
        """Take in one chunk; return whether there may be more."""
        if self._closed:
            return False
        try:
            frames = self._inbox.receive()
        except BlockingIOError:
            return False
        except (OSError, ValueError):  # it is gone, or what it sent is no frame or cannot be taken
            frames = None
        if frames is None:
            self._end()
            return False
        if frames:
            self._on_frames(frames)
        return True

    def _end(self) -> None:
        self.close()
        self._on_end()

    def _write_on(self) -> None:
        self._write()
        if not self._unsent and not self._closed:
            self._loop.remove_writer(self._socket)

    def _write(self) -> None:
        """Send what the socket takes at once, and no more: others want the event loop too."""
        try:
            if len(self._unsent) == 1 and not self._unsent_shared:
                sent = self._socket.send(self._unsent[0])
            else:
                # Those of frames that are still to come may go first: they are taken in the same order.
                shared = attached(descriptors(self._unsent_shared))
                sent = self._socket.sendmsg(list(islice(self._unsent, PIECES)), shared)
                self._unsent_shared.clear()
        except BlockingIOError:
            return
        except ConnectionError:  # the other end is gone; reading will find that out, after its last words
            self._unsent.clear()
            sent = 0
        except OSError:  # too many descriptors are on their way, for one: what it should do it will never hear
            self._end()
            return
        while self._unsent and sent >= len(self._unsent[0]):
            sent -= len(self._unsent.popleft())
        if sent:
            self._unsent[0] = memoryview(self._unsent[0])[sent:]
