"""Topics: what one says is what was put in, and nothing else is read out of any text."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fogsdk.errors import WireError
from fogsdk.wire import topics
from fogsdk.wire.limits import ID_LENGTH
from fogsdk.wire.topics import Topic
from tests.wire.strategies import ids


@given(ids, ids, ids)
def test_every_topic_says_what_was_put_into_it(site: str, node: str, sender: str) -> None:
    assert topics.parse(topics.birth(site, node)) == Topic("birth", site, node)
    assert topics.parse(topics.beat(site, node)) == Topic("beat", site, node)
    assert topics.parse(topics.task(site, node, sender)) == Topic("task", site, node, sender)
    assert topics.parse(topics.replica(site, node, sender)) == Topic("replica", site, node, sender)
    assert topics.parse(topics.any_task(site, sender)) == Topic("any-task", site, sender=sender)
    assert topics.parse(topics.reply(site, sender)) == Topic("reply", site, sender=sender)


def test_topics_are_spelled_as_the_specification_says() -> None:
    assert topics.birth("home", "pi-1") == "fog/v1/home/node/pi-1/birth"
    assert topics.beat("home", "pi-1") == "fog/v1/home/node/pi-1/beat"
    assert topics.task("home", "pi-1", "phone") == "fog/v1/home/node/pi-1/task/phone"
    assert topics.replica("home", "pi-1", "pi-2") == "fog/v1/home/node/pi-1/replica/pi-2"
    assert topics.any_task("home", "phone") == "fog/v1/home/task/phone"
    assert topics.reply("home", "phone") == "fog/v1/home/reply/phone"


def test_without_a_name_a_topic_is_the_filter_for_all_of_them() -> None:
    assert topics.birth("home") == "fog/v1/home/node/+/birth"
    assert topics.task("home", "pi-1") == "fog/v1/home/node/pi-1/task/+"
    assert topics.replica("home", "pi-1") == "fog/v1/home/node/pi-1/replica/+"
    assert topics.any_task("home") == "fog/v1/home/task/+"


LEVELS = st.sampled_from(
    ["fog", "v1", "v2", "node", "task", "reply", "birth", "beat", "replica", "home", "", "+", "#", "Ä"]
)


@given(st.text() | st.lists(LEVELS | st.text(max_size=3), max_size=9).map("/".join))
def test_any_text_is_a_topic_or_a_wire_error(text: str) -> None:
    topic = parse_or_none(text)
    assert topic is None or text.split("/")[:3] == ["fog", "v1", topic.site]


def parse_or_none(text: str) -> Topic | None:
    try:
        return topics.parse(text)
    except WireError:
        return None


@pytest.mark.parametrize("field", ["site", "node", "sender"])
def test_what_is_no_id_is_refused_and_the_level_named(field: str) -> None:
    levels = {"site": "home", "node": "pi-1", "sender": "phone"} | {field: "Phone"}
    with pytest.raises(WireError) as caught:
        topics.parse("fog/v1/{site}/node/{node}/task/{sender}".format(**levels))
    assert caught.value.field == field


def test_an_id_has_up_to_64_characters() -> None:
    assert topics.check_id("a" * ID_LENGTH, "id") == "a" * ID_LENGTH
    with pytest.raises(WireError, match="id: must be 1 to 64"):
        topics.check_id("a" * (ID_LENGTH + 1), "id")


@pytest.mark.parametrize("bad", ["", "A", "a_b", "a/b", "a\n", "ä", "a b", "+", "#", None, 5, b"a", ["a"]])
def test_what_is_no_id_is_refused(bad: object) -> None:
    with pytest.raises(WireError) as caught:
        topics.check_id(bad, "sender")
    assert caught.value.field == "sender"


def test_a_long_wrong_id_does_not_fill_the_error() -> None:
    with pytest.raises(WireError) as caught:
        topics.check_id("?" * 1_000_000, "id")
    assert len(str(caught.value)) < 200
