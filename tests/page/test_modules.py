"""The page's own reading of signatures and of CBOR, held against Python's."""

from __future__ import annotations

import inspect
import math
from pathlib import Path
from typing import Any, Literal, Optional

import cbor2
import numpy as np
import pytest

import fogsdk.node
from fogsdk.tasks import TaskSpec
from fogsdk.wire import values
from tests.page.browser import Browser
from tests.page.site import PageSite

PAGE = Path(fogsdk.node.__file__).parent / "page"


@pytest.fixture
def page(browser: Browser, site: PageSite) -> Browser:
    if not browser.driver.current_url.startswith(site.url):
        browser.open(site.url)
    return browser


def kinds(page: Browser, function: Any) -> list[list[Any]]:
    """Name, kind, whether None is allowed, and the default, of each parameter as the page reads it."""
    text = TaskSpec("task", function).signature
    one = "({ name, type, fallback }) => [name, type.kind, type.none, fallback ?? null]"
    return list(page.load("signature.js", f"it.parse(given[0]).parameters.map({one})", text))


def test_a_signature_is_read_as_python_writes_it(page: Browser) -> None:
    def function(
        a: int,
        b: list[dict[str, int]],
        c: Optional[float] = -1e-3,  # noqa: UP045 - written so by many
        d: int | None = None,
        e: Literal["x, y)", 'it"s'] = "x, y)",
        f: str = "a\n\"b'",
        *args: bytes,
        g: Any = {"k": [1, (2, 3)]},  # noqa: B006 - never called
        h: int | float = 1,
        i: int | str = 0,
        **kwargs: bool,
    ) -> bytes:
        return b""

    assert kinds(page, function) == [
        ["a", "int", False, None],
        ["b", "list", False, None],
        ["c", "float", True, -0.001],
        ["d", "int", True, None],
        ["e", "choice", False, "x, y)"],
        ["f", "str", False, "a\n\"b'"],
        ["args", "list", False, None],
        ["g", "any", False, {}],
        ["h", "float", False, 1],
        ["i", "any", False, 0],
        ["kwargs", "dict", False, None],
    ]


def test_what_is_no_signature_is_said_to_be_none_and_never_raises(page: Browser) -> None:
    def long(window: np.typing.ArrayLike, text: str = ")" * 5000) -> None: ...

    texts = [
        "",
        "()",
        "(",
        "((((",
        "(a b)",
        "(*, a)",
        "(a, /)",
        "(=)",
        "(a: [)",
        str(inspect.signature(long))[:300],
        "(a='\\",
        "\x00",
    ]
    read = page.load("signature.js", "given[0].map((text) => it.parse(text) !== null)", texts)
    assert read == [text in ("()", "(*, a)", "(a, /)") for text in texts]


VALUES = [
    0, 23, 24, 255, 256, 65535, 65536, 2**32, 2**53, 2**63, 2**64 - 1, 2**64, 2**200, -1, -24, -25,
    -(2**64), -(2**64) - 1, -(2**200),
    0.5, -0.0, 1e300, math.inf, True, False, None, "", "Grüße 👋", b"", bytes(300), [], [1, [2, [3]]],
    {}, {"a": {"b": 1}}, "x" * 70_000,
]  # fmt: skip


def test_cbor_goes_there_and_back_unchanged(page: Browser) -> None:
    expression = "[...it.encode(it.decode(Uint8Array.from(given[0])))]"
    for value in VALUES:
        back = bytes(page.load("cbor.js", expression, list(cbor2.dumps(value))))
        assert cbor2.loads(back) == value
        assert math.copysign(1, cbor2.loads(back)) == math.copysign(1, value) if isinstance(value, float) else True


@pytest.mark.parametrize("dtype", ["u1", "<u2", ">u4", "<u8", "i1", ">i2", "<i4", "<i8", "<f2", "<f4", ">f8"])
def test_arrays_of_every_type_are_read(page: Browser, dtype: str) -> None:
    array = np.array([[0, 1, 2], [3, 4, 100]]).astype(dtype)
    expression = "(({ data, shape, type }) => [[...data], shape, type])(it.decode(Uint8Array.from(given[0])))"
    data, shape, kind = page.load("cbor.js", expression, list(values.encode(array)))
    assert (data, shape, kind) == (array.ravel().tolist(), [2, 3], array.dtype.name)


def test_what_is_not_cbor_raises(page: Browser) -> None:
    expression = """given[0].map((bytes) => {
        try { it.decode(Uint8Array.from(bytes)); return "read"; } catch (error) { return error.constructor.name; }
    })"""
    broken = [
        b"",
        b"\x18",
        b"\x5b" + b"\xff" * 8,
        b"\x9b" + b"\xff" * 8,
        b"\x1c",
        b"\xff",
        b"\x00\x00",
        b"\x81" * 100,
        b"\xbf\x01\xff\xff",
    ]
    answers = page.load("cbor.js", expression, [list(each) for each in broken])
    assert all(answer in ("Error", "RangeError") for answer in answers), answers


def test_every_file_says_what_it_is_for_and_has_at_most_400_lines() -> None:
    for path in PAGE.iterdir():
        text = path.read_text()
        assert len(text.splitlines()) <= 400, path.name
        if path.suffix == ".js":
            assert text.startswith("/**\n * "), path.name
            assert "innerHTML" not in text, path.name
