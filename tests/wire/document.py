"""docs/protocol.md taken apart: its code blocks, its tables, and the diagnostic notation of its examples."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cbor2

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "docs" / "protocol.md").read_text()

_BLOCK = re.compile(r"^```(\S+)\n(.*?)\n```$", re.DOTALL | re.MULTILINE)


def blocks(language: str) -> list[str]:
    """The code blocks in one language."""
    return [body for name, body in _BLOCK.findall(TEXT) if name == language]


def section(title: str) -> str:
    """What stands under a heading, as far as the next heading of any level."""
    found = re.search(rf"^#+ {re.escape(title)}\n(.*?)(?=^#|\Z)", TEXT, re.DOTALL | re.MULTILINE)
    assert found, f"there is no section {title!r}"
    return found[1]


def tables(text: str) -> list[list[list[str]]]:
    """The tables in a text: rows of cells, without the heads."""
    found = re.findall(r"(?:^\|.*\|\n)+", text, re.MULTILINE)
    return [
        [[cell.strip() for cell in line.strip("|").split("|")] for line in table.splitlines()[2:]] for table in found
    ]


def unquoted(cell: str) -> str:
    """A cell that holds one word of the protocol."""
    return cell.strip("`")


_TOKEN = re.compile(r"\s*(<<|>>|h'[0-9a-f]*'|\"(?:[^\"\\]|\\.)*\"|-?[0-9.]+(?:e[+-]?\d+)?|[a-z]+|[][{}(),:])")


def diagnose(text: str) -> Any:
    """Read CBOR in diagnostic notation (RFC 8949 section 8, RFC 8610 appendix G), as far as it is used here."""
    tokens = iter([*_TOKEN.findall(text), ""])
    value = _value(next(tokens), tokens)
    assert next(tokens) == "", "there is more than one value"
    return value


def _value(token: str, rest: Iterator[str]) -> Any:
    if token == "{":
        return dict(_pairs(rest))
    if token == "[":
        return list(_items(rest))
    if token == "<<":
        inner = _value(next(rest), rest)
        assert next(rest) == ">>"
        return cbor2.dumps(inner)
    if token.startswith("h'"):
        return bytes.fromhex(token[2:-1])
    return json.loads(token)


def _items(rest: Iterator[str]) -> Iterator[Any]:
    token = next(rest)
    while token != "]":
        value = _value(token, rest)
        token = next(rest)
        if token == "(":
            value = cbor2.CBORTag(value, _value(next(rest), rest))
            assert next(rest) == ")"
            token = next(rest)
        yield value
        token = next(rest) if token == "," else token


def _pairs(rest: Iterator[str]) -> Iterator[tuple[Any, Any]]:
    token = next(rest)
    while token != "}":
        key = _value(token, rest)
        assert next(rest) == ":"
        yield key, _value(next(rest), rest)
        token = next(rest)
        token = next(rest) if token == "," else token
