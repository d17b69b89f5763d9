"""Hard limits of the wire protocol: what is larger is refused before anything acts on it."""

from __future__ import annotations

ID_LENGTH = 64
"""Characters in a site, node, sender or task id."""

NAME_LENGTH = 128
"""Characters in a task's name."""

KEY_LENGTH = 256
"""Characters in the key of a record that nodes keep for others."""

MESSAGE_SIZE = 16 * 1024 * 1024
"""Bytes in one MQTT payload."""

RECORD_SIZE = MESSAGE_SIZE - 64 * 1024
"""Bytes in a record that nodes keep for others, and in arguments or a result that travel in one payload: what leaves
room for the rest of the message."""

BODY_SIZE = 256 * 1024 * 1024
"""Bytes in one task's arguments or result."""

STORED_SIZE = BODY_SIZE + MESSAGE_SIZE
"""Bytes in a message as it is written to a disk, with all of its body."""

STATE_SIZE = 1024 * 1024
"""Bytes in a session's state."""

HEAD_SIZE = 2 * 1024 * 1024
"""Bytes in the head of a message whose body travels in chunks: a state, a trace, and the rest of it."""

INLINE_SIZE = 256 * 1024
"""Bytes of arguments or of a result beyond which they travel in chunks, beside their message."""

CHUNK_SIZE = 256 * 1024
"""Bytes in one chunk of them."""

BATCH_LENGTH = 1024
"""Messages in one payload."""

BUNDLE = 64
"""Calls in one bundle."""

VALUES = 128 * 1024
"""Data items in one payload, what is in a ``body`` aside: to read and write them takes a node's time."""

JSON_VALUES = 256 * 1024
"""Values, the numbers of typed arrays among them, in a body that is told in JSON."""

DEPTH = 32
"""Nesting of arrays and maps in arguments and results."""

TEXT_LENGTH = 4096
"""Characters in an error message or a reason."""

TRACEBACK_LENGTH = 32 * 1024
"""Characters in a traceback."""

TASKS = 1024
"""Tasks that one node announces."""

ADDRESSES = 16
"""Addresses that one node announces."""

HOPS = 64
"""Entries in a trace, and nodes in a task's ``via``."""

DURATION = 2**40
"""Milliseconds in a duration (35 years): keeps sums of durations inside 64 bits."""
