"""Posted tasks: kept on two nodes before their sender gets a receipt, run by whichever is home, and their outcomes kept
until they are fetched or their time is over.

Progress 0 of a record is the task, progress 1 its outcome.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Any

from fogsdk.core.calls import Call
from fogsdk.core.events import Asked
from fogsdk.core.held import Held, State
from fogsdk.core.keeper import Effects, Keeper
from fogsdk.core.outcomes import Answer
from fogsdk.core.records import Record, Sought, Stored, Unwritten, Yielded
from fogsdk.core.routing import receipt
from fogsdk.core.timers import Timers
from fogsdk.errors import TaskRefused, WireError
from fogsdk.wire import codec, limits, topics, values
from fogsdk.wire.messages import Cancelled, Expired, Failed, Hop, Refused, Result, Task

LEAST_KEEP = 1000
"""Milliseconds for which a posted task is kept at least: its receipt has to get back."""
MOST_RUNNING = 32
"""Posted tasks that one node has at work at once: the others do not take room from tasks that somebody waits for."""
FIRST_RETRY, LAST_RETRY = 500, 30_000
"""Milliseconds until a posted task that nobody would run is tried again; doubled each time."""
LATER = ("overloaded", "leaving", "no-cloud", "unknown-task", "no-journal")
"""Refusals that may pass while a posted task waits."""


class Posts:
    """The posted tasks that one node is home of."""

    def __init__(self, keeper: Keeper) -> None:
        self._keeper = keeper
        self._waiting: dict[str, None] = {}
        self._running: dict[str, Held] = {}
        self._tries: dict[str, int] = {}
        self._retries: Timers[str] = Timers()

    def deadline(self) -> int | None:
        """When a posted task is to be tried again."""
        return self._retries.next()

    def tick(self, now: int) -> Effects:
        """Try again what is due."""
        for key in self._retries.pop_due(now):
            self._waiting[key] = None
        return self._fill(now)

    def idle(self) -> list[str]:
        """The posted tasks that this node is home of, and that are not at work."""
        return [key for key in self._waiting if self._mine(key) is not None]

    # ------------------------------------------------------------ calls

    def post(self, event: Asked, task: Task, now: int) -> Call:
        """Keep a task, and answer with its receipt once it is safe."""
        keeper = self._keeper
        if keeper.replicas.draining:
            raise TaskRefused("leaving", f"{keeper.node} is shutting down")
        keeper.info(task.name)
        return keeper.calls.open(event, task, receipt(event.sender, task), self._post, now)

    def _post(self, call: Call, now: int) -> Effects:
        keeper, task = self._keeper, call.task
        record = keeper.replicas.get(call.about)
        if task.deadline == 0:
            return keeper.answer(call, Expired(task.id, f"the deadline had passed when it came to {keeper.node}"), now)
        if record is None and not call.created:
            return self._create(call, now)
        if record is None or record.home != keeper.node:
            found = keeper.locate(call, now)
            if record is None and found is None:
                return self._create(call, now)
            return found if isinstance(found, list) else []
        if not record.told:
            return []
        nodes = [node for node in (record.home, record.guardian) if node]
        if len(nodes) < (task.copies or 1):
            return [*keeper.replicas.take_back(call.about, now), Yielded(call.about), *self._too_few(call, now)]
        said = {"receipt": call.about, "copies": len(nodes), "nodes": nodes}
        return keeper.answer(call, Result(task.id, values.encode(said)), now)

    def _create(self, call: Call, now: int) -> Effects:
        keeper, task = self._keeper, call.task
        if task.copies == 2 and not keeper.replicas.others(call.about, now):
            return self._too_few(call, now)
        data = codec.encode([replace(task, copies=None)], most=2 * limits.RECORD_SIZE)
        if len(data) > limits.RECORD_SIZE:
            raise TaskRefused("too-large", f"with its arguments the task has {len(data)} bytes, too many to be kept")
        if full := keeper.replicas.store.full(len(data)):
            raise TaskRefused("overloaded", full)
        call.created = True
        return keeper.replicas.create(call.about, data, max(LEAST_KEEP, task.keep or 0), now)

    def _too_few(self, call: Call, now: int) -> Effects:
        message = f"no other node than {self._keeper.node} is there to keep a copy, and two copies were asked for"
        return self._keeper.answer(call, Refused(call.task.id, self._keeper.node, "too-few-nodes", message), now)

    def fetch(self, event: Asked, task: Task, now: int, receipt: str) -> Call:
        """The builtin ``fog.fetch``: answer with the outcome of a posted task, as soon as there is one."""
        return self._keeper.calls.open(event, task, _checked(receipt), self._fetch, now)

    def _fetch(self, call: Call, now: int) -> Effects:
        found = self._keeper.locate(call, now)
        if isinstance(found, list):
            return found
        if found is None:
            return self._unknown(call, now)
        outcome = _outcome(found) if found.progress else None
        if outcome is None:
            return []
        if isinstance(outcome, (Result, Failed, Expired)):
            took = float(now - call.arrived)
            own = Hop(self._keeper.node, "sent", "it was kept here", took=took)
            outcome = replace(outcome, hops=(own, *outcome.hops)[: limits.HOPS])
        return self._keeper.answer(call, replace(outcome, id=call.task.id), now)

    def _unknown(self, call: Call, now: int) -> Effects:
        away = self._keeper.away()
        reason = "behind" if away else "unknown-receipt"
        message = "no node has this task: it was fetched, or its time is over"
        if away:
            message = f"no node that is there has this task; {away} is not there"
        return self._keeper.answer(call, Refused(call.task.id, self._keeper.node, reason, message), now)

    def forget(self, event: Asked, task: Task, now: int, receipt: str) -> Call:
        """The builtin ``fog.forget``: drop a posted task and its outcome. Answers whether it was there."""
        return self._keeper.calls.open(event, task, _checked(receipt), self._forget, now)

    def _forget(self, call: Call, now: int) -> Effects:
        found = self._keeper.locate(call, now)
        if isinstance(found, list):
            return found
        out = self._keeper.answer(call, Result(call.task.id, values.encode(found is not None)), now)
        if found is None:
            return out
        return [*out, *self._keeper.replicas.erase(call.about, now), Yielded(call.about)]

    # ------------------------------------------------------------ running

    def changed(self, effect: Stored | Yielded | Sought | Unwritten, now: int) -> Effects:
        """Something became of a record."""
        match effect:
            case Stored(key):
                if self._mine(key) is not None and key not in self._running:
                    self._waiting[key] = None
                return self._fill(now)
            case Yielded(key):
                return self._stop(key, now)
            case Unwritten(key, why):
                return self._unwritten(key, why, now)
        return []

    def _unwritten(self, key: str, why: str, now: int) -> Effects:
        replicas = self._keeper.replicas
        record = replicas.get(key)
        posting = [call for call in self._keeper.calls.about(key) if call.task.keep is not None]
        if record is None or record.told or record.progress or not posting:
            return replicas.accept(key)
        out = replicas.take_back(key, now)
        for call in posting:
            refused = Refused(call.task.id, self._keeper.node, "no-journal", f"the journal cannot be written: {why}")
            out += self._keeper.answer(call, refused, now)
        return out

    def _mine(self, key: str) -> Record | None:
        """The record of a task that is to be run here."""
        record = self._keeper.replicas.get(key)
        mine = record is not None and record.home == self._keeper.node and record.told and record.progress == 0
        return record if mine else None

    def _fill(self, now: int) -> Effects:
        out: Effects = []
        while self._waiting and self._at_work() < MOST_RUNNING and not self._keeper.replicas.draining:
            key = next(iter(self._waiting))
            del self._waiting[key]
            record = self._mine(key)
            if record is not None and key not in self._running:
                out += self._start(key, record, now)
        return out

    def _at_work(self) -> int:
        """How many take room here: those that wait for a cloud do not."""
        return sum(held.weight != "heavy" or held.state is not State.AWAY for held in self._running.values())

    def _start(self, key: str, record: Record, now: int) -> Effects:
        keeper = self._keeper
        task = _opened(record)
        if not isinstance(task, Task):
            return self._ended(key, Failed("x", "WireError", "what was kept of the task cannot be read"), now)
        info = keeper.work.info(task.name)
        refused = keeper.welcome("", task, now)
        if info is None or refused is not None:
            return self._ended(key, refused or Refused(task.id, keeper.node, "unknown-task"), now)
        left = None
        if task.deadline is not None:
            left = max(0, task.deadline - max(0, (task.keep or 0) - (record.expires - now)))
        run = replace(task, deadline=left, keep=None)
        held = keeper.work.hold(("", key), run, info, now)
        held.report = partial(self._ran, key)
        self._running[key] = held
        return keeper.answers.take(held, now)

    def _ran(self, key: str, answer: Answer, now: int) -> list[Any]:
        del self._running[key]
        return self._keeper.effects([*self._ended(key, answer, now), *self._fill(now)], now)

    def _ended(self, key: str, answer: Answer, now: int) -> Effects:
        if self._mine(key) is None:
            return []
        if isinstance(answer, Cancelled) or (isinstance(answer, Refused) and answer.reason in LATER):
            return self._later(key, answer, now)
        self._tries.pop(key, None)
        return self._keeper.replicas.update(key, 1, _kept(answer), now)

    def _later(self, key: str, answer: Answer, now: int) -> Effects:
        if self._keeper.replicas.draining:
            return self._keeper.replicas.hand_over(key, now)
        tries = self._tries[key] = self._tries.get(key, 0) + 1
        wait = min(LAST_RETRY, FIRST_RETRY * 2 ** min(tries - 1, 8))
        if isinstance(answer, Refused) and answer.retry_after:
            wait = min(wait, max(50, answer.retry_after))
        self._retries.set(key, now + wait)
        return []

    def _stop(self, key: str, now: int) -> Effects:
        self._waiting.pop(key, None)
        self._tries.pop(key, None)
        self._retries.drop(key)
        held = self._running.pop(key, None)
        return [*self._keeper.stop(held, now), *self._fill(now)] if held is not None else []


def _checked(text: object) -> str:
    sender, _, id = text.partition("/") if isinstance(text, str) else ("", "", "")
    try:
        return f"{topics.check_id(sender, 'sender')}/{topics.check_id(id, 'id')}"
    except WireError as error:
        raise TaskRefused("bad-arguments", f"a receipt is text like phone/0f3a: {error}") from error


def _kept(answer: Answer) -> bytes:
    """An outcome as it is kept: without its trace, where that would be too much."""
    if isinstance(answer, Result) and len(answer.body) > limits.RECORD_SIZE:
        answer = _unkeepable(answer, len(answer.body))
    data = codec.encode([answer])
    if len(data) > limits.RECORD_SIZE and isinstance(answer, Result):
        data = codec.encode([replace(answer, hops=())])
    return data if len(data) <= limits.RECORD_SIZE else codec.encode([_unkeepable(answer, len(data))])


def _unkeepable(answer: Answer, size: int) -> Failed:
    return Failed(answer.id, "WireError", f"the result cannot be kept: it has {size} bytes")


def _opened(record: Record) -> object:
    """The message that a record holds, None where it cannot be read."""
    try:
        [message] = codec.decode(record.data)
    except (WireError, ValueError):
        return None
    return message


def _outcome(record: Record) -> Result | Failed | Refused | Expired | None:
    outcome = _opened(record)
    if outcome is None:
        return Failed("x", "WireError", "what was kept of its outcome cannot be read")
    return outcome if isinstance(outcome, (Result, Failed, Refused, Expired)) else None
