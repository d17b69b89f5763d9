"""Stories of what nodes keep for others, each of which once went wrong: posts, steps, and the records below them."""

from __future__ import annotations

from typing import Any

import pytest

from fogsdk.core.commands import Send, Write
from fogsdk.core.events import LinkUp, NodeHeard, ReplicaHeard, Written
from fogsdk.core.identity import Identity
from fogsdk.core.node import Node
from fogsdk.core.seeking import MOST_ASKED, MOST_SEARCHES
from fogsdk.wire import codec, values
from fogsdk.wire.messages import Birth, Cancel, Gone, Refused, Replica, Result, Seek, TaskInfo
from tests.core import world
from tests.core.world import TASKS, World

MINUTE = 60_000


def site(count: int = 3, seed: int = 1, **options: Any) -> World:
    """Nodes n0, n1, ... that keep records, and the devices dev and two."""
    w = World(seed)
    for number in range(count):
        w.add_node(f"n{number}", keeps=True, express=1, **options)
    w.add_client("dev")
    w.add_client("two")
    w.run(200)
    return w


def receipt(w: World, id: str) -> dict[str, Any]:
    """The receipt that the device dev got."""
    said: dict[str, Any] = values.decode(w.outcome("dev", id).body)
    return said


def record(w: World, node: str, key: str) -> Any:
    return w.peers[node].core.keeping.replicas.store.records.get(key)


def home_of(w: World, key: str) -> str:
    return next(n for n in w.peers if n.startswith("n") and (r := record(w, n, key)) is not None and r.home == n)


def test_a_post_that_is_refused_does_not_run() -> None:
    """Its guardian dies before it has its copy, and there is no other."""
    w = site(2)
    w.submit("dev", "p", "quick", keep=MINUTE, copies=2)
    while not any(record(w, node, "dev/p") for node in ("n0", "n1")):
        w.run(w.now + 1)
    w.crash({"n0": "n1", "n1": "n0"}[home_of(w, "dev/p")])
    out = w.outcome("dev", "p")
    w.run(w.now + 3000)
    assert isinstance(out, Refused)
    assert out.reason == "too-few-nodes"
    assert not w.runs


@pytest.mark.parametrize("data", [b"\xff\xff", codec.encode([Cancel("x")])], ids=["bytes", "another message"])
def test_a_record_that_cannot_be_read_is_an_outcome_that_says_so(data: bytes) -> None:
    w = site(2)
    w.tell(w.peers["n0"], ReplicaHeard("a", "n1", Replica("dev/x", 0, 5, "n0", "", data, MINUTE, True)))
    w.run(w.now + 5000)
    w.submit("two", "f", "fog.fetch", argument="dev/x")
    assert "cannot be read" in w.outcome("two", "f").message


@pytest.mark.parametrize("seed", range(1, 6))
def test_a_forgotten_post_does_not_come_back_with_a_node_that_was_away(seed: int) -> None:
    w = site(3, seed=seed)
    w.submit("dev", "p", "quick", keep=10 * MINUTE)
    said = receipt(w, "p")
    guardian = said["nodes"][1]
    w.crash(guardian)
    w.run(w.now + 3000)
    for id, call in (("f", "fog.fetch"), ("g", "fog.forget")):
        w.submit("two", id, call, argument=said["receipt"])
        assert isinstance(w.outcome("two", id), Result)
    w.run(w.now + 15_000)
    runs = len(w.runs)
    w.add_node(guardian, keeps=True, express=1)
    w.run(w.now + 15_000)
    assert len(w.runs) == runs
    assert not [node for node in ("n0", "n1", "n2") if record(w, node, "dev/p")]


def test_a_post_for_no_time_at_all_is_settled_and_written_a_few_times(monkeypatch: pytest.MonkeyPatch) -> None:
    w = site(2)
    writes: list[Write] = []
    carry_out = w._do

    def counting(peer: Any, command: Any) -> None:
        writes.extend([command] if isinstance(command, Write) else [])
        carry_out(peer, command)

    monkeypatch.setattr(w, "_do", counting)
    w.submit("dev", "p", "quick", keep=0)
    assert receipt(w, "p")["copies"] == 2
    w.run(w.now + 10_000)
    assert len(writes) < 10


def test_heavy_posts_that_wait_for_the_cloud_leave_room_for_light_ones() -> None:
    tasks = {**TASKS, "big": TaskInfo("big", weight="heavy")}
    w = site(1, tasks=tasks)
    w.add_node("cloud", role="cloud", tasks={"big": tasks["big"]})
    w.run(w.now + 500)
    w.crash("cloud")
    w.run(w.now + 500)
    for number in range(40):
        w.submit("dev", f"h{number}", "big", keep=10 * MINUTE)
    w.run(w.now + 2000)
    w.submit("dev", "l", "quick", keep=10 * MINUTE)
    w.submit("dev", "f", "fog.fetch", argument=receipt(w, "l")["receipt"])
    assert isinstance(w.outcome("dev", "f", limit=20_000), Result)


def test_a_task_of_no_declared_weight_that_takes_long_goes_on_being_run_without_a_cloud(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(world.RUNS, "slow", 12_000)
    w = site(2, tasks={**TASKS, "slow": TaskInfo("slow", weight="auto")})
    for number in range(3):
        w.submit("dev", f"t{number}", "slow")
        assert isinstance(w.outcome("dev", f"t{number}", limit=MINUTE * 5), Result)


def test_sessions_begin_again_when_nodes_have_been_gone_for_long() -> None:
    w = site(5)
    w.crash("n3")
    w.crash("n4")
    w.run(w.now + 20 * MINUTE)
    w.submit("dev", "s1", "count", session="fresh", step=1)
    assert isinstance(w.outcome("dev", "s1", limit=w.now + 20_000), Result)


def test_losing_a_node_with_many_records_makes_no_flood_of_questions() -> None:
    node = Node(Identity("n0", "s", workers=2, tasks=dict(TASKS), keeps=True))
    node.handle(LinkUp("a"), 0)
    for number in range(1, 10):
        birth = Birth(1, "fog", 2, tuple(TASKS.values()), (), True)
        node.handle(NodeHeard("a", f"n{number}", birth), 1)
    for number in range(3000):
        kept = Replica(f"dev/{number:032x}", 1, 0, "n1", "n0", b"x", 10**9)
        node.handle(ReplicaHeard("a", "n1", kept), 2)
    node.handle(Written(3000), 3)
    out = node.handle(NodeHeard("a", "n1", Gone(1)), 10)
    assert 0 < sum(isinstance(c, Send) and isinstance(c.message, Seek) for c in out) <= MOST_SEARCHES * MOST_ASKED


@pytest.mark.parametrize("how", ["its home dies", "it was long ago"])
def test_a_step_that_was_taken_is_no_conflict_to_a_caller_who_was_away(how: str) -> None:
    """It is offline when the result of its step comes; another caller steps on; then it comes back."""
    w = site(3)
    w.submit("dev", "s1", "count", session="s", step=1)
    tag = w.outcome("dev", "s1").tag
    home = home_of(w, "session:s")
    w.submit("two", "s2", "count", session="s", step=2, after=tag)
    w.run(w.now + 8)
    w.peers["two"].cut = True
    w.run(w.now + 200)
    w.submit("dev", "look", "fog.session", argument="s")
    said = values.decode(w.outcome("dev", "look").body)
    assert (said["step"], said["by"]) == (2, "two/s2")
    w.submit("dev", "s3", "count", session="s", step=3, after=said["tag"])
    assert isinstance(w.outcome("dev", "s3"), Result)
    if how == "its home dies":
        w.crash(home)
        w.run(w.now + 3000)
    else:
        w.run(w.now + 6 * MINUTE)
        for node in ("n0", "n1", "n2"):  # a later answer pushes the old one out
            w.submit("dev", f"y-{node}", "quick", to=node)
            w.outcome("dev", f"y-{node}", limit=w.now + 20_000)
    w.peers["two"].cut = False
    assert isinstance(w.outcome("two", "s2", limit=w.now + MINUTE), Result)


@pytest.mark.parametrize("seed", range(1, 20))
def test_a_post_that_a_full_disk_turned_away_is_not_erased_at_the_node_that_took_it(seed: int) -> None:
    """The word to erase, which the first node sends again, comes late."""
    w = World(seed, faults=0.1)
    for number in range(3):
        w.add_node(f"n{number}", keeps=True, express=1)
    w.add_client("dev")
    w.add_client("two")
    w.run(200)
    w.broken_disks.add("n2")
    for number in range(4):
        w.submit("dev", f"p{number}", "quick", keep=10 * MINUTE)
    w.run(w.now + 5000)
    w.broken_disks.clear()
    w.run(w.now + 5000)
    for number in range(4):
        w.submit("two", f"f{number}", "fog.fetch", argument=receipt(w, f"p{number}")["receipt"])
        assert isinstance(w.outcome("two", f"f{number}", limit=MINUTE), Result)
