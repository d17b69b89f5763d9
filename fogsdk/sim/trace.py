"""What was delivered: a hash over every delivery, by which two runs are told apart, and an estimate of its bytes."""

from __future__ import annotations

from hashlib import blake2b

from fogsdk.wire import codec
from fogsdk.wire.messages import Message

_LINES = 4096
_WEIGH_EVERY = 1024
_NAMES = ("id", "seq", "key", "incarnation")
_HEADER = 4  # MQTT: kind and length of the packet, length of its topic


class Trace:
    """The hash over time, sender, receiver, kind and id of every delivery, in order."""

    def __init__(self) -> None:
        self._hashed = 0
        self._hash = blake2b(digest_size=16)
        self._lines: list[str] = []

    @property
    def deliveries(self) -> int:
        """How many there were so far."""
        return self._hashed + len(self._lines)

    def delivered(self, now: int, receiver: str, label: str) -> None:
        """Note one delivery; the label names the sender and the message."""
        self._lines.append(f"{now} {receiver} {label}\n")
        if len(self._lines) >= _LINES:
            self._flush()

    def digest(self) -> str:
        """The hash so far, in hexadecimal."""
        self._flush()
        return self._hash.hexdigest()

    def _flush(self) -> None:
        self._hashed += len(self._lines)
        self._hash.update("".join(self._lines).encode())
        self._lines.clear()


def label(sender: str, message: Message) -> str:
    """Name a message for the trace."""
    for name in _NAMES:
        id = getattr(message, name, None)
        if id is not None:
            return f"{sender} {type(message).__name__} {id}"
    return f"{sender} {type(message).__name__}"


class Scales:
    """What messages weigh on the wire, topic and MQTT header included, without encoding each of them.

    Of each kind the first message and every 1024th is encoded; what that one weighs beyond its body, the others of its
    kind are taken to weigh beyond theirs. Every message counts as a packet of its own, which real ones share.
    """

    def __init__(self) -> None:
        self._beyond: dict[type, int] = {}
        self._seen: dict[type, int] = {}

    def weigh(self, topic: str, message: Message) -> int:
        """About how many bytes a message is on a topic."""
        kind = type(message)
        body = len(getattr(message, "body", b"")) + len(getattr(message, "data", b""))
        seen = self._seen.get(kind, 0)
        if seen % _WEIGH_EVERY == 0:
            self._beyond[kind] = len(codec.encode([message])) - body
        self._seen[kind] = seen + 1
        return self._beyond[kind] + body + len(topic) + _HEADER
