"""Pieces of large bodies that come from anywhere, in any order: memory stays bounded, nothing raises, and what is put
together is what was sent."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from fogsdk.core.bodies import body_of, id_of_record
from fogsdk.core.commands import Send
from fogsdk.core.events import Carried, LinkDown, LinkUp, NodeHeard, Submit, Tick
from fogsdk.core.incoming import Incoming
from fogsdk.core.outgoing import Outgoing
from fogsdk.wire import codec, topics
from fogsdk.wire.limits import INLINE_SIZE
from fogsdk.wire.messages import Birth, Cancel, Chunk, Got, Replica, Result, Task, TaskInfo, Transfer
from tests.core.large_world import Chunked, Client, LargeWorld, allocate

ROOM = 100_000
SIZES = st.integers(1, 2 * ROOM)
IDS = st.sampled_from(["t1", "t2", id_of_record("k")])
RECORD = Replica("k", 0, 0, "d1", "n1", b"", 1000)
TAGS = st.sampled_from(["", "x"])
HEADS = st.sampled_from(
    [codec.encode([message]) for message in (
        Task("t1", "quick", b""), Task("t2", "quick", b"", 0), Task("t2", "quick", b"full"), Result("t1", b""),
        Result("t2", b""), Cancel("t1"), RECORD, replace(RECORD, data=b"full"))] + [b"", b"\xff", codec.encode([])]
)  # fmt: skip
NODES = st.sampled_from(["", "n1", "n2"])
PIECES = st.one_of(
    st.builds(Transfer, IDS, SIZES, HEADS, TAGS, NODES),
    st.builds(Chunk, IDS, SIZES, st.binary(max_size=64) | st.integers(0, 60_000).map(bytes), TAGS, NODES),
    st.builds(Got, IDS, SIZES, st.booleans(), TAGS, NODES),
)
EVENTS = st.one_of(
    st.builds(Carried, st.just("a"), st.sampled_from(["", "d1", "d2"]), PIECES, st.booleans()),
    st.sampled_from([LinkUp("a"), LinkDown("a"), Tick()]),
)


@settings(max_examples=60)
@given(st.lists(EVENTS, max_size=20), st.lists(st.sampled_from([0, 1, 300, 3000]), min_size=20, max_size=20))
def test_pieces_that_make_no_sense_do_no_harm(events: list[Any], waits: list[int]) -> None:
    """Lying sizes, overlapping chunks, transfers that never end, acknowledgements of what was not sent."""
    world = LargeWorld(1, room=ROOM)
    for name in ("n1", "n2"):
        world.add_node(name, keeps=True)
    world.add_client("c1")
    world.soon(lambda: len(world.peers["c1"].core.directory.members) == 2)
    world.submit_large("c1", "t1", 300_000)
    for event, wait in zip(events, waits, strict=False):
        for name in ("n1", "c1"):
            world.tell(world.peers[name], event)
            assert world.transfers(name).incoming_bytes <= 2 * ROOM, "tasks and results, and copies"
        world.run(world.now + wait)


@given(st.binary(min_size=1, max_size=200), st.data())
def test_what_is_put_together_is_what_was_sent(body: bytes, data: st.DataObject) -> None:
    """Chunks come in any order, again, cut anew; some that go beyond the end, or begin there, are dropped."""
    incoming = Incoming("a", Task("t", "n", b""), "", "n1", allocate(len(body)), 0, 0, 0)
    for _ in range(data.draw(st.integers(0, 30))):
        before = incoming.upto
        at, end = sorted(data.draw(st.tuples(st.integers(0, len(body)), st.integers(0, len(body)))))
        overlong = data.draw(st.integers(0, 9)) == 0
        chunk = body[at:end] + (bytes(len(body) + 1) if overlong else b"")
        incoming.take(Chunk("t", at, chunk), 0)
        assert incoming.upto == (end if at <= before < end and not overlong else before)
    incoming.take(Chunk("t", incoming.upto, body[incoming.upto :]), 0)
    assert incoming.is_whole
    assert bytes(body_of(incoming.message(0))) == body


FAULTS = ("lose", "double", "swap", "restart sender", "restart receiver")


@settings(max_examples=50)
@given(
    st.integers(1, 2_000_000),
    st.lists(st.sampled_from([*FAULTS, "ok", "ok", "ok"]), max_size=60),
)
def test_a_body_gets_there_whatever_the_way_does(size: int, faults: list[str]) -> None:
    """Chunks and acknowledgements are lost, doubled and swapped, and either side forgets all it knew."""
    body = bytes(range(256)) * (size // 256 + 1)
    task = Task("t", "n", body[:size])
    now = 0
    outgoing, incoming = _sender(task, now), _receiver(size)
    way: list[Any] = [outgoing.announce(now).message]
    whole = b""
    while not outgoing.is_over:
        now += 1
        fault = faults.pop() if faults else "ok"
        if fault == "lose" and way:
            way.pop(0)
        elif fault == "double" and way:
            way.insert(0, way[0])
        elif fault == "swap" and len(way) > 1:
            way[0], way[1] = way[1], way[0]
        elif fault == "restart sender":
            outgoing = _sender(task, now)
            way.append(outgoing.announce(now).message)
        elif fault == "restart receiver":
            incoming = _receiver(size)
        if not way:
            now = max(now, outgoing.due)
            way.append(outgoing.announce(now).message)
        message = way.pop(0)
        if isinstance(message, Got):
            way += [send.message for send in outgoing.got(message, now)]
        elif isinstance(message, Chunk):
            got = incoming.take(message, now)
            way += [] if got is None else [got]
            whole = bytes(incoming.buffer.view()) if incoming.is_whole else whole
        else:
            way.append(incoming.announced("a", Task("t", "n", b""), now))
        assert now < 1_000_000, "it never ends"
    assert whole == task.body


def _sender(task: Task, now: int) -> Outgoing:
    return Outgoing("a", topics.task("s", "n1", "c1"), task, "", "", now, now)


def _receiver(size: int) -> Incoming:
    return Incoming("a", Task("t", "n", b""), "", "n1", allocate(size), 0, 0, 0)


def test_a_sender_alone_leaves_half_of_the_room_to_the_others() -> None:
    world = LargeWorld(1, room=ROOM)
    world.add_node("n1")
    transfers, size = world.transfers("n1"), ROOM // 4 - 100
    for index in range(10):
        id = f"t{index}"
        head = codec.encode([Task(id, "quick", b"")])
        transfers.handle(Carried("a", "d1", Transfer(id, size, head)), 0)
    assert transfers.incoming_bytes == 2 * (size + len(head))
    transfers.handle(Carried("a", "d2", Transfer("t1", size, codec.encode([Task("t1", "quick", b"")]))), 0)
    assert transfers.incoming_bytes == 3 * (size + len(head))


def test_progress_of_an_upload_is_a_sign_of_life() -> None:
    """The node is not asked, and the task not given to another, however long the upload takes."""
    client = Client("s", "c1")
    core = Chunked(client, "c1", "1", ROOM, INLINE_SIZE)
    birth = Birth(1, "fog", 2, (TaskInfo("quick"),))
    core.handle(LinkUp("a"), 0)
    for node in ("n1", "n2"):
        core.handle(NodeHeard("a", node, birth), 0)
    [announced] = core.handle(Submit(Task("t1", "quick", bytes(600_000))), 0)
    assert isinstance(announced, Send)
    node = topics.parse(announced.topic).node
    core.handle(Carried("a", "", Got("t1", 0, True, "", node)), 1)
    for upto in range(100):
        now = 200 * (upto + 1)
        sent = []
        while (due := core.deadline()) is not None and due <= now:
            sent += core.handle(Tick(), due)
        sent += core.handle(Carried("a", "", Got("t1", 1000 * (upto + 1), False, "", node)), now)
        assert all(isinstance(send, Send) and isinstance(send.message, Chunk) for send in sent)
        assert client.ledger.entries["t1"].taker == node
