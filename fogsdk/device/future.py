"""What ``Fog.submit`` returns: a ``concurrent.futures.Future`` that also knows its progress and its trace."""

from __future__ import annotations

import contextlib
import logging
import threading
from collections.abc import Callable
from concurrent.futures import Future, InvalidStateError
from typing import TYPE_CHECKING, Any

from fogsdk.device.calls import value_of
from fogsdk.errors import FogError
from fogsdk.wire.frozen import dataclass
from fogsdk.wire.messages import Expired, Failed, Hop, Refused, Result

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Trace:
    """Where a task ran and why. All times are in milliseconds.

    ``hops`` are in order; ``total`` is from submitting to the result here; ``queued`` and ``ran`` are sums over the
    nodes (the parts of a split task run side by side, so their sum can exceed ``total``); ``travelled`` is what the
    first node did not account for: the way there and back, and the waiting for a node.
    """

    hops: tuple[Hop, ...]
    total: float

    @property
    def queued(self) -> float:
        return sum(hop.queued for hop in self.hops)

    @property
    def ran(self) -> float:
        return sum(hop.ran for hop in self.hops)

    @property
    def travelled(self) -> float:
        return max(0.0, self.total - self.hops[0].took) if self.hops else self.total

    @property
    def nodes(self) -> list[str]:
        """The nodes that ran it or a part of it, each once."""
        return list(dict.fromkeys(hop.node for hop in self.hops if hop.action == "ran"))

    def __str__(self) -> str:
        lines = [_line(hop) for hop in self.hops]
        return "\n".join([*lines, f"{self.total:.1f} ms in all, {self.travelled:.1f} ms of it on the way"])


def _line(hop: Hop) -> str:
    part = "" if hop.part is None else f" part {hop.part}"
    times = f" (queued {hop.queued:.1f} ms, ran {hop.ran:.1f} ms)" if hop.queued or hop.ran else ""
    return f"{hop.node} {hop.action}{part}{times}{': ' + hop.why if hop.why else ''}"


IN_A_CALLBACK = "this would wait for itself in a callback of the SDK: use submit() there, and a callback of its own"
Attend = Callable[[str, "float | None"], "float | None"]
"""May wait for the task of this id, so many seconds at the most, and returns what is left of them."""

if TYPE_CHECKING:
    _Condition = threading.Condition
else:

    class _Condition(type(threading.RLock()), threading.Condition):
        """A condition that is its own lock, and so one object where the library makes ten: a future for each task has
        one, and nearly none of them is ever waited for."""

        def __init__(self) -> None:
            self._waiters = []

        def notify_all(self) -> None:
            if self._waiters:
                super().notify_all()


class FogFuture(Future[Any]):
    """The result to come of one task.

    ``id`` is the task's id, ``progress`` how far it is (0.0 to 1.0), ``trace`` its :class:`Trace` once it is settled;
    ``tag`` is that of the state that a session's step led to.
    """

    def __init__(self, id: str, name: str, withdraw: Callable[[str], None], attend: Attend) -> None:
        # What super().__init__() does, with a condition that costs less.
        self._condition = _Condition()
        self._state = "PENDING"
        self._result = self._exception = None
        self._waiters: list[Any] = []
        self._done_callbacks: list[Any] = []
        self.id = id
        self.name = name
        self.progress = 0.0
        self.tag = ""
        self._total = 0.0
        self._hops: tuple[Hop, ...] | None = None
        self._withdraw = withdraw
        self._attend = attend
        self._watchers: tuple[Callable[[float], None], ...] = ()

    @property
    def trace(self) -> Trace | None:
        """Where the task ran and why; None until it is settled."""
        return None if self._hops is None else Trace(self._hops, self._total)

    def result(self, timeout: float | None = None) -> Any:
        """Wait for the result, ``timeout`` seconds at the most, and return it, or raise why there is none."""
        if self._state == "PENDING":
            timeout = self._attend(self.id, timeout)
        if self._state == "FINISHED" and self._exception is None:  # it was there before the state said so
            return self._result
        return super().result(timeout)

    def exception(self, timeout: float | None = None) -> BaseException | None:
        """Wait, ``timeout`` seconds at the most, and return why there is no result, None where there is one."""
        if self._state == "PENDING":
            timeout = self._attend(self.id, timeout)
        return super().exception(timeout)

    def cancel(self) -> bool:
        """Cancel the task, running or not. False when it is settled already."""
        if not super().cancel():
            return False
        self._withdraw(self.id)
        return True

    def on_progress(self, watcher: Callable[[float], None]) -> None:
        """Call ``watcher(fraction)``, from the thread that hears of it, whenever the task reports progress."""
        with self._condition:  # another thread may add one, too
            self._watchers += (watcher,)

    def advance(self, fraction: float) -> None:
        """Take in progress; called by the SDK."""
        self.progress = fraction
        for watcher in self._watchers:
            try:
                watcher(fraction)
            except Exception:
                log.exception("what watches the progress of %s raised", self.name)

    def settle(self, outcome: Result | Failed | Refused | Expired, total: float) -> None:
        """Take in what became of the task, ``total`` milliseconds after it was submitted; called by the SDK."""
        self._total = total
        self._hops = () if isinstance(outcome, Refused) else outcome.hops
        if isinstance(outcome, Result):
            self.tag = outcome.tag
        try:
            value = value_of(outcome)
            self.progress = 1.0
            self.set_result(value)
        except FogError as error:
            with contextlib.suppress(InvalidStateError):
                self.set_exception(error)
        except InvalidStateError:  # cancelled in the same moment; or told again, for who was not woken the first time
            with self._condition:
                self._condition.notify_all()
