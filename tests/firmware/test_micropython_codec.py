"""The CBOR codec of the MicroPython examples: what it writes is read by cbor2, and the reverse; nonsense is refused."""

from __future__ import annotations

import contextlib
import math
import random
from pathlib import Path
from typing import Any

import cbor2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from firmware_examples.micropython import fogcbor as untyped
from tests.firmware.board import FILES, RealBoard
from tests.support.processes import Processes

fogcbor: Any = untyped

CHECK = """
import hostfiles
from binascii import hexlify, unhexlify
from fogcbor import dumps, loads
for line in hostfiles.read("vectors").split("\\n"):
    try:
        print(hexlify(dumps(loads(unhexlify(line)))).decode())
    except ValueError:
        print("refused")
"""

ITEMS = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**64), 2**64 - 1) | st.floats(allow_nan=False) | st.text() | st.binary(),
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(st.text() | st.integers(-9, 2**40), inner, max_size=5),
    max_leaves=20,
)


@given(ITEMS)
def test_the_board_s_cbor_is_everybody_s(item: object) -> None:
    assert cbor2.loads(fogcbor.dumps(item)) == item
    assert fogcbor.loads(cbor2.dumps(item)) == item
    assert fogcbor.loads(cbor2.dumps(item, canonical=True)) == item, "floats in 16, 32 and 64 bits"


@pytest.mark.parametrize(
    ("data", "item"),
    [
        ("9f0102ff", [1, 2]), ("bf6161f6ff", {"a": None}), ("7f61616162ff", "ab"), ("5f41004101ff", b"\0\1"),
        ("c11a514b67b0", 1363896240), ("f7", None), ("f90001", 2.0**-24), ("f97c00", float("inf")), ("f93c00", 1.0),
        ("d84e48010000000200ffff", [1, -65534]), ("d8554800000040000080bf", [2.0, -1.0]),
        ("d82882820102d84043010203", [[1, 2], [1, 2, 3]]),
        ("a1820102f5", {"[1, 2]": True}),
    ],
)  # fmt: skip
def test_what_cbor2_does_not_write_is_read_too(data: str, item: object) -> None:
    """Lengths that are not said, tags, half floats, typed arrays, and keys that Python cannot have."""
    assert fogcbor.loads(bytes.fromhex(data)) == item


@given(st.binary(max_size=60))
def test_nonsense_is_a_value_error_and_nothing_worse(data: bytes) -> None:
    with contextlib.suppress(ValueError):
        fogcbor.loads(data)


@pytest.mark.parametrize(
    "data", [b"", b"\x81" * 30 + b"\0", b"\xff", b"\x9f\0", b"\x1c", b"\0\0", b"\x9b" + b"\xff" * 8]
)
def test_what_is_cut_short_or_nested_too_deep_is_a_value_error(data: bytes) -> None:
    with pytest.raises(ValueError, match=r"."):
        fogcbor.loads(data)


def test_the_codec_has_fewer_than_150_lines() -> None:
    assert len((FILES / "fogcbor.py").read_text().splitlines()) < 150


def test_the_real_micropython_reads_and_writes_the_same(tmp_path: Path, processes: Processes) -> None:
    """300 random items and 300 that were damaged: what CPython makes of each, MicroPython makes of it."""
    dice = random.Random(7)
    items = [cbor2.dumps(some_item(dice), canonical=bool(number % 2)) for number in range(300)]
    vectors = [*items, *(damaged(dice, item) for item in items)]
    board = RealBoard(tmp_path / "flash", processes)
    (board.flash / "vectors").write_text("\n".join(vector.hex() for vector in vectors))
    (board.flash / "check.py").write_text(CHECK)
    program = board.power_on("check.py")
    assert program.wait() == 0, program.output
    board.close()
    answers = program.output.split()
    assert len(answers) == len(vectors)
    for vector, answer in zip(vectors, answers, strict=True):
        assert same(read(vector), "refused" if answer == "refused" else cbor2.loads(bytes.fromhex(answer))), (
            vector.hex()
        )


def some_item(dice: random.Random, depth: int = 3) -> Any:
    """Any value that the codec takes."""
    kind = dice.randrange(9 if depth else 7)
    if kind >= 7:
        inner = [some_item(dice, depth - 1) for _ in range(dice.randrange(5))]
        return inner if kind == 7 else {f"key {index}": value for index, value in enumerate(inner)}
    number = dice.getrandbits(dice.choice((3, 7, 15, 31, 62)))
    choices = (
        None,
        True,
        number,
        -number,
        dice.gauss(0, 1e6),
        "gr\u00fc\u00df " * dice.randrange(9),
        dice.randbytes(dice.randrange(40)),
    )
    return choices[kind]


def damaged(dice: random.Random, item: bytes) -> bytes:
    """One byte of it changed, or its end cut off."""
    at = dice.randrange(len(item))
    return item[:at] + (bytes([dice.randrange(256)]) + item[at + 1 :] if dice.random() < 0.7 else b"")


def read(data: bytes) -> Any:
    """What the codec makes of it here, and writes again."""
    try:
        return cbor2.loads(fogcbor.dumps(fogcbor.loads(data)))
    except ValueError:
        return "refused"


def same(a: Any, b: Any) -> bool:
    """Whether they are, not a number being the same as itself."""
    if isinstance(a, float) and isinstance(b, float) and math.isnan(a) and math.isnan(b):
        return True
    if isinstance(a, list) and isinstance(b, list):
        return len(a) == len(b) and all(map(same, a, b))
    if isinstance(a, dict) and isinstance(b, dict):
        return a.keys() == b.keys() and all(same(a[key], b[key]) for key in a)
    return type(a) is type(b) and bool(a == b)
