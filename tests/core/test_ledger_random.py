"""The ledger under whatever order of calls: no task settles twice, nothing is kept of one that ended."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from hypothesis import example, given
from hypothesis import strategies as st

from fogsdk.core.commands import Settled
from fogsdk.core.entry import Orphaned
from fogsdk.core.ledger import Effect, Ledger
from fogsdk.core.membership import Directory
from fogsdk.wire.messages import Accepted, Birth, Cancelled, Expired, Failed, Gone, Hop, Progress, Refused, Result, Task

NODES = ["n0", "n1", "n2"]
LINKS = ["a", "b"]
nodes, links, ids = st.sampled_from(NODES), st.sampled_from(LINKS), st.sampled_from([f"t{n}" for n in range(4)])
reasons = st.sampled_from(["overloaded", "leaving", "unknown-task", "unknown-id", "bad-arguments"])
hops = st.lists(st.builds(Hop, nodes, st.sampled_from(["ran", "sent"])), max_size=2).map(tuple)
replies = st.one_of(
    st.builds(Accepted, ids, nodes),
    st.builds(Progress, ids, st.just(0.5)),
    st.builds(Result, ids, st.just(b"\xf6"), hops, st.integers(0, 100)),
    st.builds(Failed, ids, st.just("E"), st.just(""), st.just(""), hops),
    st.builds(Expired, ids, st.just(""), hops),
    st.builds(Refused, ids, nodes, reasons, st.just(""), st.none() | st.integers(0, 900)),
    st.builds(Cancelled, ids),
)
STEPS = st.one_of(
    st.tuples(st.just("add"), st.none() | st.integers(0, 5000), nodes),
    st.tuples(st.just("hear"), replies, nodes),
    st.tuples(st.just("take back"), ids, nodes),
    st.tuples(st.just("gone"), st.none(), nodes),
    st.tuples(st.just("hedge"), ids, nodes),
    st.tuples(st.just("born"), links, nodes),
    st.tuples(st.sampled_from(["up", "down"]), links, nodes),
    st.tuples(st.sampled_from(["recheck", "node came"]), st.none(), nodes),
    st.tuples(st.just("wait"), st.integers(1, 3000), nodes),
)


class Owner:
    """Hands out tasks, and gives each orphan to the next node that can be reached."""

    def __init__(self) -> None:
        self.now = 0
        self.count = 0
        self.settled: list[str] = []
        self.directory = Directory()
        self.ledger = Ledger("home", "dev", self.directory)

    def act(self, what: str, how: Any, node: str) -> None:  # noqa: C901 - one case for each step
        match what:
            case "add":
                self.add(how, node)
            case "hear":
                self.take(self.ledger.hear(how, self.now), node)
            case "take back":
                self.take(self.ledger.take_back(how), node)
            case "hedge":
                entry = self.ledger.entries.get(how)
                if entry is not None and entry.second_at is None:
                    self.take(self.ledger.hedge(how, node, self.now), node)
            case "gone":
                if self.directory.hear("a", node, Gone(1), self.now):
                    self.take(self.ledger.node_gone(node, "gone"), node)
            case "born":
                self.directory.hear(how, node, Birth(1, "fog", 2), self.now)
            case "up":
                self.directory.link_up(how, self.now)
            case "down":
                self.directory.link_down(how)
                self.ledger.recheck(self.now)
            case "recheck":
                self.ledger.recheck(self.now)
            case "node came":
                self.ledger.node_came(node, self.now)
            case "wait":
                self.wait(how, node)
        self.check()

    def add(self, deadline: int | None, node: str) -> None:
        id = f"t{self.count % 4}"
        if id not in self.ledger.entries:
            self.count += 1
            self.settled = [each for each in self.settled if each != id]
            self.ledger.add(Task(id, "work", b"", deadline), self.now)
            self.take(self.ledger.assign(id, node, self.now, 10.0), node)

    def wait(self, milliseconds: int, node: str) -> None:
        until = self.now + milliseconds
        while (at := self.ledger.deadline()) is not None and at <= until:
            self.now = max(at, self.now)
            self.take(self.ledger.tick(self.now), node)
            later = self.ledger.deadline()
            assert later is None or later > self.now, "a timer that is never done"
        self.now = until

    def take(self, effects: Sequence[Effect], node: str) -> None:
        for effect in effects:
            if isinstance(effect, Settled):
                self.settled.append(effect.id)
            elif isinstance(effect, Orphaned):
                avoided = self.ledger.entries[effect.id].avoid.get(node, 0) > self.now
                reach = [] if avoided else self.ledger.assign(effect.id, node, self.now, 10.0)
                self.take(reach or self.ledger.wait(effect.id, self.now), node)

    def check(self) -> None:
        assert len(self.settled) == len(set(self.settled)), "a task was settled twice"
        assert not set(self.settled) & self.ledger.entries.keys(), "a settled task is still kept"
        held = {id: entry.taker for id, entry in self.ledger.entries.items() if entry.taker is not None}
        assert {id: node for node, taker in self.ledger._takers.by_node.items() for id in taker.ids} == held
        assert all(entry.second != entry.taker for entry in self.ledger.entries.values() if entry.second)
        late = {id for kind in self.ledger.hedging._kinds.values() for id in kind.out}
        assert late <= held.keys()
        assert all(member.outstanding_ms >= 0.0 for member in self.directory.members.values())
        timers = (self.ledger._first, self.ledger._due._due, self.ledger._expiries._due)
        assert all(id in self.ledger.entries for timer in timers for id in timer)
        assert self.ledger._takers._probes._due.keys() <= self.ledger._takers.by_node.keys()
        assert self.ledger.entries or self.ledger.deadline() is None


@given(st.lists(STEPS, max_size=60))
@example([("add", None, "n0"), ("hedge", "t0", "n1"), ("wait", 700, "n0")])  # the second has to be asked at once
def test_the_ledger_keeps_its_promises_in_any_order(steps: list[tuple[str, Any, str]]) -> None:
    owner = Owner()
    owner.directory.link_up("a", 0)
    for node in NODES:
        owner.directory.hear("a", node, Birth(1, "fog", 2), 0)
    for step in steps:
        owner.act(*step)
    wanted = list(owner.ledger.entries)
    for id in wanted:
        owner.act("hear", Result(id, b"\xf6"), "n0")
    assert owner.ledger.entries == {}
    assert owner.ledger.deadline() is None
    assert set(wanted) <= set(owner.settled)
