"""Sessions: numbered steps from one state to the next. A step takes effect once, or not at all.

The state, and with it the result of the last step, is kept on two nodes before that result goes out. Whoever takes the
next step names the state that it knows by a tag, which follows from all states before it: so nobody goes on from a
state that another step has replaced, on whatever node it may still be found.

After a partition there may be two states of the same step, both of which somebody was told of. Both are kept, and the
next step goes on from the one that its caller knows.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from hashlib import blake2b
from typing import Any

from fogsdk.core.calls import Call
from fogsdk.core.events import Asked
from fogsdk.core.held import Held
from fogsdk.core.keeper import Effects, Keeper
from fogsdk.core.outcomes import Answer
from fogsdk.core.records import Record, Sought, Stored, Unwritten, Yielded
from fogsdk.core.routing import SESSION
from fogsdk.errors import TaskRefused, WireError
from fogsdk.wire import limits, values
from fogsdk.wire.messages import Expired, Failed, Refused, Result, Task

SESSION_KEEP = 7 * 86_400_000
"""Milliseconds for which a session is kept after its last step, if that does not say otherwise."""
MOST_HEADS = 4
MOST_PAST, MOST_PAST_RESULT = 16, 4096
"""Earlier steps whose results are kept, for callers who were away, and how many bytes such a result may have."""
_OVERHEAD = 4096
_NO_STATE = values.encode(None)


@dataclass(frozen=True, slots=True)
class Head:
    """What a step came to: the state after it, its result, and who took it (``sender/id``)."""

    step: int
    tag: str
    state: bytes
    result: bytes
    by: str


@dataclass(slots=True, eq=False)
class _Running:
    call: Call
    held: Held
    base: str


class Sessions:
    """The sessions that one node is home of."""

    def __init__(self, keeper: Keeper) -> None:
        self._keeper = keeper
        self._running: dict[str, _Running] = {}
        self._before: dict[str, tuple[int, bytes] | None] = {}

    def idle(self) -> list[str]:
        """The sessions that this node is home of, and that no step is at work in."""
        me, records = self._keeper.node, self._keeper.replicas.store.records.values()
        mine = [record.key for record in records if record.home == me and record.told and not record.erased]
        return [key for key in mine if key.startswith(SESSION) and key not in self._running]

    # ------------------------------------------------------------ calls

    def look(self, event: Asked, task: Task, now: int, name: object) -> Call:
        """The builtin ``fog.session``: where a session is."""
        if not isinstance(name, str) or not 0 < len(name) <= limits.NAME_LENGTH:
            raise TaskRefused("bad-arguments", f"a session's name is text of 1 to {limits.NAME_LENGTH} characters")
        return self._keeper.calls.open(event, task, SESSION + name, self._look, now)

    def _look(self, call: Call, now: int) -> Effects:
        found = self._find(call, now)
        if isinstance(found, list):
            return found
        head = _heads(found)[0] if found is not None else Head(0, "", b"", b"", "")
        said = {"step": head.step, "tag": head.tag, "by": head.by}
        return self._keeper.answer(call, Result(call.task.id, values.encode(said)), now)

    def step(self, event: Asked, task: Task, now: int) -> Call:
        """Take a step of a session."""
        keeper = self._keeper
        if task.session is None or task.step is None:
            raise TaskRefused("malformed", "step: is missing; the first step of a session has number 1")
        if keeper.replicas.draining:
            raise TaskRefused("leaving", f"{keeper.node} is shutting down")
        if len(task.body) > limits.RECORD_SIZE - limits.STATE_SIZE - _OVERHEAD:
            raise TaskRefused("too-large", f"{len(task.body)} bytes of arguments are too many beside a session's state")
        keeper.info(task.name)
        return keeper.calls.open(event, task, SESSION + task.session, self._step, now)

    def _step(self, call: Call, now: int) -> Effects:
        found = self._find(call, now)
        if isinstance(found, list):
            return found
        heads = [] if found is None else _heads(found)
        taken = next((head for head in heads if head.by == _by(call)), None)
        if taken is not None:
            return self._keeper.answer(call, self._result(call, taken), now)
        base = _base(heads, call.task)
        if base is None or call.about in self._running:
            return self._keeper.answer(call, self._refusal(call, heads, base), now)
        return self._start(call, base, now)

    def _find(self, call: Call, now: int) -> Record | Effects | None:
        """The session's record. None only where it is sure that there is none: else it would begin a second time."""
        found = self._keeper.locate(call, now)
        if found is not None:
            return found
        unheard = self._keeper.in_doubt(call, now)
        if not unheard:
            return None
        message = f"the session may be on {', '.join(unheard[:8])}, which cannot be asked now"
        return self._keeper.answer(call, Refused(call.task.id, self._keeper.node, "behind", message), now)

    def _result(self, call: Call, head: Head) -> Result:
        if call.result is not None:
            return call.result
        return Result(call.task.id, head.result, tag=head.tag)

    def _refusal(self, call: Call, heads: list[Head], base: Head | None) -> Refused:
        """Why a step cannot be taken: another has come before it, or this node lacks those that have."""
        task, node = call.task, self._keeper.node
        last = heads[0].step if heads else 0
        at = f"session {task.session} is at step {last} on {node}"
        if base is not None:
            reason, message = "conflict", f"{at}, and another caller's step is being taken"
        elif task.step is not None and last < task.step - 1:
            reason, message = "behind", f"{at}, and has not the state after which step {task.step} comes"
        else:
            reason, message = "conflict", f"{at}, which another caller took: step {task.step} does not come after it"
        return Refused(task.id, node, reason, message)

    # ------------------------------------------------------------ running

    def _start(self, call: Call, base: Head, now: int) -> Effects:
        keeper, task = self._keeper, call.task
        run = replace(
            task, deadline=call.left(now), session=None, step=None, after="", keep=None, state=base.state or _NO_STATE
        )
        if run.deadline == 0:
            return keeper.answer(call, Expired(task.id, f"the deadline passed on {keeper.node}"), now)
        refused = keeper.welcome(call.key[0], run, now)
        if refused is not None:
            return keeper.answer(call, refused, now)
        held = keeper.work.hold(call.key, run, keeper.info(task.name), now)
        held.link, held.as_json = call.asked.link, call.asked.as_json
        running = self._running[call.about] = _Running(call, held, base.tag)
        held.report = partial(self._ran, running)
        keeper.calls.close(call)
        return keeper.answers.take(held, now)

    def _ran(self, running: _Running, answer: Answer, now: int) -> list[Any]:
        call, keeper = running.call, self._keeper
        del self._running[call.about]
        call.asked = replace(call.asked, link=running.held.link, as_json=running.held.as_json)
        if not isinstance(answer, Result):
            return keeper.answers.answer(call.asked, answer, now)
        head = self._head(call, running.base, answer)
        if isinstance(head, Failed):
            return keeper.answers.answer(call.asked, head, now)
        call.result = replace(answer, body=head.result, tag=head.tag)
        keeper.calls.wait(call)
        return keeper.effects(self._commit(call, head, now), now)

    def _head(self, call: Call, after: str, answer: Result) -> Head | Failed:
        if len(answer.body) > limits.RECORD_SIZE:
            message = f"state and result have {len(answer.body)} bytes, too many to be kept with the session"
            return Failed(call.task.id, "WireError", message, "", answer.hops)
        match _opened(bytes(answer.body)):
            case [bytes(state), bytes(result)]:
                pass
            case _:
                return Failed(call.task.id, "WireError", "the step returned no state and result", "", answer.hops)
        if len(state) > limits.STATE_SIZE:
            message = f"the state has {len(state)} bytes; that of a session may have {limits.STATE_SIZE}"
            return Failed(call.task.id, "StateTooLarge", message, "", answer.hops)
        if len(state) + len(result) > limits.RECORD_SIZE - _OVERHEAD:
            message = f"the result has {len(result)} bytes, too many to be kept with the session"
            return Failed(call.task.id, "WireError", message, "", answer.hops)
        step = call.task.step or 0
        return Head(step, tag_of(after, step, state, _by(call)), state, result, _by(call))

    def _commit(self, call: Call, head: Head, now: int) -> Effects:
        """Have the new state kept; when it is, the call goes on, and finds its step taken."""
        replicas, key = self._keeper.replicas, call.about
        record = replicas.get(key)
        data, left = _data([head, *_past(record)]), call.task.keep or SESSION_KEEP
        if record is not None:
            self._before[key] = (record.progress, record.data)
            return replicas.update(key, head.step, data, now, left)
        if full := replicas.store.full(len(data)):
            call.result = None
            return self._keeper.answer(call, Refused(call.task.id, self._keeper.node, "overloaded", full), now)
        self._before[key] = None
        return replicas.create(key, data, left, now, head.step)

    # ------------------------------------------------------------ what becomes of records

    def changed(self, effect: Stored | Yielded | Sought | Unwritten, now: int) -> Effects:
        """Something became of a record."""
        match effect:
            case Stored(key):
                self._before.pop(key, None)
            case Yielded(key):
                return self._yielded(key, now)
            case Unwritten(key, why):
                return self._unwritten(key, why, now)
        return []

    def _yielded(self, key: str, now: int) -> Effects:
        """Whatever was made of the session here does not count: those who wait for it look where it is now."""
        self._before.pop(key, None)
        for call in self._keeper.calls.about(key):
            call.result = None
        running = self._running.pop(key, None)
        if running is None:
            return []
        call = running.call
        call.asked = replace(call.asked, link=running.held.link, as_json=running.held.as_json)
        out = self._keeper.stop(running.held, now)
        self._keeper.calls.wait(call)
        return out

    def _unwritten(self, key: str, why: str, now: int) -> Effects:
        replicas = self._keeper.replicas
        record = replicas.get(key)
        if record is None:
            return []
        if record.told or key not in self._before:
            return replicas.accept(key)
        if record.guardian:
            return replicas.hand_over(key, now)
        out = replicas.revert(key, self._before.pop(key))
        for call in [call for call in self._keeper.calls.about(key) if call.result is not None]:
            refused = Refused(call.task.id, self._keeper.node, "no-journal", f"the journal cannot be written: {why}")
            out += self._keeper.answer(call, refused, now)
        return out


def tag_of(before: str, step: int, state: bytes, by: str) -> str:
    """The tag of a state: a digest (BLAKE2b, RFC 7693) over all that it came from, and who took the step."""
    return blake2b(values.encode([before, step, state, by]), digest_size=16).hexdigest()


def merge(key: str, first: bytes, second: bytes) -> bytes:
    """Of two versions of a record the one that counts, with what both are to keep: the states of a session that came
    from the same step number on two sides of a partition."""
    if not key.startswith(SESSION):
        return first
    heads, more = _read(first), _read(second)
    known = {head.tag for head in heads}
    new = [head for head in more if head.tag not in known and heads and head.step == heads[0].step]
    if not new:
        return first
    latest = [head for head in heads if head.step == heads[0].step]
    merged = _data([*[*latest, *new][:MOST_HEADS], *heads[len(latest) :]])
    return merged if len(merged) <= limits.RECORD_SIZE else first


def _data(heads: list[Head]) -> bytes:
    return values.encode([[head.step, head.tag, head.state, head.result, head.by] for head in heads])


def _past(record: Record | None) -> list[Head]:
    """The steps before, without their states: for callers who were away when they were taken, while others went on."""
    heads = [] if record is None else _heads(record)
    small = [replace(head, state=b"") for head in heads if head.by and len(head.result) <= MOST_PAST_RESULT]
    return small[:MOST_PAST]


def _read(data: bytes) -> list[Head]:
    heads = []
    for item in _opened(data) or []:
        match item:
            case [int(step), str(tag), bytes(state), bytes(result), str(by)]:
                heads.append(Head(step, tag, state, result, by))
    return heads


def _heads(record: Record) -> list[Head]:
    """The states that a record holds; it is never without one, whatever another node may have sent."""
    return _read(record.data) or [Head(record.progress, "", _NO_STATE, _NO_STATE, "")]


def _opened(body: bytes) -> list[Any] | None:
    try:
        match values.decode(body):
            case list(items):
                return items
    except WireError:
        pass
    return None


def _base(heads: list[Head], task: Task) -> Head | None:
    """The state that a step goes on from."""
    if not heads:
        return Head(0, "", b"", b"", "") if task.step == 1 and not task.after else None
    latest = [head for head in heads if head.step == heads[0].step]
    return next((head for head in latest if head.step + 1 == task.step and head.tag == task.after), None)


def _by(call: Call) -> str:
    return f"{call.key[0]}/{call.key[1]}"
