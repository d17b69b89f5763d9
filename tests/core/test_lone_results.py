"""The result of a lone task is written down when its owner has it: when that is makes no difference."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from fogsdk.core.client import Client
from fogsdk.core.commands import Send, Settled
from fogsdk.core.events import Event, LinkDown, LinkUp, NodeHeard, Replied, Submit, Tick, Withdraw
from fogsdk.wire.messages import Accepted, Birth, Gone, Hop, Progress, Refused, Result, Task, TaskInfo

INFO = (TaskInfo("t", weight="light"),)
nodes, ids = st.sampled_from(["n1", "n2"]), st.integers(0, 3)
STEPS = st.one_of(
    st.tuples(st.just("submit"), st.sampled_from(["", "", "n1"]), st.sampled_from([0, 0, 200_000, 300_000])),
    st.tuples(st.just("submit again"), nodes, ids),
    st.tuples(st.just("submit a step"), nodes, st.just(0)),
    st.tuples(st.just("leaves"), nodes, st.just(0)),
    st.tuples(st.just("result"), nodes, ids),
    st.tuples(st.just("result"), st.just(""), st.just(0)),
    st.tuples(st.just("accepted"), nodes, ids),
    st.tuples(st.just("progress"), nodes, ids),
    st.tuples(st.just("refused"), nodes, ids),
    st.tuples(st.just("withdraw"), nodes, ids),
    st.tuples(st.just("born"), nodes, st.just(0)),
    st.tuples(st.just("gone"), nodes, st.just(0)),
    st.tuples(st.sampled_from(["link up", "link down"]), nodes, st.just(0)),
    st.tuples(st.just("wait"), nodes, st.sampled_from([1, 30, 300, 1000])),
    st.tuples(st.just("catch up"), nodes, st.just(0)),
)
BORN = ("born", "n2", 0)
WAIT = ("wait", "", 1000)
CALL = [("submit", "", 0), ("result", "", 0)]


class AtOnce(Client):
    """One that writes down each result before it hands it out."""

    def _is_as_expected(self, _result: Result) -> bool:
        return False


class Pair:
    """Two clients to which the same happens."""

    def __init__(self, wait: int = 7) -> None:
        self.wait_said = wait
        self.one, self.other = Client("home", "me"), AtOnce("home", "me")
        self.now = 0
        self.latest: list[str] = []  # the ids of tasks, the youngest first
        self.takers: dict[str, str] = {}
        for event in (LinkUp("link"), NodeHeard("link", "n1", Birth(1, "fog", 2, INFO))):
            self.tell(event)

    def tell(self, event: Event) -> None:
        said = self.one.handle(event, self.now)
        assert said == self.other.handle(event, self.now), event
        for each in said:
            if isinstance(each, Send) and isinstance(each.message, Task):
                self.takers[each.message.id] = each.topic.split("/")[4]
        assert self.one.unsettled == self.other.unsettled
        assert [self.one.is_lone(id) for id in self.latest] == [self.other.is_lone(id) for id in self.latest]

    def act(self, what: str, node: str, number: int) -> None:  # noqa: C901 - one case for each step
        id = self.latest[number] if number < len(self.latest) else "none"
        match what:
            case "submit":
                self.latest.insert(0, f"t{len(self.latest)}")
                self.tell(Submit(Task(self.latest[0], "t", bytes(number)), node))
            case "submit a step":
                self.latest.insert(0, f"t{len(self.latest)}")
                self.tell(Submit(Task(self.latest[0], "t", b"", session="s", step=1)))
            case "leaves":
                self.tell(NodeHeard("link", node, Birth(1, "fog", 0, INFO)))
            case "submit again":
                self.tell(Submit(Task(id, "t", b"")))
            case "result":
                by = node or self.takers.get(id, "n1")
                self.tell(Replied("link", Result(id, b"", (Hop(by, "ran", ran=0.5, took=1.0),), self.wait_said)))
            case "accepted":
                self.tell(Replied("link", Accepted(id, node)))
            case "progress":
                self.tell(Replied("link", Progress(id, 0.5)))
            case "refused":
                self.tell(Replied("link", Refused(id, node, "overloaded", "", 10)))
            case "withdraw":
                self.tell(Withdraw(id))
            case "born":
                self.tell(NodeHeard("link", node, Birth(1, "fog", 2, INFO)))
            case "gone":
                self.tell(NodeHeard("link", node, Gone(1)))
            case "link up" | "link down":
                self.tell((LinkUp if what == "link up" else LinkDown)("link"))
            case "wait":
                self.wait(self.now + number)
            case "catch up":
                self.one.catch_up()
                self.other.catch_up()

    def wait(self, until: int) -> None:
        while (due := self.deadline()) is not None and due <= until:
            self.now = max(self.now, due)
            self.tell(Tick())
        self.now = until

    def deadline(self) -> int | None:
        """That of both."""
        assert self.one.deadline() == self.other.deadline()
        return self.other.deadline()


@given(st.lists(STEPS | st.sampled_from(CALL), max_size=60), st.sampled_from([0, 7]))
@example([*CALL, *CALL, ("wait", "", 300), *CALL], 0)
@example([*CALL, ("submit again", "", 0), ("result", "", 0)], 0)
@example([*CALL, ("born", "n2", 0), *CALL, *CALL], 0)
@example([*CALL, ("submit", "", 0), ("wait", "", 1000)], 0)
@example([*CALL, ("wait", "", 300), ("submit", "", 0), ("wait", "", 1000)], 0)
@example([*CALL, ("submit", "", 0), BORN, ("submit", "", 0)], 0)
@example([*CALL, ("submit", "", 200_000), ("wait", "", 1000)], 7)
@example([("submit", "", 200_000), ("wait", "", 1000), ("result", "", 0), *CALL, ("submit", "", 200_000), WAIT], 7)
@example([*CALL, ("submit", "", 0), ("submit", "", 0), WAIT], 0)
@example([*CALL, ("submit", "n2", 0), WAIT], 0)
@example([*CALL, ("submit a step", "", 0), WAIT], 0)
@example([("submit", "", 0), ("leaves", "n1", 0), ("result", "", 0), ("submit", "", 0)], 0)
@example([BORN, *CALL, *CALL, *CALL], 7)
@example([BORN, *CALL, ("gone", "n1", 0), ("gone", "n2", 0)], 0)
@example([BORN, ("submit", "", 0), ("result", "n1", 0), *CALL], 0)
@example([BORN, ("submit", "", 0), ("result", "n2", 0), *CALL], 0)
@example([("submit", "", 0), BORN, ("gone", "n1", 0), ("result", "n2", 0)], 0)
@example([("submit", "", 0), ("wait", "", 1000), ("result", "n1", 0), ("submit", "", 0)], 0)
@example([("submit", "", 0), ("wait", "", 1000), ("submit again", "", 0), ("result", "n1", 0), ("submit", "", 0)], 0)
@example(
    [*[("submit", "n1", 0)] * 3, ("refused", "n1", 0), ("result", "n1", 1), ("result", "n1", 2), ("wait", "", 10)], 0
)
@example(
    [("submit", "", 0), ("wait", "", 1000), ("withdraw", "", 0), ("submit", "n1", 0), ("result", "", 0), CALL[0]], 0
)
@example([("submit", "", 0), ("refused", "n1", 0), ("wait", "", 600), ("result", "n1", 0), *[("submit", "", 0)] * 2], 0)
def test_what_is_written_down_later_changes_nothing_that_is_said(steps: list[tuple[str, Any, Any]], wait: int) -> None:
    pair = Pair(wait)
    for step in steps:
        pair.act(*step)
    pair.wait(pair.now + 20_000)
    for client in (pair.one, pair.other):
        client.catch_up()
    for mine, others in zip(pair.one.directory.members.values(), pair.other.directory.members.values(), strict=True):
        assert (mine.handed, mine.outstanding_ms, mine.last_heard) == (
            others.handed,
            others.outstanding_ms,
            others.last_heard,
        )


def test_a_lone_result_is_handed_out_before_it_is_written_down() -> None:
    pair = Pair()
    pair.act("submit", "", 0)
    [settled] = pair.one.handle(Replied("link", Result("t0", b"", (Hop("n1", "ran"),))), 0)
    assert isinstance(settled, Settled)
    assert pair.one.directory.members["n1"].handed == 1
    assert pair.one.deadline() is None, "there is nothing to do for a task that is settled"
    pair.one.catch_up()
    assert pair.one.directory.members["n1"].handed == 0
    assert not pair.one.ledger.entries


@pytest.mark.parametrize("result", [Result("t0", b""), Result("t0", b"", (Hop("n2", "ran"),)), Result("t9", b"")])
def test_a_result_that_nobody_expected_so_is_written_down_at_once(result: Result) -> None:
    pair = Pair()
    pair.act("submit", "", 0)
    pair.tell(Replied("link", result))
    assert pair.one.ledger.entries.keys() == pair.other.ledger.entries.keys()
