"""Fuzzing led by coverage: whatever makes the readers take another branch is kept, and changed further (atheris).

    python -m tests.fuzz.coverage -max_total_time=60

Each input goes to one of the readers; what they may raise for it is an error of the wire, and nothing else.
"""

from __future__ import annotations

import contextlib
import random
import sys
from collections.abc import Callable

import atheris

from fogsdk.errors import TaskRefused, WireError
from tests.fuzz import inputs

with atheris.instrument_imports(include=["fogsdk.wire", "fogsdk.node.door_requests"]):
    from fogsdk.node import door_requests
    from fogsdk.wire import codec, jsonvalues, topics, values
    from fogsdk.wire.messages import Malformed


def _codec(data: bytes) -> None:
    """What can be read can be written, and is the same again."""
    for message in codec.decode(data):
        if not isinstance(message, Malformed):
            assert codec.decode(codec.encode([message])) == [message]


def _options(data: bytes) -> None:
    text = data.decode("utf-8", "replace")
    door_requests.fields(dict(part.partition("=")[::2] for part in text.split("&")))


READERS: tuple[Callable[[bytes], object], ...] = (
    _codec,
    values.decode,
    jsonvalues.to_json,
    lambda data: topics.parse(data.decode("utf-8", "replace")),
    _options,
    lambda data: door_requests._task(data, True, "name", {"id": "a"}),
    lambda data: door_requests._task(data, False, "name", {"id": "a"}),
)


def read(data: bytes) -> None:
    """Give one input to the reader that its first byte names."""
    if data:
        with contextlib.suppress(WireError, TaskRefused):
            READERS[data[0] % len(READERS)](data[1:])


def changed(data: bytes, most: int, seed: int) -> bytes:
    """The next input: from the last one, or from one that is valid."""
    chance = random.Random(seed)
    if chance.random() < 0.2:
        return (bytes([chance.randrange(len(READERS))]) + inputs.payload(chance))[:most]
    return bytes(atheris.Mutate(data, most))


if __name__ == "__main__":
    atheris.Setup(sys.argv, read, custom_mutator=changed)
    atheris.Fuzz()
