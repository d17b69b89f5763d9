"""docs/protocol.md says what the code does: its grammar, its examples, its tables and its numbers."""

from __future__ import annotations

import hashlib
import json
import re
import shlex
from functools import lru_cache
from typing import Any

import cbor2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fogsdk.core import (
    answers,
    bundler,
    copies,
    entry,
    held,
    ledger,
    membership,
    outcomes,
    outgoing,
    posts,
    presence,
    rendezvous,
    replicas,
    routing,
    seeking,
    sessions,
    store,
    takers,
    transfers,
    waiting,
    work,
)
from fogsdk.errors import TaskRefused
from fogsdk.wire import bundles, codec, limits, messages, topics
from fogsdk.wire.messages import Malformed, Message
from fogsdk.wire.schema import FIELDS, NAMES, TYPES
from tests.wire import document, strategies
from tests.wire.document import blocks, section, tables, unquoted
from tests.wire.test_codec import INNER, LEAST, LIMITS, item

try:
    import pycddl
except ImportError:  # there are wheels for x86-64 alone
    pycddl = None

validated = pytest.mark.skipif(pycddl is None, reason="pycddl is not installed")

# ---------------------------------------------------------------- the grammar

[GRAMMAR] = blocks("cddl")


def alternatives(rule: str) -> list[str]:
    found = re.search(rf"^{rule} = (.*)$", GRAMMAR, re.MULTILINE)
    assert found
    return found[1].split(" / ")


RULES = [rule for group in alternatives("any-message") for rule in alternatives(group)]


@lru_cache
def schema(rule: str) -> Any:
    # What RFC 8610 section 3.8.3 says, a regular expression matches the whole text, this validator has to be told.
    anchored = re.sub(r'\.regexp "(.*)"', r'.regexp "^\1$"', GRAMMAR)
    return pycddl.Schema(f"start = {rule}\n{anchored}")


def rules_for(message: dict[str, Any] | bytes) -> list[str]:
    """The messages of the grammar that this is, asked one by one: this validator is wrong about choices of maps.
    Those of another type it is not: each rule has its one type as a literal, see the test of that."""
    payload = message if isinstance(message, bytes) else cbor2.dumps(message)
    kind = cbor2.loads(payload).get("type")
    return [rule for rule in RULES if type_of(rule) == kind and _is(rule, payload)]


def type_of(rule: str) -> str:
    return rule.removeprefix("readable-")


def _is(rule: str, payload: bytes) -> bool:
    try:
        schema(rule).validate_cbor(payload)
    except pycddl.ValidationError:
        return False
    return True


def test_the_grammar_has_every_message() -> None:
    assert {type_of(rule) for rule in RULES} == TYPES.keys()
    for rule in RULES:
        assert re.search(rf'^{rule} = {{\s+type: "{type_of(rule)}",', GRAMMAR, re.MULTILINE)


@validated
@pytest.mark.parametrize("name", sorted(TYPES))
def test_a_message_is_of_its_own_type_alone(name: str) -> None:
    assert {type_of(rule) for rule in RULES if _is(rule, cbor2.dumps(item(name)))} == {name}


@validated
@pytest.mark.parametrize("name", sorted(strategies.MESSAGES))
@given(data=st.data())
def test_what_the_code_writes_is_in_the_grammar(name: str, data: st.DataObject) -> None:
    message = data.draw(strategies.MESSAGES[name])
    assert rules_for(codec.encode([message])) == [name]


@validated
@given(strategies.MESSAGES["task"] | strategies.MESSAGES["result"])
def test_the_readable_form_is_in_the_grammar(message: Message) -> None:
    fields = json.loads(codec.encode([message], as_json=True))
    assert rules_for(fields) == (["task"] if fields["type"] == "task" else ["readable-result"])


@validated
@given(strategies.misfits(strategies.json_scalars))
def test_grammar_and_code_refuse_the_same(message: dict[str, Any]) -> None:
    """Of messages some of whose fields are wrong, missing or new. That null is left out, and that a body makes the
    readable form unknown, the text says. (In place of numbers and text this validator takes some arrays and maps.)"""
    if "body" in message:
        message = {field: value for field, value in message.items() if field not in ("args", "kwargs", "value")}
    [read] = codec.decode(cbor2.dumps(message))
    kept = ("args", "kwargs", "body", "value")
    written = {field: value for field, value in message.items() if value is not None or field in kept}
    assert bool(rules_for(written)) == (not isinstance(read, Malformed)), read


@validated
@pytest.mark.parametrize(("name", "field", "last", "beyond"), LIMITS)
def test_the_grammar_has_the_limits_of_the_code(name: str, field: str, last: Any, beyond: Any) -> None:
    assert rules_for(item(name, **{field: last})) == [name]
    assert rules_for(item(name, **{field: beyond})) == []


@validated
@pytest.mark.parametrize(("field", "right", "wrong"), [case[:3] for case in INNER])
def test_the_grammar_has_the_limits_of_the_code_within(field: str, right: Any, wrong: Any) -> None:
    assert rules_for(item("birth", **{field: [right]})) == ["birth"]
    assert rules_for(item("birth", **{field: [right, wrong]})) == []


@validated
@pytest.mark.parametrize("wrong", [{}, {"node": "n"}, {"action": "ran"}, {"node": "n", "action": "flew"}, 5,
                                   {"node": "n", "action": "ran", "took": -1.0}])  # fmt: skip
def test_grammar_and_code_refuse_the_same_hops(wrong: Any) -> None:
    message = item("result", hops=[{"node": "n", "action": "ran"}, wrong])
    assert rules_for(message) == []
    assert isinstance(codec.decode(cbor2.dumps(message))[0], Malformed)


@validated
@pytest.mark.parametrize("body", [b"", b"\xff", cbor2.dumps(5), cbor2.dumps([[]]), cbor2.dumps([[], {1: 2}])])
def test_the_grammar_says_what_is_in_a_body(body: bytes) -> None:
    assert rules_for(item("task", body=body)) == []


def test_the_grammar_has_the_size_of_a_batch() -> None:
    assert f"payload = any-message / [ 0*{limits.BATCH_LENGTH} any-message ]" in GRAMMAR


# ---------------------------------------------------------------- the examples

HEX = re.findall(r"```hex\n(.*?)\n```\n\n```cbor-diag\n(.*?)\n```", document.TEXT, re.DOTALL)
JSON = [line for block in blocks("json") for line in block.splitlines()]
COMMANDS = [shlex.split(line) for block in blocks("sh") for line in block.splitlines()]


def test_no_example_is_passed_over() -> None:
    assert len(HEX) == len(blocks("hex")) == len(blocks("cbor-diag")) > 0
    assert {json.loads(line)["type"] for line in JSON} >= {"result", "accepted", "cancelled", "failed", "refused"}


@pytest.mark.parametrize(("octets", "notation"), HEX)
def test_an_example_in_cbor_is_what_it_says(octets: str, notation: str) -> None:
    payload = bytes.fromhex(octets)
    said = document.diagnose(notation)
    assert cbor2.dumps(said) == payload
    batch = codec.decode(payload)
    assert codec.encode(batch) == payload  # type: ignore[arg-type]
    assert [each["type"] for each in (said if isinstance(said, list) else [said])] == [
        NAMES[type(message)] for message in batch
    ]
    if pycddl is not None:
        assert all(rules_for(codec.encode([message])) for message in batch)  # type: ignore[list-item]


@pytest.mark.parametrize("line", JSON)
def test_an_example_in_json_is_what_it_says(line: str) -> None:
    batch = codec.decode(line.encode())
    assert codec.encode(batch, as_json=True).decode() == line  # type: ignore[arg-type]


@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_names_a_topic_and_sends_what_belongs_there(command: list[str]) -> None:
    topic = topics.parse(command[command.index("-t") + 1])
    if command[0] == "mosquitto_sub":
        assert topic.kind == "reply"
        return
    assert topic.kind in ("task", "any-task")
    for message in codec.decode(command[command.index("-m") + 1].encode()):
        assert isinstance(message, (messages.Task, messages.Cancel, messages.Ask, Malformed))


@pytest.mark.parametrize("topic", sorted(set(re.findall(r"`(fog/v1/home/\S+)`", document.TEXT))))
def test_the_topic_of_an_example_is_one(topic: str) -> None:
    topics.parse(topic)


# ---------------------------------------------------------------- the tables

CONSTANTS = {
    "FIRST_CHECK": entry.FIRST_CHECK,
    "BYTES_PER_MS": takers.BYTES_PER_MS,
    "LAST_CHECK": ledger.LAST_CHECK,
    "PROBE_EVERY": takers.PROBE_EVERY,
    "SILENT_AFTER": takers.SILENT_AFTER,
    "WAIT_AGAIN": waiting.WAIT_AGAIN,
    "ACCEPT_AFTER": answers.ACCEPT_AFTER,
    "TELL_EVERY": answers.TELL_EVERY,
    "KEEP_MS": outcomes.KEEP_MS,
    "BEAT_EVERY": presence.BEAT_EVERY,
    "BEAT_TTL": presence.BEAT_TTL,
    "ANNOUNCE_AGAIN": outgoing.ANNOUNCE_AGAIN,
    "ANNOUNCE_LAST": outgoing.ANNOUNCE_LAST,
    "GIVE_UP_AFTER": outgoing.GIVE_UP_AFTER,
    "WHOLE_AFTER": transfers.WHOLE_AFTER,
    "UNSAYABLE_AFTER": transfers.UNSAYABLE_AFTER,
    "SHORTEST_TTL": membership.SHORTEST_TTL,
    "FIRST_BEAT_WITHIN": membership.FIRST_BEAT_WITHIN,
    "SUSPECT_FOR": membership.SUSPECT_FOR,
    "RENAME_EVERY": presence.RENAME_EVERY,
    "NEIGHBOURS": presence.NEIGHBOURS,
    "MOST_CLOUDS": presence.MOST_CLOUDS,
    "MOST_LOSSES": work.MOST_LOSSES,
    "OUTCOMES": outcomes.MOST,
    "OUTCOME_BYTES": outcomes.MOST_BYTES,
    "BEHIND_AGAIN": routing.BEHIND_AGAIN,
    "BEHIND_WITHIN": routing.BEHIND_WITHIN,
    "SEND_AGAIN": copies.SEND_AGAIN,
    "LAST_AGAIN": replicas.LAST_AGAIN,
    "GUARDIAN_WITHIN": replicas.GUARDIAN_WITHIN,
    "PASS_OVER": replicas.PASS_OVER,
    "SEEK_WITHIN": seeking.SEEK_WITHIN,
    "ASK_AGAIN": seeking.ASK_AGAIN,
    "AUDIT_EVERY": copies.AUDIT_EVERY,
    "RECOVER_WITHIN": replicas.RECOVER_WITHIN,
    "LONGEST_BUNDLE": bundles.LONGEST,
    "PAUSE": bundler.PAUSE,
    "SMALL": bundles.SMALL,
    "SESSION_KEEP": sessions.SESSION_KEEP,
    "HEADS": sessions.MOST_HEADS,
    "POSTS": posts.MOST_RUNNING,
    "SEEKS": seeking.MOST_ASKED,
    "RECORDS": store.MOST_RECORDS,
    "RECORD_BYTES": store.MOST_RECORD_BYTES,
    **{name: value for name, value in vars(limits).items() if name.isupper()},
}


def test_every_number_is_the_codes() -> None:
    rows = [*tables(section("Times"))[0], *tables(section("Limits"))[0]]
    assert {unquoted(name): int(value.removesuffix(" ms")) for name, value, _ in rows} == CONSTANTS


def test_every_name_in_capitals_is_a_number_of_the_tables() -> None:
    named = set(re.findall(r"`([A-Z][A-Z_]+)`", document.TEXT))
    assert named == CONSTANTS.keys() | {"TCP_NODELAY"}


def test_the_largest_count_is_the_codes() -> None:
    assert f"an integer from 0 to {2**53}" in " ".join(section("Messages").split())


RECORDS: list[tuple[str, int, type, set[str]]] = [
    *[(f"`{name}`", 0, kind, set(LEAST[name])) for name, kind in TYPES.items()],
    ("`birth`", 1, messages.TaskInfo, {"name"}),
    ("Traces", 0, messages.Hop, {"node", "action"}),
]


@pytest.mark.parametrize(("title", "which", "kind", "required"), RECORDS)
def test_every_field_is_described(title: str, which: int, kind: type, required: set[str]) -> None:
    rows = tables(section(title))[which]
    readable = {messages.Task: {"args", "kwargs"}, messages.Result: {"value"}}.get(kind, set())
    assert {unquoted(row[0]) for row in rows} == set(FIELDS[kind]) | readable
    needed = {unquoted(field) for field, _, default, _ in rows if default == "-"}
    assert needed - readable == required - ({"body"} if kind is messages.Task else set())


def test_every_action_of_a_hop_is_described() -> None:
    named = {unquoted(row[0]) for row in tables(section("Traces"))[1]}
    in_grammar = re.search(r"\baction: (.*),", GRAMMAR)
    assert in_grammar
    assert named == set(re.findall(r'"(\w+)"', in_grammar[1]))


def test_every_topic_is_spelled_as_in_the_code() -> None:
    spelled = [unquoted(row[0]) for row in tables(section("Transport"))[0]]
    written = [
        topics.birth("<site>", "<node>"),
        topics.beat("<site>", "<node>"),
        topics.task("<site>", "<node>", "<sender>"),
        topics.any_task("<site>", "<sender>"),
        topics.reply("<site>", "<sender>"),
        topics.replica("<site>", "<node>", "<sender>"),
    ]
    assert [f"fog/v1/<site>/{topic}" for topic in spelled] == written


def test_every_reason_for_a_refusal_is_described() -> None:
    described = {unquoted(row[0]) for row in tables(section("Refusals"))[0]} - {"any other"}
    known = re.search(r"is one of ([^;]*);", TaskRefused.__doc__ or "")
    assert known
    assert described == set(re.split(r",\s*", known[1]))


def test_the_picture_of_a_task_on_a_node_is_the_table_of_the_code() -> None:
    picture = blocks("mermaid")[1]
    drawn = set(re.findall(r"^\s*(\w+) --> (\w+)", picture, re.MULTILINE))
    steps = {(state.value, after.value) for state, later in held._STEPS.items() for after in later}
    to_done = {step for step in steps if step[1] == "done"}
    assert {begin for begin, _ in to_done} == {state.value for state in held.State} - {"done"}
    assert drawn == steps - to_done


def test_the_order_for_a_key_is_the_codes() -> None:
    rows = [[unquoted(cell) for cell in row] for row in tables(section("A task for any node"))[0]]
    assert [name for _, name, _, _ in rows] == rendezvous.ranked(rows[0][0], sorted(name for _, name, _, _ in rows))
    for place, (key, name, digest, said) in enumerate(rows, 1):
        assert hashlib.blake2b(f"{key}/{name}".encode(), digest_size=8).hexdigest() == digest
        assert place == int(said)


def test_the_access_list_is_the_one_that_comes_with_the_project() -> None:
    ours = (document.ROOT / "broker" / "acl").read_text().splitlines()
    lines = [line for block in blocks("acl") for line in block.splitlines()]
    assert lines
    assert [line for line in lines if line not in ours] == []


def test_every_reference_within_the_document_leads_somewhere() -> None:
    anchors = {heading.lower().replace(" ", "-") for heading in re.findall(r"^#+ (.*)$", document.TEXT, re.MULTILINE)}
    assert set(re.findall(r"\]\(#([^)]*)\)", document.TEXT)) <= anchors
