"""Sessions: whatever dies at whatever moment, an acknowledged step took effect once, and no other did."""

from __future__ import annotations

from typing import Any

import pytest

from fogsdk.core.events import Drain, LinkDown
from fogsdk.core.sessions import merge
from fogsdk.wire import limits, values
from fogsdk.wire.messages import Cancelled, Expired, Failed, Refused, Result
from tests.core.durable_site import NODES, site
from tests.core.world import World


def begin(world: World, step: int, after: str = "", client: str = "dev", **options: Any) -> str:
    id, name = options.pop("id", f"s{step}-{world.now}"), options.pop("name", "count")
    world.submit(client, id, name, session="cart", step=step, after=after, **options)
    return str(id)


def take(world: World, step: int, after: str = "", client: str = "dev", **options: Any) -> Any:
    return world.outcome(client, begin(world, step, after, client, **options))


def steps(world: World, count: int, after: str = "", first: int = 1) -> str:
    """Take some steps, and return the tag of the last state."""
    for step in range(first, first + count):
        result = take(world, step, after)
        assert isinstance(result, Result), result
        assert values.decode(result.body) == step
        after = result.tag
    return after


def look(world: World, client: str = "dev") -> dict[str, Any]:
    id = f"l{world.now}"
    world.submit(client, id, "fog.session", argument="cart")
    said: dict[str, Any] = values.decode(world.outcome(client, id).body)
    return said


def holders(world: World, names: tuple[str, ...] = NODES) -> tuple[str, str]:
    """Home and guardian of the session."""
    for name in names:
        record = world.peers[name].core.keeping.replicas.get("session:cart")
        if record and record.home == name and world.peers[name].alive:
            return name, record.guardian
    raise AssertionError("no node is home")


# ---------------------------------------------------------------- the ordinary way


def test_each_step_goes_on_from_the_state_before_it_and_runs_once() -> None:
    world = site()
    steps(world, 5)
    assert look(world)["step"] == 5
    assert sum(kind == "step" for _, kind, _ in world.runs) == 5


def test_the_result_is_not_sent_before_both_disks_have_the_state() -> None:
    world = site()
    id = begin(world, 1)
    while ("dev", id) not in world.settled:
        world.run(world.now + 1)
    assert sum("session:cart" in journal for journal in world.journals.values()) == 2


def test_a_session_that_nobody_stepped_is_at_step_0() -> None:
    assert look(site())["step"] == 0


def test_a_repeated_step_is_answered_with_its_result_and_not_taken_again() -> None:
    world = site()
    tag = steps(world, 1)
    result = take(world, 2, tag, id="two")
    home, _ = holders(world)
    world.peers[home].core.outcomes.forget(("dev", "two"))
    del world.settled["dev", "two"]
    again = take(world, 2, tag, id="two")
    assert (again.body, again.tag) == (result.body, result.tag)
    assert look(world)["step"] == 2


def test_a_step_is_sent_on_to_the_node_that_has_the_session() -> None:
    world = site()
    tag = steps(world, 1)
    home, guardian = holders(world)
    [third] = set(NODES) - {home, guardian}
    for step, node in ((2, third), (3, guardian)):
        result = take(world, step, tag, to=node)
        assert isinstance(result, Result), result
        assert result.hops[0].node == home
        tag = result.tag


def test_a_task_that_raises_takes_no_step() -> None:
    world = site()
    tag = steps(world, 1)
    assert isinstance(take(world, 2, tag, name="broken"), Failed)
    steps(world, 1, tag, first=2)


def test_a_step_whose_deadline_passes_while_it_runs_has_no_effect() -> None:
    world = site()
    tag = steps(world, 1)
    assert isinstance(take(world, 2, tag, name="long", deadline=50), Expired)
    world.run(world.now + 1000)
    assert look(world)["step"] == 1
    steps(world, 1, tag, first=2)


def test_a_step_that_is_withdrawn_while_it_runs_has_no_effect() -> None:
    world = site()
    tag = steps(world, 1)
    id = begin(world, 2, tag, name="long")
    world.run(world.now + 50)
    world.withdraw("dev", id)
    world.run(world.now + 1000)
    assert look(world)["step"] == 1


def test_a_state_that_is_too_large_fails_the_step_and_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    assert limits.STATE_SIZE == 1024 * 1024
    monkeypatch.setattr("fogsdk.wire.limits.STATE_SIZE", 2)
    world = site()
    tag = steps(world, 1)
    monkeypatch.setattr("fogsdk.wire.limits.STATE_SIZE", 0)
    failed = take(world, 2, tag)
    assert isinstance(failed, Failed)
    assert failed.error == "StateTooLarge"
    assert look(world)["step"] == 1


# ---------------------------------------------------------------- two callers


def test_of_two_callers_one_takes_the_step_and_the_other_is_told_of_the_conflict() -> None:
    world = site()
    tag = steps(world, 1)
    mine, other = begin(world, 2, tag, id="mine"), begin(world, 2, tag, client="two", id="other")
    outcomes = [world.outcome("dev", mine), world.outcome("two", other)]
    assert sorted(type(outcome).__name__ for outcome in outcomes) == ["Refused", "Result"]
    assert next(o for o in outcomes if isinstance(o, Refused)).reason == "conflict"
    assert look(world)["step"] == 2


def test_a_step_that_comes_after_no_known_state_is_a_conflict() -> None:
    world = site()
    steps(world, 2)
    assert take(world, 2, "0" * 32).reason == "conflict"
    assert take(world, 3, "0" * 32).reason == "conflict"


def test_a_state_that_is_lost_is_looked_for_and_then_said_to_be_lost() -> None:
    world = site()
    steps(world, 1)
    begun = world.now
    refused = take(world, 7, "0" * 32)
    assert refused.reason == "conflict"
    assert "not found within 5 s" in refused.message
    assert 5000 <= world.now - begun < 10_000


# ---------------------------------------------------------------- nodes that die

MOMENTS = ["runs", "is on the home alone", "is on both"]


def until(world: World, moment: str, step: int) -> tuple[str, str]:
    """Run until a step is in a moment of its life; returns home and guardian."""
    home, guardian = holders(world)
    while True:
        records = [world.peers[n].core.keeping.replicas.get("session:cart") for n in (home, guardian)]
        match moment:
            case "runs" if world.peers[home].jobs or world.peers[guardian].jobs:
                return home, guardian
            case "is on the home alone" if records[0].progress == step:
                return home, guardian
            case "is on both" if records[0].progress == records[1].progress == step:
                return home, guardian
        world.run(world.now + 1)
        assert world.now < 20_000


@pytest.mark.parametrize("clean", [True, False], ids=["killed", "cable pulled"])
@pytest.mark.parametrize("victim", ["home", "guardian"])
@pytest.mark.parametrize("moment", MOMENTS)
@pytest.mark.parametrize("back", ["stays away", "comes back", "comes back without its disk"])
def test_whichever_node_dies_whenever_the_step_is_taken_once(moment: str, victim: str, clean: bool, back: str) -> None:
    world = site(seed=len(moment) + clean)
    tag = steps(world, 3)
    id = begin(world, 4, tag)
    home, guardian = until(world, moment, 4)
    dead = home if victim == "home" else guardian
    world.crash(dead, clean)
    if back != "stays away":
        world.run(world.now + 300)
        if "without" in back:
            world.journals[dead].clear()
        world.add_node(dead, keeps=True)
    result = world.outcome("dev", id)
    assert values.decode(result.body) == 4
    steps(world, 3, result.tag, first=5)
    assert look(world, "two")["step"] == 7


def test_all_nodes_die_and_the_session_goes_on_where_it_was() -> None:
    world = site()
    tag = steps(world, 3)
    for name in NODES:
        world.crash(name)
    world.run(world.now + 1000)
    for name in NODES:
        world.add_node(name, keeps=True)
    steps(world, 3, tag, first=4)


def test_a_home_that_returns_with_an_older_state_does_not_go_on_from_it() -> None:
    world = site()
    tag = steps(world, 2)
    home, _ = holders(world)
    world.crash(home)
    tag = steps(world, 2, tag, first=3)
    world.add_node(home, keeps=True)
    result = take(world, 5, tag, to=home)
    assert values.decode(result.body) == 5
    world.run(world.now + 8000)
    assert sum(bool(world.peers[name].core.keeping.replicas.get("session:cart")) for name in NODES) == 2


def test_a_step_that_only_the_dead_home_had_gives_way_to_the_one_that_was_acknowledged() -> None:
    world = site()
    tag = steps(world, 1)
    begin(world, 2, tag, client="two", id="unheard")
    home, _ = until(world, "runs", 2)
    world.peers[home].cut = True
    until(world, "is on the home alone", 2)
    world.run(world.now + 20)
    world.crash(home)
    world.withdraw("two", "unheard")
    result = take(world, 2, tag)
    assert isinstance(result, Result)
    world.add_node(home, keeps=True)
    world.run(world.now + 5000)
    steps(world, 2, result.tag, first=3)


def test_a_node_that_leaves_in_order_hands_the_session_over() -> None:
    world = site()
    tag = steps(world, 2)
    home, _ = holders(world)
    world.tell(world.peers[home], Drain(3000))
    steps(world, 3, tag, first=3)


# ---------------------------------------------------------------- nodes that are cut off


@pytest.mark.parametrize("who", [0, 1], ids=["home", "guardian"])
def test_a_node_that_was_cut_off_learns_the_steps_that_it_missed(who: int) -> None:
    world = site()
    tag = steps(world, 2)
    cut = world.peers[holders(world)[who]]
    cut.cut = True
    tag = steps(world, 3, tag, first=3)
    cut.cut = False
    world.run(world.now + 10_000)
    tag = steps(world, 3, tag, first=6)
    assert look(world, "two")["step"] == 8
    records = [world.peers[name].core.keeping.replicas.get("session:cart") for name in NODES]
    assert len({record.version for record in records if record}) == 1
    assert sum(record is not None for record in records) == 2


def test_two_states_of_one_step_are_both_kept_until_a_caller_goes_on_from_one() -> None:
    first = values.encode([[3, "a", b"\x03", b"\x03", "dev/1"]])
    second = values.encode([[3, "b", b"\x04", b"\x04", "two/1"]])
    both = merge("session:cart", first, second)
    assert [head[1] for head in values.decode(both)] == ["a", "b"]
    assert merge("session:cart", both, second) == both, "nothing is kept twice"
    assert merge("session:cart", first, values.encode([[2, "c", b"", b"", "x/1"]])) == first
    assert merge("dev/post", b"one", b"other") == b"one"


def test_both_sides_of_a_cut_go_on_and_each_caller_keeps_the_state_that_it_was_told_of() -> None:
    """Only where both sides take the same number of steps; where one took more, the others end in a conflict."""
    world = site(nodes=("n0", "n1"), brokers=("a", "b"))
    tag = steps(world, 1)
    home, guardian = holders(world, ("n0", "n1"))
    _part(world, {home, "dev"}, "a")
    _part(world, {guardian, "two"}, "b")
    world.run(world.now + 15_000)
    mine = take(world, 2, tag, id="mine")
    other = take(world, 2, tag, client="two", id="other")
    assert isinstance(mine, Result)
    assert isinstance(other, Result)
    _heal(world)
    world.run(world.now + 12_000)
    assert values.decode(take(world, 3, mine.tag).body) == 3


def _part(world: World, names: set[str], broker: str) -> None:
    """From now on these reach only one broker, and the others do not reach them."""
    for name in sorted(names):
        peer = world.peers[name]
        for link in sorted(peer.links - {broker}):
            peer.links.discard(link)
            world.tell(peer, LinkDown(link))


def _heal(world: World) -> None:
    for peer in world.peers.values():
        for broker in sorted(world.up - peer.links):
            world.connect(peer, broker)


def test_lost_and_doubled_messages_change_nothing() -> None:
    world = site(faults=0.15)
    steps(world, 30)
    assert look(world)["step"] == 30


# ---------------------------------------------------------------- disks that fail


def test_a_step_that_cannot_be_written_is_refused_and_not_taken() -> None:
    world = site(nodes=("n0",))
    tag = steps(world, 1)
    world.broken_disks.add("n0")
    assert take(world, 2, tag).reason == "no-journal"
    world.broken_disks.clear()
    world.run(world.now + 6000)
    assert look(world)["step"] == 1
    steps(world, 1, tag, first=2)


def test_a_home_whose_disk_fails_hands_the_session_over() -> None:
    world = site()
    tag = steps(world, 2)
    world.broken_disks.add(holders(world)[0])
    steps(world, 3, tag, first=3)


def test_an_answer_that_comes_late_to_a_cancelled_step_is_no_outcome() -> None:
    world = site()
    tag = steps(world, 1)
    id = begin(world, 2, tag)
    world.withdraw("dev", id)
    world.run(world.now + 2000)
    assert not any(isinstance(o, Cancelled) for outs in world.settled.values() for o in outs)
