"""Random event orders: with any one node dead at a time, with its disk or without, no posted task is lost, and each
step of a session that was acknowledged took effect once."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fogsdk.wire import values
from fogsdk.wire.messages import Refused, Result
from tests.core.large_world import LargeWorld
from tests.core.world import World

NODES, BROKERS = ("n0", "n1", "n2"), ("a", "b")
SESSIONS = {"alone": ["dev"], "shared": ["dev", "two"]}
SETTLES_WITHIN = 8000
"""Milliseconds that a node has after its start until another may die."""
ACTIONS = st.one_of(
    st.tuples(st.just("post"), st.sampled_from(["quick", "long", "broken", "shared"])),
    st.tuples(st.just("step"), st.sampled_from([(name, who) for name, whos in SESSIONS.items() for who in whos])),
    st.tuples(st.just("fetch"), st.integers(0, 20)),
    st.tuples(st.just("crash"), st.tuples(st.sampled_from(NODES), st.booleans())),
    st.tuples(st.just("strike"), st.booleans()),
    st.tuples(st.just("restart"), st.booleans()),
    st.tuples(st.just("kill broker"), st.none()),
    st.tuples(st.just("revive broker"), st.none()),
    st.tuples(st.just("wait"), st.integers(1, 60)),
    st.tuples(st.just("wait"), st.sampled_from([300, 1000, 3000, SETTLES_WITHIN])),
)


class Caller:
    """Takes step after step of a session, and takes the session up anew where another came first."""

    def __init__(self, world: World, session: str, who: str) -> None:
        self.world, self.session, self.who = world, session, who
        self.count = self.taken = self.wanted = 0
        self.step, self.tag = 0, ""
        self.waits_for: str | None = None

    def go_on(self) -> None:
        """Take in the answer that came, and do what is next."""
        if self.waits_for is not None:
            answers = self.world.settled.get((self.who, self.waits_for))
            if answers is None:
                return
            assert len(answers) == 1, f"{self.waits_for} was answered {len(answers)} times"
            self._answered(answers[0])
        elif self.wanted:
            self._submit("step", "count", session=self.session, step=self.step + 1, after=self.tag)

    def _submit(self, what: str, name: str, **options: Any) -> None:
        self.count += 1
        self.waits_for = f"{self.session}-{what}-{self.count}"
        self.world.submit(self.who, self.waits_for, name, **options)

    def _answered(self, answer: Any) -> None:
        id, self.waits_for = self.waits_for, None
        if isinstance(answer, Refused):
            assert answer.reason == "conflict", answer
            self._submit("look", "fog.session", argument=self.session)
            return
        assert isinstance(answer, Result), answer
        value = values.decode(answer.body)
        if isinstance(value, dict):
            self.step, self.tag = value["step"], value["tag"]
            return
        assert value == self.step + 1, f"{id} was step {self.step + 1}, and counted {value}"
        self.step, self.tag = value, answer.tag
        self.taken += 1
        self.wanted -= 1


class Story:
    """Acts a list of actions out in a world; whatever waits goes on in between."""

    def __init__(self, world: World) -> None:
        self.world = world
        for name in NODES:
            self.world.add_node(name, keeps=True, express=1)
        self.world.add_client("dev")
        self.world.add_client("two")
        self.callers = [Caller(self.world, name, who) for name, whos in SESSIONS.items() for who in whos]
        self.posted: list[str] = []
        self.fetches: dict[str, str] = {}
        self.fetched: dict[str, Any] = {}
        self.settled_by = 0
        self.run(200)

    def run(self, ms: int) -> None:
        until = self.world.now + ms
        while self.world.now < until:
            self.world.run(min(until, self.world.now + 20))
            for caller in self.callers:
                caller.go_on()

    def act(self, action: str, what: Any) -> None:
        world = self.world
        dead = [name for name in NODES if not world.peers[name].alive]
        match action:
            case "post":
                id = f"p{len(self.posted)}"
                self.posted.append(id)
                world.submit("dev", id, what, keep=600_000)
            case "step":
                for caller in self.callers:
                    caller.wanted += (caller.session, caller.who) == what
            case "fetch" if what < len(self.posted):
                self.fetch(self.posted[what])
            case "crash" if not dead and world.now >= self.settled_by:
                world.crash(*what)
            case "strike" if not dead and world.now >= self.settled_by:
                self.strike(what)
            case "restart" if dead:
                if what:  # its disk is a new one
                    world.journals[dead[0]].clear()
                world.add_node(dead[0], keeps=True, express=1)
                self.settled_by = world.now + SETTLES_WITHIN
            case "kill broker" if len(world.up) > 1:
                world.kill_broker("a")
            case "revive broker" if "a" not in world.up:
                world.revive_broker("a")
            case "wait":
                self.run(what)

    def strike(self, clean: bool) -> None:
        """Kill the node that gave an answer, at the moment in which it comes."""
        world, count = self.world, len(self.world.settled)
        for _ in range(100):
            if len(world.settled) > count:
                outcome = list(world.settled.values())[-1][0]
                if isinstance(outcome, Result) and outcome.hops:
                    world.crash(outcome.hops[0].node, clean)
                elif isinstance(outcome, Result) and (receipt := values.decode(outcome.body)) and "nodes" in receipt:
                    world.crash(receipt["nodes"][0], clean)
                return
            self.run(1)

    def fetch(self, id: str) -> None:
        """Fetch it once it has a receipt, from the other client."""
        receipt = self.world.settled.get(("dev", id))
        if receipt is None or id in self.fetches:
            return
        assert isinstance(receipt[0], Result), receipt
        self.fetches[id] = f"f-{id}-{self.world.now}"
        self.world.submit("two", self.fetches[id], "fog.fetch", argument=values.decode(receipt[0].body)["receipt"])

    def end(self) -> None:
        """Everything that was begun comes to its end, also with a node that stays dead."""
        self.act("revive broker", None)
        until = self.world.now + 120_000
        while not self.is_over():
            assert self.world.now < until, f"not over: {self.left_over()}"
            self.run(200)
            for id in self.posted:
                self.fetch(id)

    def is_over(self) -> bool:
        return not self.left_over()

    def left_over(self) -> list[str]:
        left = [f"{c.session} {c.who}: {c.waits_for or c.wanted}" for c in self.callers if c.wanted or c.waits_for]
        settled = self.world.settled
        return left + [id for id in self.posted if ("two", self.fetches.get(id, "")) not in settled]


@pytest.mark.timeout(180)  # it computes all the while: beside other work it takes several times as long
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(
    seed=st.integers(0, 2**32),
    faults=st.sampled_from([0.0, 0.02, 0.1]),
    actions=st.lists(ACTIONS, min_size=5, max_size=60),
    in_chunks=st.booleans(),
)
def test_no_posted_task_is_lost_and_no_step_taken_twice(
    seed: int, faults: float, actions: list[tuple[str, Any]], in_chunks: bool
) -> None:
    """Also where each task, result and copy travels in chunks."""
    story = Story(LargeWorld(seed, BROKERS, faults, inline=8) if in_chunks else World(seed, BROKERS, faults))
    for action in actions:
        story.act(*action)
    story.end()
    world = story.world
    if isinstance(world, LargeWorld) and world.settled:
        assert world.carried
    for id in story.posted:
        [outcome] = world.settled["two", story.fetches[id]]
        assert not isinstance(outcome, Refused), outcome
    for name in SESSIONS:
        world.submit("dev", f"end-{name}", "fog.session", argument=name)
        step = values.decode(world.outcome("dev", f"end-{name}").body)["step"]
        assert step == sum(caller.taken for caller in story.callers if caller.session == name)
