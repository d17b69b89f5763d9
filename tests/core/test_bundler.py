"""A client that makes bundles: whatever becomes of them, each call is settled once, under its own id."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from fogsdk.core.bundler import PAUSE, Bundler
from fogsdk.core.commands import Advanced, Command, Send, Settled
from fogsdk.core.events import Event, LinkDown, LinkUp, NodeHeard, Replied, Submit, Tick, Withdraw
from fogsdk.wire import bundles
from fogsdk.wire.bundles import LONGEST, SMALL
from fogsdk.wire.limits import BUNDLE, INLINE_SIZE
from fogsdk.wire.messages import (
    Ask,
    Birth,
    Cancel,
    Cancelled,
    Failed,
    Gone,
    Hop,
    Progress,
    Refused,
    Reply,
    Result,
    Task,
    TaskInfo,
)

TINY = 0.01
NAMES = tuple(TaskInfo(name) for name in ("tiny", "other", "slow", "new"))


class Device:
    """A bundler that knows some nodes, and how long some tasks run."""

    def __init__(self, *nodes: str, run: str = "r", inline: int = INLINE_SIZE) -> None:
        self.now = 1000
        self.settled: list[Settled] = []
        self.advanced: list[Advanced] = []
        self.core = Bundler("home", "dev", run, inline)
        self.core.start()
        self.tell(LinkUp("a"))
        for node in nodes or ("n1",):
            self.tell(NodeHeard("a", node, Birth(1, "fog", 2, NAMES)))
        for name, ran in (("tiny", TINY), ("other", TINY), ("slow", 2.0)):
            self.submit(f"first-{name}", name)
            self.hear(Result(f"first-{name}", b"\x00", (Hop("n1", "ran", ran=ran),)))
        self.settled.clear()

    def tell(self, event: Event) -> list[Any]:
        return self._do(self.core.handle(event, self.now))

    def _do(self, commands: Sequence[Command]) -> list[Any]:
        self.settled += [each for each in commands if isinstance(each, Settled)]
        self.advanced += [each for each in commands if isinstance(each, Advanced)]
        self.core.catch_up()
        return [each.message for each in commands if isinstance(each, Send)]

    def submit(self, id: str, name: str = "tiny", body: bytes | None = None, **options: Any) -> list[Any]:
        return self.tell(Submit(Task(id, name, id.encode() if body is None else body, **options)))

    def close(self) -> list[Any]:
        return self._do(self.core.send_open(self.now))

    def hear(self, reply: Reply) -> list[Any]:
        return self.tell(Replied("a", reply))

    def bundle(self, *ids: str) -> Task:
        """Submit calls so that they leave together, behind one that is out."""
        self.submit("lone", "slow")
        for id in ids:
            assert self.submit(id) == []
        [task] = self.close()
        assert isinstance(task, Task)
        return task

    def welcome(self, node: str) -> list[Any]:
        """A node comes, and what waits goes to it."""
        sent = self.tell(NodeHeard("a", node, Birth(1, "fog", 2, NAMES)))
        self.now += 5000
        return [*sent, *self.tell(Tick())]

    def outcomes(self) -> dict[str, Any]:
        ids = [each.id for each in self.settled]
        assert len(ids) == len(set(ids)), "each once"
        return {each.id: each.outcome for each in self.settled}


def answer(task: Task, *items: bundles.Item, node: str = "n1", ran: float = TINY) -> Result:
    return Result(task.id, bundles.write(items), (Hop(node, "ran", ran=ran),))


def test_a_lone_call_leaves_at_once_as_itself() -> None:
    device = Device()
    [task] = device.submit("1")
    assert (task.id, task.count) == ("1", 1)
    assert not device.core.open


def test_what_leaves_together_is_one_message_and_each_call_is_settled_under_its_id() -> None:
    device = Device()
    task = device.bundle("1", "2", "3")
    assert (task.name, task.count) == ("tiny", 3)
    assert bundles.read_calls(task.body, 3) == (b"1", b"2", b"3")
    assert device.core.unsettled == 2
    assert device.hear(answer(task, b"\x01", ["failed", "ValueError", "no", "there"], b"\x03")) == []
    outcomes = device.outcomes()
    assert outcomes["1"].body == b"\x01"
    assert isinstance(outcomes["2"], Failed)
    assert outcomes["3"].body == b"\x03"
    assert device.core.unsettled == 1


def test_a_call_that_is_refused_is_asked_for_alone_so_that_it_may_go_elsewhere_or_later() -> None:
    device = Device()
    task = device.bundle("1", "2")
    [again] = device.hear(answer(task, b"\x01", ["refused", "overloaded", "no", 50]))
    assert (again.id, again.count) == ("2", 1)
    assert device.outcomes().keys() == {"1"}
    assert device.submit("3") == [], "others are bundled all the same"


def test_one_alone_that_was_to_wait_for_others_is_no_bundle() -> None:
    device = Device()
    task = device.bundle("1")
    assert (task.id, task.count) == ("1", 1)


@pytest.mark.parametrize(
    "options",
    [
        {"deadline": 1000},
        {"priority": 1},
        {"weight": "light"},
        {"keep": 1000},
        {"session": "s", "step": 1},
        {"name": "slow"},
        {"name": "new"},
        {"body": bytes(SMALL + 1)},
    ],
)
def test_what_is_not_alike_short_and_small_leaves_alone(options: dict[str, Any]) -> None:
    device = Device()
    device.submit("lone", "slow")
    [task] = device.submit("1", **options)
    assert (task.id, task.count) == ("1", 1)


def test_what_is_for_one_node_leaves_alone() -> None:
    device = Device()
    device.submit("lone", "slow")
    [task] = device.tell(Submit(Task("1", "tiny", b""), "n1"))
    assert task.count == 1


def test_without_a_prefix_for_ids_there_are_no_bundles() -> None:
    device = Device(run="")
    device.submit("lone", "slow")
    assert [task.count for task in device.submit("1")] == [1]


def test_names_are_not_mixed_and_a_bundle_has_an_end() -> None:
    device = Device()
    device.submit("lone", "slow")
    for number in range(BUNDLE + 2):
        device.submit(f"t{number}")
        device.submit(f"o{number}", "other")
    sent = device.close()
    assert sorted((task.name, task.count) for task in sent) == [
        ("other", 2), ("other", BUNDLE), ("tiny", 2), ("tiny", BUNDLE)
    ]  # fmt: skip
    assert len({task.id for task in sent}) == 4


def test_a_bundle_has_no_more_than_travels_in_one_message() -> None:
    device = Device(inline=4 * SMALL)
    device.submit("lone", "slow")
    for number in range(5):
        device.submit(f"{number}", body=bytes(SMALL))
    sent = device.close()
    assert [task.count for task in sent] == [2, 2, 1]
    assert all(len(task.body) <= 4 * SMALL for task in sent)


def test_calls_that_run_longer_come_in_smaller_bundles() -> None:
    device = Device()
    for _ in range(100):
        device.submit("1", "other")
        device.hear(Result("1", b"\x00", (Hop("n1", "ran", ran=LONGEST / 3),)))
    device.submit("lone", "slow")
    for number in range(7):
        device.submit(f"o{number}", "other")
    assert [task.count for task in device.close()] == [3, 3, 1]


def test_the_run_time_of_a_bundle_is_that_of_each_of_its_calls() -> None:
    device = Device()
    for _ in range(50):
        task = device.bundle(*map(str, range(10)))
        device.hear(answer(task, *[b"\x00"] * 10, ran=TINY))
        device.hear(Result("lone", b"\x00", (Hop("n1", "ran", ran=2.0),)))
    [member] = device.core.directory.members.values()
    assert member.learned is not None
    assert member.learned.costs.mean("tiny") == pytest.approx(TINY)
    task = device.bundle("1", "2", "3")
    assert device.core.ledger.entries[task.id].cost == pytest.approx(3 * TINY)
    assert device.core.ledger.lessons.costs.mean("tiny") == pytest.approx(TINY)
    first = device.settled[0].outcome
    assert isinstance(first, Result)
    assert first.hops[0].ran == pytest.approx(TINY)


@pytest.mark.parametrize(
    "reply",
    [
        lambda id: Refused(id, "n1", "apart"),
        lambda id: Refused(id, "n1", "bad-arguments"),
        lambda id: Refused(id, "n1", "quarantined"),
        lambda id: Failed(id, "WireError", "too large"),
        lambda id: Result(id, b"\xf6", (Hop("n1", "ran"),)),
        lambda id: Result(id, bundles.write([b"", b""])),
    ],
)
def test_what_is_answered_by_anything_but_a_result_goes_out_one_by_one_and_so_does_what_follows(reply: Any) -> None:
    device = Device()
    task = device.bundle("1", "2")
    assert [(each.id, each.count) for each in device.hear(reply(task.id))] == [("1", 1), ("2", 1)]
    assert device.settled == []
    device.now += PAUSE - 1
    assert [each.count for each in device.submit("3")] == [1]
    device.now += 1
    assert device.submit("4") == []


def test_a_large_result_ends_bundles_for_a_while() -> None:
    device = Device()
    task = device.bundle("1", "2")
    device.hear(answer(task, bytes(2 * SMALL), bytes(SMALL)))
    assert [each.count for each in device.submit("3")] == [1]


def test_small_results_of_many_calls_are_no_large_one() -> None:
    device = Device()
    task = device.bundle("1", "2", "3")
    device.hear(answer(task, *[bytes(SMALL - 100)] * 3))
    assert device.submit("4") == []


def test_a_bundle_goes_to_another_node_whole_where_its_node_is_lost() -> None:
    device = Device("n1", "n2")
    task = device.bundle("1", "2")
    taker = device.core.ledger.entries[task.id].taker
    assert taker is not None
    sent = device.tell(NodeHeard("a", taker, Gone(1)))
    assert [each.count for each in sent if each.id == task.id] == [2]
    device.hear(answer(task, b"\x01", b"\x02", node="n2" if taker == "n1" else "n1"))
    assert device.outcomes().keys() == {"1", "2"}


# ---------------------------------------------------------------- calls that go on alone


def test_a_call_that_goes_on_is_waited_for_under_the_id_that_it_has_there() -> None:
    device = Device()
    task = device.bundle("1", "2", "3")
    assert device.hear(answer(task, b"\x01", None, None)) == [], "the node has them: nothing is sent"
    assert device.outcomes().keys() == {"1"}
    device.hear(Progress(bundles.id_of(task.id, 1), 0.5))
    assert device.advanced == [Advanced("2", 0.5)]
    device.hear(Result(bundles.id_of(task.id, 2), b"\x03", (Hop("n1", "ran"),)))
    device.hear(Failed(bundles.id_of(task.id, 1), "ValueError", "no", "", (Hop("n1", "ran"),)))
    outcomes = device.outcomes()
    assert outcomes["3"] == Result("3", b"\x03", (Hop("n1", "ran"),))
    assert outcomes["2"].id == "2"


def test_a_call_that_goes_on_is_asked_after_and_sent_elsewhere_as_any_task_is() -> None:
    device = Device()
    task = device.bundle("1", "2")
    device.hear(answer(task, b"\x01", None))
    alone = bundles.id_of(task.id, 1)
    device.now += 400
    assert Ask(alone) in device.tell(Tick())
    assert [each.id for each in device.hear(Refused(alone, "n1", "unknown-id"))] == [alone]
    device.tell(NodeHeard("a", "n1", Gone(1)))
    [again] = [each for each in device.welcome("n2") if each.id == alone]
    assert (again.body, again.count) == (b"2", 1)


# ---------------------------------------------------------------- what is not wanted any more


def test_what_is_withdrawn_before_it_leaves_is_never_sent() -> None:
    device = Device()
    device.submit("lone", "slow")
    for id in ("1", "2", "3"):
        device.submit(id)
    assert device.tell(Withdraw("2")) == []
    [task] = device.close()
    assert bundles.read_calls(task.body, 2) == (b"1", b"3")


def test_a_call_that_is_withdrawn_is_not_settled_and_the_last_one_cancels_the_bundle() -> None:
    device = Device()
    task = device.bundle("1", "2")
    assert device.tell(Withdraw("1")) == []
    assert device.tell(Withdraw("2")) == [Cancel(task.id)]
    device.hear(answer(task, b"", b""))
    assert device.settled == []
    task = device.bundle("3", "4")
    device.tell(Withdraw("3"))
    device.hear(answer(task, b"", b""))
    assert device.outcomes().keys() == {"4"}


def test_a_call_that_goes_on_alone_can_be_cancelled_there() -> None:
    device = Device()
    task = device.bundle("1", "2", "3")
    device.tell(Withdraw("3"))
    assert device.hear(answer(task, b"", None, None)) == [Cancel(bundles.id_of(task.id, 2))]
    assert device.tell(Withdraw("2")) == [Cancel(bundles.id_of(task.id, 1))]
    assert device.core.unsettled == 1


def test_what_was_withdrawn_is_not_sent_one_by_one() -> None:
    device = Device()
    task = device.bundle("1", "2")
    device.tell(Withdraw("1"))
    assert [each.id for each in device.hear(Refused(task.id, "n1", "apart"))] == ["2"]


def test_with_no_node_there_calls_wait_and_leave_when_one_comes() -> None:
    device = Device()
    device.tell(LinkDown("a"))
    device.submit("lone", "slow")
    for id in ("1", "2"):
        device.submit(id)
    assert device.close() == []
    device.tell(LinkUp("a"))
    assert sorted(each.count for each in device.welcome("n1") if isinstance(each, Task)) == [1, 2]


def test_bundles_that_end_together_are_all_forgotten() -> None:
    device = Device()
    device.submit("lone", "slow")
    tasks = []
    for pair in (("1", "2"), ("3", "4")):
        for id in pair:
            device.submit(id)
        tasks += device.close()
    device.tell(NodeHeard("a", "n2", Birth(1, "fog", 2, NAMES)))
    for task in tasks:
        assert [each.count for each in device.hear(Refused(task.id, "n1", "unknown-task"))] == [2]
    device.now += 100
    device.tell(NodeHeard("a", "n2", Gone(1)))
    for _ in range(3):
        device.now += 1000
        device.tell(Tick())
    assert device.core.ledger.entries.keys() == {"lone", "1", "2", "3", "4"}, "one by one"
    assert not device.core._bundles
    assert not device.core._bundle_of
    device.tell(Withdraw("1"))
    assert "1" not in device.core.ledger.entries


@pytest.mark.parametrize("linked", [False, True])
def test_a_call_that_is_withdrawn_when_somebody_was_interrupted_runs_no_more(linked: bool) -> None:
    device = Device()
    task = device.bundle("1", "2")
    opened = answer(task, b"\x01", None)
    device.hear(opened)
    device.core.interrupted = True
    device.tell(LinkDown("a"))
    if not linked:
        device.tell(Withdraw("2"))
    device.tell(LinkUp("a"))
    device.tell(NodeHeard("a", "n1", Birth(1, "fog", 2, NAMES)))
    if linked:
        assert Cancel(bundles.id_of(task.id, 1)) in device.tell(Withdraw("2"))
    device.hear(opened)
    device.hear(Cancelled(bundles.id_of(task.id, 1)))
    assert device.core.ledger.entries.keys() == {"lone"}
    assert [each.id for each in device.settled if each.id == "2"] == []
