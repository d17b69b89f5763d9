"""Whose turn it is to read: the SDK's own thread's, or that of a thread which waits for a lone task.

A leader reads and all others wait (leader and followers, Schmidt et al. 2000). Whoever makes one call after the other
reads the answers itself: to hand each over to another thread takes longer, above all from one core to another.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Collection
from math import inf

from fogsdk.device.clock import clock

STAYS_AWAKE, NAP = 50, 0.02
"""For so many milliseconds after another thread sent a lone task, or waited for it, the SDK's own looks every so many
seconds whether there is something to watch, so that it need not be woken for each."""
DISTRUST = 1000
"""Milliseconds for which the SDK's own thread does not stand back, after an answer had to wait for its next look: who
submitted that task waits for it in another way."""


class Turns:
    """Hands out the turns: ``turn(longest)`` waits so many seconds at the most for something to happen, and takes that
    in.

    ``tasks`` are those that are out; ``interrupted`` is called where a turn ended in the middle.
    """

    def __init__(self, turn: Callable[[float], None], tasks: Collection[str], interrupted: Callable[[], None]) -> None:
        self.lone_at = -STAYS_AWAKE
        """When a lone task was sent, in milliseconds of the clock."""
        self.is_between = True
        """Whether nothing is lost when a turn ends here."""
        self._turn = turn
        self._tasks = tasks
        self._interrupted = interrupted
        self._lock = threading.RLock()  # held by the one that reads
        self._reader = self._own = 0
        self._is_attended = self._stands_back = self._is_over = False
        self._attended_at = -STAYS_AWAKE
        self._trusts_at = 0
        self._called = threading.Event()

    @property
    def mine(self) -> bool:
        """Whether it is the calling thread's turn."""
        return threading.get_ident() == self._reader

    def were_lone(self, now: int) -> bool:
        """Whether a lone task was sent just now."""
        return now - self.lone_at < STAYS_AWAKE

    # ------------------------------------------------------------ for the SDK's own thread

    def run(self, is_busy: Callable[[], bool]) -> None:
        """Take all turns that nobody else takes, until it is over. ``is_busy`` says whether there is work to do now."""
        self._own = threading.get_ident()
        while not self._is_over:
            longest = self._stand_back(is_busy)
            with self._lock:
                self._reader = self._own
                self._turn(longest)

    def end(self, hang_up: Callable[[], None]) -> None:
        """All turns are over; ``hang_up`` once nobody else is in one."""
        with self._lock:
            hang_up()
            self._reader = self._own = 0

    def _stand_back(self, is_busy: Callable[[], bool]) -> float:
        """Leave the reading to those who wait for lone tasks, if there was one just now. Returns for how many seconds
        to wait for something to happen at the most."""
        if self._is_needed(is_busy):
            return inf
        self._stands_back = True
        # Asked again: who submits looks at whether this thread stands back, in this order.
        if not self._is_needed(is_busy) and not self._called.wait(NAP) and self._is_left_alone():
            self._trusts_at = clock() + DISTRUST
        self._stands_back = False
        self._called.clear()
        return inf if self._is_needed(is_busy) else 0.0

    def _is_needed(self, is_busy: Callable[[], bool]) -> bool:
        lately = self._trusts_at <= clock() <= self._attended_at + STAYS_AWAKE
        return self._is_over or not lately or len(self._tasks) > 0 or is_busy()

    def _is_left_alone(self) -> bool:
        """Whether a task is out and nobody attends to it."""
        return len(self._tasks) > 0 and not self._is_attended and clock() - self.lone_at > 1

    # ------------------------------------------------------------ for any thread

    def call(self) -> None:
        """Have the SDK's own thread look at once, where it stands back."""
        if self._stands_back:
            self._called.set()

    def over(self) -> None:
        """There are no more turns."""
        self._is_over = True
        self.call()

    def attend(self, task: str, timeout: float | None) -> float | None:
        """Take the turns until a task is settled, if it is the only one that is out. Returns what is left of
        ``timeout``, in seconds: it may be needed yet, since others may submit, too."""
        tasks = self._tasks
        if len(tasks) != 1 or task not in tasks or self._is_over or self.mine:
            return timeout
        self._attended_at = self.lone_at
        until = None if timeout is None else time.monotonic() + timeout
        try:
            if not self._lock.acquire(blocking=False):
                return timeout  # the next time: this told the SDK's own thread to stand back
            self._reader, self._is_attended = threading.get_ident(), True
            while len(tasks) == 1 and task in tasks and not self._is_over:
                left = inf if until is None else until - time.monotonic()
                if left <= 0:
                    break
                self._turn(left)
        except BaseException:  # KeyboardInterrupt comes wherever it likes
            if not self.is_between:
                self._interrupted()
            raise
        finally:
            self._hand_back()
        return None if until is None else max(0.0, until - time.monotonic())

    def _hand_back(self) -> None:
        if self.mine:
            self._reader, self._is_attended = self._own, False
        try:
            self._lock.release()
        except RuntimeError:
            return  # it was not this thread's turn
        if len(self._tasks):
            self.call()
