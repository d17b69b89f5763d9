"""Whose turn it is to read: the SDK's own thread's, or that of a thread which waits for a lone task.

A leader reads and all others wait (leader and followers, Schmidt et al. 2000). Whoever makes one call after the other
reads the answers itself: to hand each over to another thread takes longer, above all from one core to another. The
SDK's own thread sleeps on an epoll of its own that the selector in use is part of, and is made deaf by who leads: so no
thread is woken for another to lead, nor afterwards. Where there is no epoll, the SDK's own thread takes all turns.
"""

from __future__ import annotations

import select
import selectors
import threading
import time
from collections.abc import Callable
from functools import partial
from math import inf
from typing import Any

from fogsdk.device.future import IN_A_CALLBACK
from fogsdk.errors import FogError

Found = list[tuple[selectors.SelectorKey, int]]
Wait = Callable[[float], Found]
_EPOLL: Any = getattr(selectors, "EpollSelector", ())


class Turns:
    """Hands out the turns: in ``turn(wait, leads)`` everything is seen to, ``wait(seconds)`` called, and taken in what
    that returns. Who ``leads`` reads and writes, and leaves all else to the SDK's own thread.

    ``is_lone(id)`` says whether a task is the only one that is out, ``is_steady()`` whether there is a connection that
    can be read from without more ado, ``is_early()`` whether there is something to do before ``awake_by``; ``wake()``
    has whoever reads look at once, and ``interrupted`` is called where a turn ended in the middle.
    """

    def __init__(
        self,
        selector: selectors.BaseSelector,
        turn: Callable[[Wait, bool], None],
        is_lone: Callable[[str], bool],
        is_steady: Callable[[], bool],
        is_early: Callable[[], bool],
        wake: Callable[[], None],
        interrupted: Callable[[], None],
    ) -> None:
        self.awake_by = 0
        """When whoever reads looks by itself whether there is something to do, in milliseconds of the clock. Each turn
        sets it, before it waits."""
        self.is_between = True
        """Whether nothing is lost when a turn ends here."""
        self._selector = selector
        self._turn = turn
        self._has_only = is_lone
        self._is_steady = is_steady
        self._is_early = is_early
        self._wake = wake
        self._interrupted = interrupted
        self._lock = threading.RLock()  # held by the one that reads
        self._reader = self._own = 0
        self._is_over = False
        self._ears = _Ears(selector) if isinstance(selector, _EPOLL) else None

    @property
    def may_lead(self) -> bool:
        """Whether others than the SDK's own thread may take turns."""
        return self._ears is not None

    @property
    def mine(self) -> bool:
        """Whether it is the calling thread's turn."""
        return threading.get_ident() == self._reader

    # ------------------------------------------------------------ for the SDK's own thread

    def run(self) -> None:
        """Take all turns that nobody else takes, until it is over."""
        self._own = threading.get_ident()
        with self._lock:
            while not self._is_over:
                self._reader = self._own
                self._turn(self._sleep, False)

    def end(self, hang_up: Callable[[], None]) -> None:
        """All turns are over; ``hang_up`` once nobody else is in one."""
        with self._lock:
            hang_up()
            self._reader = self._own = 0
            if self._ears is not None:
                self._ears.close()

    def _sleep(self, seconds: float) -> Found:
        """Wait for something to happen, or for others to have taken it in."""
        if seconds <= 0 or self._ears is None:
            return self._selector.select(seconds)
        self._ears.open()  # again, where one who led was interrupted in the middle of that
        self._lock.release()
        try:
            self._ears.listen(seconds)
        finally:
            self._lock.acquire()
        self._reader = self._own
        return self._selector.select(0)

    # ------------------------------------------------------------ for any thread

    def over(self) -> None:
        """There are no more turns."""
        self._is_over = True
        self._wake()

    def attend(self, task: str, timeout: float | None) -> float | None:
        """Take the turns until a task is settled, if it is the only one that is out. Returns what is left of
        ``timeout``, in seconds: it may be needed yet, since others may submit, too. Raises FogError in a callback
        without one: nothing comes while that waits."""
        ears, me = self._ears, threading.get_ident()
        if self._reader == me and timeout is None:
            raise FogError(IN_A_CALLBACK)
        if ears is None or not self._is_lone(task) or self._reader == me:
            return timeout
        until = inf if timeout is None else time.monotonic() + timeout
        own_awake_by = self.awake_by
        try:
            if not self._lock.acquire(blocking=False) or self._is_over:
                self._wake()  # who reads may have looked for what is due before this task was submitted
                return timeout
            own_awake_by, self._reader = self.awake_by, me
            ears.shut()
            self._lead(task, until)
        except BaseException:  # KeyboardInterrupt comes wherever it likes
            if self._reader == me and not self.is_between:
                self._interrupted()
            self._wake()
            raise
        finally:  # by what nothing interrupts: no function in Python, of which not even the call is sure to begin
            try:
                if self._reader == me:
                    self._reader, self.awake_by = self._own, own_awake_by
                    ears.open()
            finally:
                try:  # noqa: SIM105
                    self._lock.release()
                except RuntimeError:
                    pass  # it was not this thread's turn
        try:
            if self._is_needed():
                self._wake()
        except BaseException:
            self._interrupted()  # to find out what is due, the core may have had to write something down
            raise
        return None if timeout is None else max(0.0, until - time.monotonic())

    def _is_lone(self, task: str) -> bool:
        return self._has_only(task) and not self._is_over

    def _is_needed(self) -> bool:
        """Whether the SDK's own thread has to look before it would by itself."""
        return self._is_over or not self._is_steady() or self._is_early()

    def _lead(self, task: str, until: float) -> None:
        def wait(seconds: float) -> Found:
            if until != inf:
                seconds = max(0.0, min(seconds, until - time.monotonic()))
            return self._selector.select(seconds)

        while self._is_lone(task) and self._is_steady() and time.monotonic() < until:
            self._turn(wait, True)


class _Ears:
    """By which the SDK's own thread hears that something happened, while they are open."""

    def __init__(self, selector: Any) -> None:
        epoll = select.epoll()
        epoll.register(selector.fileno(), 0)
        self.open = partial(epoll.modify, selector.fileno(), select.EPOLLIN)
        self.shut = partial(epoll.modify, selector.fileno(), 0)
        self.listen = epoll.poll
        self.close = epoll.close
