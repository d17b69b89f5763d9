"""What happens to a node, written down as it happens: ``fog sim --replay`` feeds it to a fresh core.

The file is a row of records, each a length of four bytes (big-endian) and so many bytes of CBOR. A life of the node
begins with its identity; each further record is an event: ``[milliseconds, event, digest]``, the digest being that of
the commands which the core answered with. Dataclasses are generic objects of CBOR (tag 27): name and fields, in order.
Each record is handed to the operating system at once, so that a process that is killed leaves all but its last moment.
"""

from __future__ import annotations

import logging
import struct
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, is_dataclass
from functools import cache
from hashlib import blake2b
from pathlib import Path
from typing import Any

import cbor2

from fogsdk.core import commands, events
from fogsdk.core.commands import Command
from fogsdk.core.events import Event
from fogsdk.core.identity import Identity
from fogsdk.errors import ConfigError
from fogsdk.wire import messages

log = logging.getLogger(__name__)

MOST_BYTES = 2**30
"""Bytes in one file: what happens after them is not written down."""
RAISED = b""
"""The digest of an event on which the core raised."""

_LENGTH = struct.Struct(">I")
_OBJECT = 27
_CLASSES: dict[str, type] = {
    name: each
    for module in (messages, events, commands)
    for name, each in vars(module).items()
    if isinstance(each, type) and is_dataclass(each)
} | {"Identity": Identity}


@dataclass(frozen=True, slots=True)
class Recorded:
    """One event of a record. ``now`` is in milliseconds; ``number`` counts the events of a life from 1."""

    number: int
    now: int
    event: Event
    digest: bytes


class Recorder:
    """Writes one node's record, after what is in the file already."""

    def __init__(self, path: Path, identity: Identity) -> None:
        """Raises ConfigError for a file that cannot be written, and for one with anything else in it."""
        whole = 0
        try:
            if path.exists() and path.stat().st_size:
                next(read(path))
                whole = sum(_LENGTH.size + len(record) for record in _records(path))
            self._file = path.open("ab", buffering=0)
            self._file.truncate(whole)
        except OSError as error:
            raise ConfigError(f"record {path} cannot be written: {error.strerror}") from error
        self._room = MOST_BYTES - whole
        self._write(identity)

    def add(self, event: Event, now: int, answer: Sequence[Command] | None) -> None:
        """Write down one event and the answer to it, None where the core raised."""
        if self._room > 0:
            self._write([now, event, digest(answer)])

    def close(self) -> None:
        """End the record."""
        self._file.close()
        self._room = 0

    def _write(self, record: object) -> None:
        data = cbor2.dumps(_packed(record))
        self._room -= _LENGTH.size + len(data)
        if self._room <= 0:
            log.warning("the record is full: what happens from now on is not in it")
            return
        try:
            self._file.write(_LENGTH.pack(len(data)) + data)
        except OSError as error:
            self._room = 0
            log.error("the record ends here, it cannot be written: %s", error)


def digest(answer: Sequence[Command] | None) -> bytes:
    """Tell answers apart."""
    return RAISED if answer is None else blake2b(cbor2.dumps(_packed(answer)), digest_size=8).digest()


def read(path: Path) -> Iterator[Identity | Recorded]:
    """Each life's identity, and after it its events. A record that was cut short ends the file.

    Raises ConfigError for a file that is none.
    """
    number = None
    try:
        for data in _records(path):
            match _unpacked(cbor2.loads(data)):
                case Identity() as identity:
                    number = 0
                    yield identity
                case (int(now), event, bytes(answer)) if number is not None:
                    number += 1
                    yield Recorded(number, now, event, answer)
                case other:
                    raise ValueError(f"not an event: {other!r:.100}")
        if number is None:
            raise ValueError("no node begins in it")
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror}") from error
    except (cbor2.CBORDecodeError, ValueError, TypeError, KeyError) as error:
        raise ConfigError(f"{path} is not a record of `fognode --record`: {error}") from error


def _records(path: Path) -> Iterator[bytes]:
    """The whole records of a file."""
    with path.open("rb") as file:
        while len(head := file.read(_LENGTH.size)) == _LENGTH.size:
            (length,) = _LENGTH.unpack(head)
            data = file.read(length)
            if len(data) < length:
                return
            yield data


def _packed(value: Any) -> Any:
    if is_dataclass(value):
        kind: type = type(value)
        return cbor2.CBORTag(_OBJECT, [kind.__name__, *(_packed(getattr(value, name)) for name in _fields(kind))])
    if isinstance(value, (tuple, list)):
        return [_packed(each) for each in value]
    if isinstance(value, dict):
        return {key: _packed(each) for key, each in value.items()}
    return bytes(value) if isinstance(value, memoryview) else value


@cache
def _fields(kind: type) -> tuple[str, ...]:
    return tuple(field.name for field in fields(kind))


def _unpacked(value: Any) -> Any:
    if isinstance(value, cbor2.CBORTag):
        if value.tag != _OBJECT:
            raise ValueError(f"tag {value.tag}")
        name, *rest = value.value
        return _CLASSES[name](*(_unpacked(each) for each in rest))
    if isinstance(value, (list, tuple)):
        return tuple(_unpacked(each) for each in value)
    if isinstance(value, Mapping):  # cbor2 6 makes what is within a tag immutable
        return {key: _unpacked(each) for key, each in value.items()}
    return value
