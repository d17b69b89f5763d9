"""Fuzzed inputs: what is valid, in every form that it has, and then changed in the ways in which inputs go wrong.

All of it comes from one ``random.Random``: the same seed gives the same inputs.
"""

from __future__ import annotations

import json
import random
import struct
from collections.abc import Callable
from typing import Any
from urllib.parse import quote

import cbor2

from fogsdk.wire import values

TASKS = ("increment", "give_back", "fail", "zeros", "no_such_task", "fog.report", "fog.fetch", "fog.session", "")
_WORDS: tuple[Any, ...] = (
    None, True, False, 0, 1, -1, 2**31, 2**63, -(2**64), 10**40, 0.5, float("inf"), float("nan"), "", "a", "n1",
    "ü" * 70, "x" * 300, b"", b"\x00" * 8, [], [[]], {}, {"": 0}, {1: 2}, "+", "#", "a/b", "\x00", "-", "fog.", "1h",
)  # fmt: skip


def message(chance: random.Random) -> dict[str, Any]:
    """A message of the protocol, nearly always a valid one."""
    body = values.encode([[chance.choice((1, "text", [1, 2], b"bytes"))], {}])
    id, count = f"{chance.randrange(10**6):x}", chance.randrange(100)
    return chance.choice(
        (
            {"type": "task", "id": id, "name": chance.choice(TASKS), "body": body, "deadline": chance.randrange(3000)},
            {"type": "task", "id": id, "name": "increment", "body": body, "keep": 1000, "copies": 1},
            {"type": "task", "id": id, "name": "count", "body": body, "session": "s", "step": 1 + count, "after": ""},
            {"type": "cancel", "id": id},
            {"type": "ask", "id": id},
            {"type": "accepted", "id": id, "node": "n1", "wait": count},
            {"type": "progress", "id": id, "fraction": count / 100},
            {"type": "result", "id": id, "body": body, "hops": [{"node": "n1", "action": "ran"}]},
            {"type": "failed", "id": id, "error": "E", "message": "m", "traceback": "t"},
            {"type": "refused", "id": id, "node": "n1", "reason": "overloaded", "retry_after": count},
            {"type": "beat", "incarnation": count, "seq": count, "ttl": 100, "queued": count},
            {"type": "gone", "incarnation": count},
            {"type": "birth", "incarnation": count, "role": "fog", "capacity": 0},
            {"type": "replica", "key": "k", "progress": count, "epoch": 0, "home": "x", "guardian": "y", "data": body,
             "left": 1000},
            {"type": "seek", "key": "k"},
            {"type": "kept", "key": "k", "node": "n2"},
            {"type": "transfer", "id": id, "size": 1 + count, "head": body},
            {"type": "chunk", "id": id, "at": count, "data": body},
            {"type": "got", "id": id, "upto": count},
        )
    )  # fmt: skip


def spoilt(chance: random.Random, item: Any, depth: int = 0) -> Any:
    """A value with one thing wrong somewhere in it."""
    if isinstance(item, dict) and item and depth < 4:
        item, key = dict(item), chance.choice(list(item))
        match chance.randrange(4):
            case 0:
                del item[key]
            case 1:
                item[chance.choice(("extra", "", 7, None, "type"))] = item[key]
            case _:
                item[key] = spoilt(chance, item[key], depth + 1)
        return item
    if isinstance(item, list) and item and chance.random() < 0.5:
        at = chance.randrange(len(item))
        return [*item[:at], spoilt(chance, item[at], depth + 1), *item[at + 1 :]]
    return chance.choice(_WORDS)


def torn(chance: random.Random, data: bytes) -> bytes:
    """Bytes that were damaged: flipped, cut, doubled, or with others in between."""
    at = chance.randrange(len(data) + 1)
    match chance.randrange(5):
        case 0:
            return data[:at]
        case 1:
            return data[:at] + chance.randbytes(chance.randrange(1, 9)) + data[at:]
        case 2:
            return data[:at] + data[at + chance.randrange(1, 9) :]
        case 3:
            return data + data[at:]
        case _:
            return bytes(byte ^ (1 << chance.randrange(8)) if chance.random() < 0.05 else byte for byte in data)


def payload(chance: random.Random) -> bytes:
    """What may come in one MQTT message, or as the body of a request."""
    items: Any = [message(chance) for _ in range(chance.choice((1, 1, 1, 2, 5)))]
    items = items[0] if len(items) == 1 else items
    for _ in range(chance.choice((0, 1, 1, 2))):
        items = spoilt(chance, items)
    data = _written(chance, items)
    return torn(chance, data) if chance.random() < 0.4 else data


def _written(chance: random.Random, items: Any) -> bytes:
    if chance.random() < 0.3:
        return json.dumps(items, default=str, skipkeys=True).encode()
    try:
        return cbor2.dumps(items)
    except (TypeError, ValueError, OverflowError):
        return b"\xff"


# ---------------------------------------------------------------- requests


def arguments(chance: random.Random) -> tuple[bytes, bool]:
    """The body of a request for a task, and whether it is CBOR."""
    item: Any = {"args": [chance.randrange(100)], "kwargs": {}}
    for _ in range(chance.choice((0, 0, 1, 2))):
        item = spoilt(chance, item)
    in_cbor = chance.random() < 0.5
    try:
        data = cbor2.dumps(item) if in_cbor else json.dumps(item, default=str, skipkeys=True).encode()
    except (TypeError, ValueError, OverflowError):
        data = b""
    return (torn(chance, data) if chance.random() < 0.3 else data), in_cbor


_OPTIONS: tuple[Callable[[random.Random], str], ...] = (
    lambda chance: f"id={chance.randrange(10**6):x}",
    lambda _: "sender=fuzz",
    lambda chance: f"deadline={chance.choice(('1s', '0', '-1', 'x', '1e400', '9' * 30))}",
    lambda chance: f"priority={chance.choice(('1', '-101', 'x', '9' * 30))}",
    lambda chance: f"keep={chance.choice(('1s', 'never'))}",
    lambda chance: f"wait={chance.choice(('0', '0.01s', 'x'))}",
    lambda chance: quote(chance.randbytes(chance.randrange(12))),
)


def path(chance: random.Random) -> str:
    """Where a request goes, its query included."""
    where = chance.choice(
        (
            "/fog/v1/tasks", "/fog/v1/nodes", "/.well-known/core", "/fog/v1/openapi.json", "/", "/app.js",
            "/../../etc/passwd", "/fog/v1/phone", "/fog/v1/invite", "/fog/v1/outcomes/fuzz/1", "/fog/v1/messages/fuzz",
            "//", "/%00", "/fog/v2", *(f"/fog/v1/tasks/{name}" for name in TASKS), "/fog/v1/tasks/increment/1",
            f"/fog/v1/tasks/{quote('ü' * 90)}",
        )
    )  # fmt: skip
    options = "&".join(chance.choice(_OPTIONS)(chance) for _ in range(chance.choice((0, 1, 1, 2, 3))))
    return f"{where}?{options}" if options else where


def http_request(chance: random.Random) -> bytes:
    """One request of HTTP/1.1."""
    body, in_cbor = arguments(chance)
    method = chance.choice(("GET", "POST", "POST", "POST", "DELETE", "PUT", "OPTIONS", "HEAD", "BREW", ""))
    length = len(body) if chance.random() < 0.95 else chance.choice((-1, 10**20, 0))
    headers = [
        chance.choice(("Host: 127.0.0.1", "Host: 127.0.0.1", "Host: 127.0.0.1", "Host: evil.example", "")),
        f"Content-Type: application/{'cbor' if in_cbor else 'json'}",
        f"Content-Length: {length}",
        f"Accept: {chance.choice(('*/*', 'application/cbor', 'text/event-stream', 'q=,;', 'x' * 300))}",
        chance.choice(("Prefer: respond-async", "Origin: http://evil.example", "Expect: 100-continue", "X: \x7f", "")),
        "Connection: close",
    ]
    head = "\r\n".join([f"{method} {path(chance)} HTTP/1.1", *filter(None, headers)])
    data = head.encode() + b"\r\n\r\n" + body
    return torn(chance, data) if chance.random() < 0.3 else data


def datagram(chance: random.Random) -> bytes:
    """One CoAP message (RFC 7252, section 3)."""
    body, in_cbor = arguments(chance)
    where, _, query = path(chance).partition("?")
    options = [(11, part.encode()[:255]) for part in where.split("/")[1:]]
    options += [(12, b"\x3c" if in_cbor else b"\x32")]
    options += [(15, part.encode()[:255]) for part in query.split("&") if part]
    if chance.random() < 0.3:
        options.append((chance.choice((6, 17, 23, 27, 60, 9, 35, 65000)), chance.randbytes(chance.randrange(4))))
    kind, code = chance.randrange(4), chance.choice((1, 2, 2, 2, 3, 4, 0, 5, 69, 255))
    token = chance.randbytes(chance.randrange(9))
    head = struct.pack("!BBH", 0x40 | kind << 4 | len(token), code, chance.randrange(65536)) + token
    data = head + _options(sorted(options, key=lambda option: option[0])) + (b"\xff" + body if body else b"")
    return torn(chance, data) if chance.random() < 0.4 else data


def _options(options: list[tuple[int, bytes]]) -> bytes:
    out, number = b"", 0
    for next_number, value in options:
        (delta, delta_more), (length, length_more) = _nibble(next_number - number), _nibble(len(value))
        out += bytes([delta << 4 | length]) + delta_more + length_more + value
        number = next_number
    return out


def _nibble(value: int) -> tuple[int, bytes]:
    if value < 13:
        return value, b""
    return (13, bytes([value - 13])) if value < 269 else (14, struct.pack("!H", value - 269))
