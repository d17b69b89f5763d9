"""The outbox: messages leave in order and together, within the limits, and none is lost on the way out."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from fogsdk.core.commands import Send
from fogsdk.core.outbox import Outbox
from fogsdk.wire import codec, limits, values
from fogsdk.wire.messages import Ask, Birth, Cancel, Chunk, Failed, Gone, Message, Progress, Result


def packed(*sends: Send) -> list[tuple[str, str, list[Message]]]:
    """What leaves: link, topic and messages of each packet."""
    outbox = Outbox()
    for send in sends:
        outbox.add(send)
    assert bool(outbox) == bool(sends)
    out = [(packet.link, packet.topic, codec.decode(packet.payload)) for packet in outbox.pack()]
    assert not outbox
    assert outbox.pack() == []
    return out  # type: ignore[return-value]


def test_messages_to_one_topic_leave_as_one_batch_in_order() -> None:
    out = packed(Send("a", "t", Ask("1")), Send("a", "t", Cancel("2")), Send("a", "t", Ask("3")))
    assert out == [("a", "t", [Ask("1"), Cancel("2"), Ask("3")])]


def test_links_topics_and_languages_are_kept_apart() -> None:
    out = packed(
        Send("a", "t", Ask("1")),
        Send("b", "t", Ask("2")),
        Send("a", "u", Ask("3")),
        Send("a", "t", Ask("4"), as_json=True),
        Send("a", "t", Ask("5")),
    )
    assert out == [
        ("a", "t", [Ask("1"), Ask("5")]),
        ("b", "t", [Ask("2")]),
        ("a", "u", [Ask("3")]),
        ("a", "t", [Ask("4")]),
    ]


def test_of_what_a_broker_retains_only_the_last_leaves() -> None:
    """A batch of them would be read as if the first held too."""
    births: list[Birth | Gone] = [Birth(1, "fog", 2), Gone(1), Birth(2, "fog", 2)]
    out = packed(*(Send("a", "birth", birth, retain=True) for birth in births))
    assert out == [("a", "birth", [Birth(2, "fog", 2)])]


def test_a_packet_says_whether_it_is_retained() -> None:
    outbox = Outbox()
    outbox.add(Send("a", "birth", Gone(1), retain=True))
    outbox.add(Send("a", "t", Ask("1")))
    assert [packet.retain for packet in outbox.pack()] == [True, False]


def test_a_batch_has_no_more_messages_than_the_protocol_allows() -> None:
    many = limits.BATCH_LENGTH + 1
    out = packed(*(Send("a", "t", Ask(str(number))) for number in range(many)))
    assert [len(messages) for _, _, messages in out] == [limits.BATCH_LENGTH, 1]
    assert [ask.id for _, _, messages in out for ask in messages] == [str(number) for number in range(many)]  # type: ignore[union-attr]


def test_a_chunk_leaves_alone() -> None:
    out = packed(*(Send("a", "t", message) for message in (Ask("1"), Chunk("2", 0, b"x"), Ask("3"))))
    assert [messages for _, _, messages in out] == [[Ask("1")], [Chunk("2", 0, b"x")], [Ask("3")]]


def test_a_batch_is_no_larger_than_the_protocol_allows() -> None:
    body = values.encode(bytes(5 * 1024 * 1024))
    out = packed(*(Send("a", "t", Result(str(number), body)) for number in range(4)))
    assert [message.id for _, _, messages in out for message in messages] == ["0", "1", "2", "3"]  # type: ignore[union-attr]


def test_the_largest_results_leave_each_alone() -> None:
    body = bytes(limits.RECORD_SIZE)
    assert len(packed(Send("a", "t", Result("1", body)), Send("a", "t", Result("2", body)))) == 2


def test_a_result_that_json_cannot_carry_becomes_a_failure_that_says_so() -> None:
    good, bad = Result("good", values.encode(1)), Result("bad", b"\x81" * 100, wait=3)
    packets = packed(*(Send("a", "t", result, as_json=True) for result in (good, bad)))
    first, second = [message for _, _, messages in packets for message in messages]
    assert first == good
    assert isinstance(second, Failed)
    assert (second.id, second.error) == ("bad", "WireError")
    assert "cannot be sent" in second.message


def test_a_result_that_is_too_large_for_json_becomes_a_failure() -> None:
    [(_, _, [failed])] = packed(Send("a", "t", Result("1", values.encode(bytes(limits.RECORD_SIZE - 8))), as_json=True))
    assert isinstance(failed, Failed)
    assert str(limits.MESSAGE_SIZE) in failed.message


def test_results_that_are_too_large_for_json_together_leave_apart() -> None:
    """Six times as long as in CBOR: JSON writes a control character as an escape."""
    body = values.encode("\x01" * 2_000_000)
    out = packed(*(Send("a", "t", Result(id, body), as_json=True) for id in ("1", "2")))
    assert [message.id for _, _, messages in out for message in messages] == ["1", "2"]  # type: ignore[union-attr]


sends = st.builds(
    Send,
    st.sampled_from("ab"),
    st.sampled_from("tu"),
    st.builds(Ask, st.sampled_from("0123456789"))
    | st.builds(Progress, st.just("p"), st.floats(0, 1))
    | st.builds(Result, st.just("r"), st.integers(0, 2_000_000).map(lambda size: values.encode(bytes(size)))),
    st.booleans(),
)


@given(st.lists(sends, max_size=12))
def test_everything_leaves_once_and_in_order(batch: list[Send]) -> None:
    outbox = Outbox()
    for send in batch:
        outbox.add(send)
    left: dict[tuple[str, str, bool], list[str]] = {}
    for packet in outbox.pack():
        assert len(packet.payload) <= limits.MESSAGE_SIZE
        key = (packet.link, packet.topic, codec.is_json(packet.payload))
        left.setdefault(key, []).extend(_id(message) for message in codec.decode(packet.payload))  # type: ignore[arg-type]
    wanted: dict[tuple[str, str, bool], list[str]] = {}
    for send in batch:
        wanted.setdefault((send.link, send.topic, send.as_json), []).append(_id(send.message))
    assert left == wanted


def _id(message: Message) -> str:
    return message.id  # type: ignore[union-attr]
