"""Messages that leave together: consecutive sends to one topic become one payload."""

from __future__ import annotations

from fogsdk.core.commands import Send
from fogsdk.errors import WireError
from fogsdk.wire import codec
from fogsdk.wire.frozen import dataclass
from fogsdk.wire.limits import BATCH_LENGTH, MESSAGE_SIZE
from fogsdk.wire.messages import Chunk, Failed, Message, Result, Task

_BATCH_BYTES = MESSAGE_SIZE // 2
_OVERHEAD = 512  # what a message adds to its body, traces aside


@dataclass(frozen=True, slots=True)
class Packet:
    """One payload for one topic of one link."""

    link: str
    topic: str
    payload: bytes
    retain: bool


class Outbox:
    """Collects sends until the shell is ready to write, and packs them. The order on each topic is kept."""

    def __init__(self) -> None:
        self._groups: dict[tuple[str, str, bool, bool], list[Message]] = {}
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def add(self, send: Send) -> None:
        """Put one message in."""
        key = (send.link, send.topic, send.as_json, send.retain)
        self._count += 1
        if send.retain:
            self._groups[key] = [send.message]  # only the last one would stay with the broker
        else:
            self._groups.setdefault(key, []).append(send.message)

    def pack(self) -> list[Packet]:
        """Take everything out, as few packets as the limits allow."""
        groups, self._groups, self._count = self._groups, {}, 0
        return [
            Packet(link, topic, payload, retain)
            for (link, topic, as_json, retain), messages in groups.items()
            for batch in _batches(messages)
            for payload in _encode(batch, as_json)
        ]


def _batches(messages: list[Message]) -> list[list[Message]]:
    if len(messages) == 1:
        return [messages]
    batch: list[Message] = []
    batches, size = [batch], 0
    for message in messages:
        cost = _OVERHEAD
        if isinstance(message, (Task, Result)):
            cost += len(message.body)
        elif isinstance(message, Chunk):  # it leaves alone: others are not to wait for it
            cost = _BATCH_BYTES
        if batch and (size + cost > _BATCH_BYTES or len(batch) >= BATCH_LENGTH):
            batch, size = [], 0
            batches.append(batch)
        batch.append(message)
        size += cost
    return batches


def _encode(batch: list[Message], as_json: bool) -> list[bytes]:
    """The payload of a batch; several where its messages are too large together, or one of them cannot be said. A
    result that cannot becomes a failure that says so."""
    try:
        return [codec.encode(batch, as_json)]
    except WireError as error:
        if len(batch) > 1:
            half = len(batch) // 2
            return _encode(batch[:half], as_json) + _encode(batch[half:], as_json)
        [message] = batch
        if not isinstance(message, (Result, Failed)):
            return []
        return [codec.encode([Failed(message.id, "WireError", f"the result cannot be sent: {error}")], as_json)]
