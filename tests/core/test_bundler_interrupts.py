"""Whoever sends bundles, or hears what became of them, may be interrupted (Ctrl-C) anywhere: every call has its outcome
all the same, as soon as there is a connection again, and what was sent was sent once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from fogsdk.core.commands import Command, Send, Settled
from fogsdk.core.events import Event, LinkDown, LinkUp, NodeHeard, Replied, Submit, Tick
from fogsdk.wire import bundles
from fogsdk.wire.messages import Ask, Birth, Hop, Refused, Result, Task
from tests.core.test_bundler import NAMES, Device
from tests.core.test_ledger_interrupts import interrupted

CALLS = [f"{number}" for number in range(5)]
HOPS = (Hop("n1", "ran", ran=0.01),)


class Pair:
    """A device whose calls are open, and the node that answers it."""

    def __init__(self, calls: Sequence[str] = CALLS, takes_apart: bool = False) -> None:
        self.calls = calls
        self.device = Device()
        self.device.submit("lone", "slow")
        self.outcomes: dict[str, Result] = {}
        self.runs: Counter[bytes] = Counter()
        self.settled: dict[str, Any] = {}
        self._takes_apart = takes_apart
        for id in calls:
            self.device.submit(id)

    def do(self, commands: list[Command]) -> list[Any]:
        """Carry out what the device wants; returns the node's answers."""
        self.settled |= {each.id: each.outcome for each in commands if isinstance(each, Settled)}
        self.device.core.catch_up()
        return [self.answer(each.message) for each in commands if isinstance(each, Send)]

    def answer(self, message: Any) -> Any:
        if isinstance(message, Task) and message.id not in self.outcomes:
            self._run(message)
        unknown = Refused(message.id, "n1", "unknown-id")
        return self.outcomes.get(message.id, unknown) if isinstance(message, (Task, Ask)) else None

    def _run(self, task: Task) -> None:
        if task.count == 1:
            self.runs[bytes(task.body)] += 1
            self.outcomes[task.id] = Result(task.id, task.body, HOPS)
            return
        calls = bundles.read_calls(task.body, task.count)
        items: list[bundles.Item] = list(calls)
        self.runs.update(calls)
        if self._takes_apart:
            for index in range(2, task.count):
                id = bundles.id_of(task.id, index)
                items[index], self.outcomes[id] = None, Result(id, calls[index], HOPS)
        self.outcomes[task.id] = Result(task.id, bundles.write(items), HOPS)

    def tell(self, event: Event) -> None:
        """Let something happen, and all that follows from it."""
        answers = self.do(self.device.core.handle(event, self.device.now))
        for answer in filter(None, [*answers, *self.do(self.device.core.send_open(self.device.now))]):
            self.tell(Replied("a", answer))

    def recover(self) -> None:
        """The driver was interrupted: it takes another connection, and time goes on."""
        self.device.core.interrupted = True
        self.tell(LinkDown("a"))
        self.tell(LinkUp("a"))
        self.tell(NodeHeard("a", "n1", Birth(1, "fog", 2, NAMES)))
        for _ in range(20):
            self.device.now += 500
            self.tell(Tick())


def send(pair: Pair) -> None:
    pair.do(pair.device.core.send_open(pair.device.now))


def hear(pair: Pair) -> None:
    [answer] = pair.do(pair.device.core.send_open(pair.device.now))
    pair.do(pair.device.core.handle(Replied("a", answer), pair.device.now))


def send_one(pair: Pair) -> None:
    """Right behind the result of the lone one, of which the ledger need not know yet."""
    pair.do(pair.device.core.handle(Replied("a", Result("lone", b"", HOPS)), pair.device.now))
    send(pair)


STEPS: dict[str, tuple[Callable[[Pair], None], Sequence[str], bool]] = {
    "send": (send, CALLS, False),
    "send one": (send_one, CALLS[:1], False),
    "hear": (hear, CALLS, False),
    "hear of what goes on alone": (hear, CALLS, True),
}


@pytest.mark.parametrize("step", STEPS)
def test_every_call_has_its_outcome_and_runs_once_wherever_somebody_was_interrupted(step: str) -> None:
    act, calls, takes_apart = STEPS[step]
    for at in range(1, 2000):
        pair = Pair(calls, takes_apart)
        if not interrupted(pair.device, lambda _, pair=pair: act(pair), at):  # type: ignore[arg-type, misc]
            break
        pair.recover()
        assert {id: pair.settled[id].body for id in calls} == {id: id.encode() for id in calls}, at
        assert {id: pair.runs[id.encode()] for id in calls} == dict.fromkeys(calls, 1), at
        core = pair.device.core
        pair.tell(Submit(Task("last", "tiny", b"last")))
        assert pair.settled["last"].body == b"last"
        assert not core.open
        assert not core._bundles or list(core._bundles) == [core._over]
        assert not core._alone
        assert core.ledger.entries.keys() <= {"lone", "last"}
    else:
        pytest.fail("it never came to its end")
    assert at > 30, "lines were counted"
