"""The C codec of the firmware examples against the fog's own: every message, nonsense, and its memory."""

from __future__ import annotations

import contextlib
import math
import re
import subprocess
from pathlib import Path
from typing import Any

import cbor2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fogsdk.wire import codec, messages, schema, values
from fogsdk.wire.messages import Failed, Message, Progress, Refused, Result
from tests.docs.readme import ROOT
from tests.firmware import clibrary
from tests.firmware.clibrary import BUILD, Writer
from tests.wire import strategies

REPLIES = [each for name, each in strategies.MESSAGES.items() if name in clibrary.TYPES]
MOST_RAM = 4096
FUZZ_SECONDS = 5

scalars = (
    st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False)
    | st.text(st.characters(blacklist_characters="\0", blacklist_categories=["Cs"])) | st.binary()
)  # fmt: skip
items = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text("abc"), inner, max_size=4)
)


def fields(message: Message) -> dict[str, Any]:
    """A message with the fields that the C code knows; those that it lacks are as C has them."""
    got: dict[str, Any] = dict.fromkeys(("id", "node", "error", "message", "reason", "instead"), "")
    got.update(type="", retry_after=0, fraction=0.0, value=b"")
    got.update({name: value for name, value in codec.fields(message, False).items() if name in got})
    if isinstance(message, Result):
        got["value"] = message.body
    if got["type"] not in clibrary.TYPES:
        got["type"] = ""
    got["retry_after"] = min(got["retry_after"], 2**32 - 1)
    return got


@given(st.lists(st.one_of(REPLIES), max_size=4))
def test_every_reply_and_batch_of_replies_is_read(batch: list[Message]) -> None:
    assert clibrary.replies(codec.encode(batch)) == [fields(message) for message in batch]


@given(st.one_of(strategies.messages))
def test_messages_that_are_none_of_a_device_s_business_are_passed_over(message: Message) -> None:
    [read] = clibrary.replies(codec.encode([message]))
    assert (read["type"] != "") == isinstance(message, messages_of_replies())


def messages_of_replies() -> tuple[type, ...]:
    return tuple(schema.TYPES[name] for name in clibrary.TYPES if name)


@given(items)
def test_values_are_read_as_they_were_written(item: Any) -> None:
    for data in (cbor2.dumps(item), cbor2.dumps(item, canonical=True)):
        assert clibrary.loads(data) == item
        assert clibrary.skips(data + b"\x01") == len(data)


@given(st.lists(items, max_size=3), strategies.ids, st.integers(0, 2**32 - 1))
def test_what_c_writes_the_fog_reads(args: list[Any], id: str, deadline: int) -> None:
    payload = Writer().task(args, id=id.encode(), name=b"mean", deadline=deadline)
    [task] = codec.decode(payload)
    assert isinstance(task, messages.Task)
    assert (task.id, task.name, task.deadline, task.keep) == (id, "mean", deadline or None, None)
    assert values.decode(task.body) == [args, {}]
    assert cbor2.loads(Writer().body(args)) == {"args": args}
    for room in {0, 1, len(payload) // 2, len(payload) - 1}:
        with pytest.raises(OverflowError, match=str(len(payload))):
            Writer(room).task(args, id=id.encode(), name=b"mean", deadline=deadline)


@pytest.mark.parametrize(
    ("data", "value"),
    [
        ("9f0102ff", [1, 2]), ("bf6161f6ff", {"a": None}), ("c11a514b67b0", 1363896240), ("f7", None),
        ("f90001", 2.0**-24), ("f97c00", math.inf), ("f9fc00", -math.inf), ("f93c00", 1.0), ("f97bff", 65504.0),
        ("fa3fc00000", 1.5), ("1bffffffffffffffff", 2.0**64), ("3bffffffffffffffff", -(2.0**64)), ("80", []),
    ],
)  # fmt: skip
def test_what_the_fog_does_not_write_is_read_too(data: str, value: Any) -> None:
    assert clibrary.loads(bytes.fromhex(data)) == value


def test_text_in_chunks_is_passed_over() -> None:
    message = bytes.fromhex("bf 64 74797065 66 726573756c74 62 6964 7f 61 61 61 62 ff 64 6e6f6465 62 6e31 ff")
    [read] = clibrary.replies(message)
    assert (read["type"], read["id"], read["node"]) == ("result", "", "n1")


def test_not_a_number_stays_that() -> None:
    assert math.isnan(clibrary.loads(bytes.fromhex("f97e00")))


@given(strategies.damaged())
def test_damaged_messages_do_no_harm(payload: bytes) -> None:
    """Undefined behaviour ends the process: it is built with -fsanitize=undefined."""
    with contextlib.suppress(UnicodeDecodeError):  # text that is none: C does not look into it
        clibrary.replies(payload)


def test_it_uses_no_heap_and_nothing_of_the_system() -> None:
    clibrary.make("ram")
    for name, allowed in (
        ("fog.o", {"memcpy", "memcmp", "memset", "strlen"}),
        ("fog_call.o", {"fog_is", "memcpy", "memset"}),
    ):
        done = subprocess.run(["nm", "-u", BUILD / name], capture_output=True, text=True, check=True)
        assert set(done.stdout.split()) - {"U"} <= allowed


def test_its_memory_is_below_4_kib_and_as_the_readme_says() -> None:
    """Measured: the readme's figures came from another compiler perhaps, so a tenth more is the same."""
    said = clibrary.make("ram")
    [ram] = re.findall(r"^ram (\d+) bytes", said, re.MULTILINE)
    assert int(ram) <= MOST_RAM
    written = dict(
        re.findall(r"^(\w+) (\d+) bytes", (ROOT / "firmware_examples/c/README.md").read_text(), re.MULTILINE)
    )
    for what, figure in re.findall(r"^(\w+) (\d+) bytes", said, re.MULTILINE):
        assert abs(int(figure) - int(written[what])) <= 0.1 * int(written[what]) + 64, f"{what}: {figure}"


def test_some_seconds_of_nonsense(tmp_path: Path) -> None:
    """libFuzzer, begun with messages that are none; `make fuzz` goes on for longer."""
    corpus = BUILD / "corpus"
    corpus.mkdir(exist_ok=True)
    seeds: list[Message] = [
        Result("k1-1", values.encode({"fan": True, "sleep": 600, "at": [1.5, -3, None, b"x", "y"]}), wait=3, tag="t"),
        Refused("k1-1", "pi-1", "elsewhere", "ask pi-2", None, "pi-2"),
        Refused("k1-1", "pi-1", "overloaded", "", 120),
        Failed("k1-1", "ValueError", "no", "at line 1"),
        Progress("k1-1", 0.5),
    ]
    for number, message in enumerate(seeds):
        (corpus / f"seed-{number}").write_bytes(codec.encode([message]))
    (corpus / "seed-batch").write_bytes(codec.encode(seeds))
    said = clibrary.make("fuzz", f"SECONDS={FUZZ_SECONDS}", f"CORPUS={corpus}")
    [runs] = re.findall(r"number_of_executed_units: (\d+)", said)
    assert int(runs) > 1000
