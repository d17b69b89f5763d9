"""The SDK, over whichever link its URL names."""

from __future__ import annotations

from concurrent.futures import Future
from dataclasses import replace
from typing import Any

from fogsdk import DeadlineExceeded, Fog, FogFuture, TaskFailed, TaskRefused
from fogsdk.core.events import Submit
from fogsdk.device.calls import build_task
from fogsdk.wire import limits
from fogsdk.wire.messages import Task
from tests.conformance.link import PATIENCE, Order, Outcome


class SdkCall:
    """A future of the SDK."""

    def __init__(self, future: FogFuture) -> None:
        self._future: Future[Any] = future
        self._progress: list[float] = []
        future.on_progress(self._progress.append)

    def outcome(self, timeout: float = PATIENCE) -> Outcome:
        if self._future.cancelled():
            return Outcome("cancelled")
        try:
            value: Any = self._future.result(timeout)
        except TaskFailed as error:
            return Outcome("failed", None, error.type, error.message, error.traceback)
        except TaskRefused as error:
            return Outcome("refused", None, message=error.message, reason=error.reason, retry_after=error.retry_after)
        except DeadlineExceeded as error:
            return Outcome("deadline-exceeded", message=str(error))
        assert isinstance(self._future, FogFuture)
        assert self._future.trace is not None
        return Outcome("result", value, ran=tuple(self._future.trace.nodes))

    def progress(self) -> list[float]:
        return list(self._progress)

    def cancel(self) -> None:
        self._future.cancel()


class _Refused(SdkCall):
    """What the SDK would not even send."""

    def __init__(self, error: TaskRefused) -> None:
        future: Future[Any] = Future()
        future.set_exception(error)
        self._future, self._progress = future, []


class SdkLink:
    """A connected Fog."""

    json = False
    arrays = True
    persists = True
    most_body = limits.BODY_SIZE

    def __init__(self, fog: Fog) -> None:
        self._fog = fog
        self._calls: dict[str, SdkCall] = {}

    def hand_in(self, order: Order) -> SdkCall:
        try:
            task = _task(order)
        except TaskRefused as error:
            return _Refused(error)
        self._calls[order.id] = SdkCall(self._fog.hand_in(task))
        return self._calls[order.id]

    def repeat(self, order: Order) -> SdkCall:
        """The SDK sends again by itself where it is in doubt; here it is made to."""
        self._fog._driver.tell(Submit(_task(order)))
        return self._calls[order.id]

    def close(self) -> None:
        self._fog.close()


def _task(order: Order) -> Task:
    task = build_task(order.id, order.name, order.args, order.kwargs, order.deadline, order.priority)
    return task if order.keep is None else replace(task, keep=int(order.keep * 1000), copies=order.copies)
