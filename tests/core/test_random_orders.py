"""Random event orders: whatever happens in whatever order, no task is lost while its owner lives, none is delivered
twice, none is in two states, and after the last event all is quiet."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fogsdk.core.held import State
from fogsdk.core.node import Node
from fogsdk.wire.messages import Expired
from tests.core.world import World

NODES = ("n0", "n1", "n2")
ACTIONS = st.one_of(
    st.tuples(
        st.just("submit"),
        st.sampled_from(["quick", "long", "shared", "broken", "huge"]),
        st.sampled_from(["dev", "two"]),
    ),
    st.tuples(st.just("deadline"), st.sampled_from(["quick", "long", "shared"]), st.integers(0, 3000)),
    st.tuples(st.just("withdraw"), st.integers(0, 40), st.just(0)),
    st.tuples(st.just("crash"), st.sampled_from(NODES), st.booleans()),
    st.tuples(st.just("restart"), st.sampled_from(NODES), st.just(0)),
    st.tuples(st.just("kill broker"), st.sampled_from("ab"), st.just(0)),
    st.tuples(st.just("revive broker"), st.sampled_from("ab"), st.just(0)),
    st.tuples(st.just("wait"), st.integers(1, 2000), st.just(0)),
)


class Story:
    """Acts a list of actions out in a world, and remembers what was submitted."""

    def __init__(self, seed: int, faults: float) -> None:
        self.world = World(seed, brokers=("a", "b"), faults=faults)
        for name in NODES:
            self.world.add_node(name, express=1)
        self.world.add_node("bridge", role="cloud", workers=20)
        self.world.add_client("dev")
        self.world.add_client("two")
        self.submitted: list[tuple[str, str]] = []
        self.withdrawn: set[tuple[str, str]] = set()

    def act(self, action: str, what: Any, how: Any) -> None:
        world = self.world
        match action:
            case "submit" | "deadline":
                owner = how if action == "submit" else "dev"
                id = f"t{len(self.submitted)}"
                self.submitted.append((owner, id))
                world.submit(owner, id, what, None if action == "submit" else how)
            case "withdraw" if what < len(self.submitted):
                owner, id = self.submitted[what]
                if (owner, id) not in world.settled:
                    self.withdrawn.add((owner, id))
                    world.withdraw(owner, id)
            case "crash" if world.peers[what].alive:
                world.crash(what, how)
            case "restart" if not world.peers[what].alive:
                world.add_node(what)
            case "kill broker" if what in world.up:
                world.kill_broker(what)
            case "revive broker" if what not in world.up:
                world.revive_broker(what)
            case "wait":
                world.run(world.now + what)
        check_states(world)

    def heal(self) -> None:
        """All faults end: every broker and node is back."""
        for broker in {"a", "b"} - self.world.up:
            self.world.revive_broker(broker)
        for name in NODES:
            if not self.world.peers[name].alive:
                self.world.add_node(name)
        self.world.run(self.world.now + 500)


def check_states(world: World) -> None:
    """Every task of every node is in exactly the place that its state names."""
    for peer in world.peers.values():
        if not isinstance(peer.core, Node):
            continue
        work = peer.core.work
        records = [r for held in peer.core.held.values() for r in (held, *held.parts)]
        for held in records:
            places = {
                State.QUEUED: held in work.queue.waiting(),
                State.RUNNING: held.job in work.queue.running,
                State.AWAY: held.ledger_id in work.away and held.ledger_id in peer.core.ledger.entries,
            }
            at_work = held.state in (State.SPLITTING, State.MERGING)
            assert places[State.RUNNING] == (held.state is State.RUNNING or at_work), held
            assert places[State.QUEUED] == (held.state is State.QUEUED), held
            assert places[State.AWAY] == (held.state is State.AWAY), held
            assert held.state is not State.DONE or held.parent is not None, held
        assert len(work.queue.running) <= peer.core.me.workers + peer.core.me.express


def check_quiet(world: World) -> None:
    for peer in world.peers.values():
        assert not peer.core.ledger.entries, peer.name
        assert peer.core.ledger.deadline() is None, peer.name
        if isinstance(peer.core, Node) and peer.alive:
            assert not peer.core.held, peer.core.held
            assert not peer.core.work.away
            assert not peer.core.work.queue.running
            assert not peer.jobs
            assert len(peer.core.work.queue) == 0


@pytest.mark.timeout(180)  # it computes all the while: beside other work it takes several times as long
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(
    seed=st.integers(0, 2**32),
    faults=st.sampled_from([0.0, 0.02, 0.15]),
    actions=st.lists(ACTIONS, min_size=5, max_size=60),
)
def test_no_order_of_events_loses_or_doubles_a_task(
    seed: int, faults: float, actions: list[tuple[str, Any, Any]]
) -> None:
    story = Story(seed, faults)
    for action in actions:
        story.act(*action)
    story.heal()
    world = story.world
    wanted = [key for key in story.submitted if key not in story.withdrawn]
    world.run_until(lambda: all(key in world.settled for key in wanted), limit=world.now + 120_000)
    world.faults = 0.0
    world.run(world.now + 30_000)
    check_states(world)
    check_quiet(world)
    for key in wanted:
        assert len(world.settled[key]) == 1, f"{key} was delivered {len(world.settled[key])} times"
        assert not isinstance(world.settled[key][0], Expired) or "deadline" in world.settled[key][0].message
    for key in story.withdrawn:
        assert key not in world.settled, f"{key} was delivered after it was withdrawn"
