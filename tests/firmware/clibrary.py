"""The C codec of the firmware examples, built with the sanitizer of undefined behaviour, and called from Python."""

from __future__ import annotations

import ctypes
import fcntl
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from ctypes import POINTER, Structure, c_bool, c_char_p, c_double, c_int, c_int64, c_size_t, c_uint32
from functools import cache
from typing import Any

from tests.docs.readme import ROOT

C = ROOT / "firmware_examples" / "c"
BUILD = ROOT / "build" / "firmware"
UNTOLD = c_size_t(-1).value
END, INT, DOUBLE, BOOL, NULL, TEXT, BYTES, ARRAY, MAP = range(9)
TYPES = ("", "accepted", "progress", "result", "failed", "refused", "deadline-exceeded", "cancelled")


@contextmanager
def building() -> Iterator[None]:
    """Tests that run side by side build in the same folder: one after the other."""
    BUILD.mkdir(parents=True, exist_ok=True)
    with (BUILD / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def make(*words: str) -> str:
    """Run the examples' own Makefile; returns what it printed."""
    command = ["make", "-s", "-C", str(C), f"BUILD={BUILD}", *words]
    with building():
        done = subprocess.run(command, capture_output=True, text=True, timeout=240, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


class Out(Structure):
    _fields_ = (("data", ctypes.c_void_p), ("room", c_size_t), ("size", c_size_t))


class In(Structure):
    _fields_ = (("at", ctypes.c_void_p), ("end", ctypes.c_void_p))


class Text(Structure):
    _fields_ = (("data", ctypes.c_void_p), ("size", c_size_t))

    def value(self) -> bytes:
        return ctypes.string_at(self.data, self.size) if self.data else b""


class Task(Structure):
    _fields_ = (("id", c_char_p), ("name", c_char_p), ("deadline", c_uint32), ("keep", c_uint32))


class Item(Structure):
    _fields_ = (("kind", c_int), ("number", c_int64), ("real", c_double), ("text", Text), ("count", c_size_t))


class Reply(Structure):
    _fields_ = (
        ("type", c_int),
        *((name, Text) for name in ("id", "node", "error", "message", "reason", "instead")),
        *(("retry_after", c_uint32), ("fraction", c_double), ("value", In)),
    )


class Replies(Structure):
    _fields_ = (("into", In), ("left", c_size_t))


@cache
def library() -> Any:
    """The codec, loaded."""
    make(str(BUILD / "libfog.so"))
    fog = ctypes.CDLL(str(BUILD / "libfog.so"))
    fog.fog_open.restype, fog.fog_open.argtypes = Replies, (ctypes.c_void_p, c_size_t)
    for name in ("fog_next", "fog_read", "fog_skip", "fog_fits", "fog_find"):
        getattr(fog, name).restype = c_bool
    fog.fog_find.argtypes = (In, c_char_p, POINTER(In))
    fog.fog_put_int.argtypes, fog.fog_put_double.argtypes = (POINTER(Out), c_int64), (POINTER(Out), c_double)
    fog.fog_put_bool.argtypes = (POINTER(Out), c_bool)
    fog.fog_put_bytes.argtypes = (POINTER(Out), c_char_p, c_size_t)
    for name in ("fog_put_array", "fog_put_map", "fog_put_body"):
        getattr(fog, name).argtypes = (POINTER(Out), c_size_t)
    fog.fog_put_task.argtypes = (POINTER(Out), POINTER(Task), c_size_t)
    return fog


def replies(payload: bytes) -> list[dict[str, Any]]:
    """What the C code reads in a payload: for each reply the fields that it has."""
    fog, buffer, found = library(), ctypes.create_string_buffer(payload, len(payload)), []
    state, reply = fog.fog_open(buffer, len(payload)), Reply()
    while fog.fog_next(ctypes.byref(state), ctypes.byref(reply)):
        texts = {name: getattr(reply, name).value().decode() for name in ("id", "node", "error", "message", "reason")}
        value = reply.value
        found.append(
            {
                **texts,
                "type": TYPES[reply.type],
                "instead": reply.instead.value().decode(),
                "retry_after": reply.retry_after,
                "fraction": reply.fraction,
                "value": ctypes.string_at(value.at, value.end - value.at) if value.at else b"",
            }
        )
    return found


def loads(data: bytes) -> Any:
    """A value, read item by item as a program in C would. Raises ValueError for nonsense."""
    buffer = ctypes.create_string_buffer(data, len(data))
    start = ctypes.addressof(buffer)
    return _load(In(start, start + len(data)))


def skips(data: bytes) -> int | None:
    """How many bytes the first item has, None if it is nonsense."""
    buffer = ctypes.create_string_buffer(data, len(data))
    start = ctypes.addressof(buffer)
    into = In(start, start + len(data))
    return into.at - start if library().fog_skip(ctypes.byref(into)) else None


def _load(into: In) -> Any:
    item = Item()
    if not library().fog_read(ctypes.byref(into), ctypes.byref(item)):
        raise ValueError("the end, or nonsense")
    if item.kind == ARRAY:
        return list(_entries(into, item.count))
    if item.kind == MAP:
        return {key: _load(into) for key in _entries(into, item.count)}
    text = item.text.value()
    return {
        INT: item.number, DOUBLE: item.real, BOOL: bool(item.number), NULL: None, BYTES: text,
        TEXT: text.decode(errors="replace"),
    }[item.kind]  # fmt: skip


def _entries(into: In, count: int) -> Any:
    while count:
        try:
            yield _load(into)
        except ValueError:
            if count != UNTOLD:
                raise
            return
        count -= count != UNTOLD


class Writer:
    """Values in C's CBOR, into a buffer of so many bytes."""

    def __init__(self, room: int = 1 << 16) -> None:
        self._buffer = ctypes.create_string_buffer(b"\xee" * (room + 16), room + 16)
        self._room = room
        self.out = Out(ctypes.addressof(self._buffer), room, 0)

    def task(self, args: list[Any], **fields: Any) -> bytes:
        """A task message, complete."""
        self._call("task", ctypes.byref(Task(**fields)), len(args))
        return self._all(args)

    def body(self, args: list[Any]) -> bytes:
        """The body of a CoAP request."""
        self._call("body", len(args))
        return self._all(args)

    def _all(self, args: list[Any]) -> bytes:
        for each in args:
            self.put(each)
        return self.written()

    def put(self, value: Any) -> None:
        """Write one value."""
        match value:
            case None:
                self._call("null")
            case bool():
                self._call("bool", value)
            case int():
                self._call("int", value)
            case float():
                self._call("double", value)
            case str():
                self._call("text", value.encode())
            case bytes():
                self._call("bytes", value, len(value))
            case list():
                self._call("array", len(value))
                for each in value:
                    self.put(each)
            case dict():
                self._call("map", len(value))
                for key, each in value.items():
                    self.put(key)
                    self.put(each)

    def written(self) -> bytes:
        """What is in the buffer; raises OverflowError, with the room that it takes, where it did not fit."""
        assert self._buffer.raw[self._room :] == b"\xee" * 16, "written behind the end"
        if not library().fog_fits(ctypes.byref(self.out)):
            raise OverflowError(self.out.size)
        return self._buffer.raw[: self.out.size]

    def _call(self, what: str, *arguments: Any) -> None:
        getattr(library(), f"fog_put_{what}")(ctypes.byref(self.out), *arguments)
