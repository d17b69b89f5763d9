"""Sessions: numbered steps from one state to the next, each of which takes effect exactly once."""

from __future__ import annotations

import secrets
import threading
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from fogsdk.device.calls import build_task
from fogsdk.errors import SessionConflict, TaskFailed, TaskRefused, WireError
from fogsdk.wire import limits

if TYPE_CHECKING:
    from fogsdk.device.fog import Fog

OWN_STEP_ENDS_WITHIN = 10.0
"""Seconds that a step waits for an earlier one of the same session, which was given up and may still be at work."""
LOOK_AGAIN = 0.1
MOST_UNSURE = 64
"""Steps given up that are remembered: those before them have long ended, one way or the other."""


class Session:
    """A state that the fog keeps under a name, and steps that change it, one after the other; see :meth:`Fog.session`.

    Safe to use from several threads: they take turns.
    """

    def __init__(self, fog: Fog, name: str) -> None:
        if not 0 < len(name) <= limits.NAME_LENGTH:
            raise ValueError(f"a session's name has 1 to {limits.NAME_LENGTH} characters, not {len(name)}")
        self.name = name
        self._fog = fog
        self._lock = threading.Lock()
        self._step: int | None = None
        self._tag = ""
        self._unsure: dict[str, None] = {}  # steps that were given up, and may have been taken all the same

    @property
    def step(self) -> int:
        """How many steps were taken, as far as this object knows: the other callers' count after a :meth:`refresh`."""
        if self._step is None:
            self.refresh()
        return self._step or 0

    def refresh(self, deadline: float | None = None) -> int:
        """Take up the session as it is now, whoever took the last step; returns its number.

        ``deadline`` is in seconds; raises DeadlineExceeded.
        """
        with self._lock:
            self._read(deadline)
            return self._step or 0

    def run(self, task: str, /, *args: Any, deadline: float | None = None, **kwargs: Any) -> Any:
        """Take the next step: run a task on the state, and return its result once the new state is safe on two nodes.

        The task's function gets the state as the keyword ``state`` (None at first) and returns ``(state, result)``.
        ``deadline`` is in seconds from now; all other arguments go to the task.

        Raises SessionConflict when another caller took a step since this object last looked: nothing was done then, and
        :meth:`refresh` takes up what is there. Raises TaskFailed when the task raised, and TaskRefused when no node
        would run it: the step was not taken. After DeadlineExceeded, or an interruption, it may have been taken or not;
        the next ``run`` goes on from whatever it was, and :meth:`refresh` tells.
        """
        if "state" in kwargs:
            raise TaskRefused("bad-arguments", f"{task}: the fog passes the session's state as `state`, not the caller")
        until = None if deadline is None else time.monotonic() + deadline
        give_up = time.monotonic() + OWN_STEP_ENDS_WITHIN
        with self._lock:
            if self._step is None:
                self._read(_left(until))
            elif self._unsure:
                self._adopt_own(_left(until))
            while True:
                try:
                    return self._take(task, args, kwargs, _left(until))
                except SessionConflict:
                    if not self._unsure or not self._own_doing(_left(until)) or time.monotonic() > give_up:
                        raise

    def _take(self, task: str, args: tuple[Any, ...], kwargs: dict[str, Any], deadline: float | None) -> Any:
        assert self._step is not None
        message = build_task(secrets.token_hex(16), task, args, kwargs, deadline, most=limits.RECORD_SIZE)
        message = replace(message, session=self.name, step=self._step + 1, after=self._tag)
        by = f"{self._fog.name}/{message.id}"
        self._unsure[by] = None
        if len(self._unsure) > MOST_UNSURE:
            del self._unsure[next(iter(self._unsure))]
        try:
            future = self._fog.complete(message)
            if future.tag:
                self._step, self._tag = self._step + 1, future.tag
                self._unsure.clear()
            return future.result()
        except (TaskFailed, SessionConflict):  # it was not taken
            self._unsure.pop(by, None)
            raise

    def _head(self, deadline: float | None) -> tuple[int, str, str]:
        """Where the session is: its last step, the tag of its state, and who took it."""
        match self._fog.run("fog.session", self.name, deadline=deadline):
            case {"step": int(step), "tag": str(tag), **more}:
                return step, tag, str(more.get("by", ""))
        raise WireError(f"session {self.name}: not a word of where it is")

    def _read(self, deadline: float | None) -> None:
        self._step, self._tag, _ = self._head(deadline)
        self._unsure.clear()

    def _adopt_own(self, deadline: float | None) -> bool:
        """Take up a step of this object's own that was taken after all. True if nobody else's was."""
        step, tag, by = self._head(deadline)
        if by in self._unsure:
            self._step, self._tag = step, tag
            self._unsure.clear()
            return True
        return tag == self._tag

    def _own_doing(self, deadline: float | None) -> bool:
        """Whether a conflict may be with a step of this object's own, which was given up and is still at work."""
        if not self._adopt_own(deadline):
            return False
        if self._unsure:
            time.sleep(LOOK_AGAIN)
        return True


def _left(until: float | None) -> float | None:
    return None if until is None else max(0.0, until - time.monotonic())
