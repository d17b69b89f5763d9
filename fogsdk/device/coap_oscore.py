"""OSCORE (RFC 8613): the security context that a device and a node derive from the device's key.

No sequence number has to survive a restart, which a device could not promise: each context is used once. Its ID
Context is an epoch, random and the node's for as long as it remembers every context of it, and behind it as many random
bytes of the device's. So no key is derived twice, and no recorded message is good for a context that a node has
forgotten (RFC 8613, appendix B.2, does the same with other messages).
"""

from __future__ import annotations

import hashlib
import secrets

from aiocoap import oscore

from fogsdk.errors import ConfigError

NODES_ID = b"fog"
"""The Sender ID of every node."""
EPOCH_LENGTH = 8
"""Bytes of a node's epoch, and of what a device puts behind it."""
KEY_LENGTH = 16
"""Bytes of a key at the least."""
_ID_LENGTH = 7  # bytes: the longest that AES-CCM-16-64-128 has room for


def sender_id(device: str) -> bytes:
    """The Sender ID of a device: the first bytes of the SHA-256 of its name."""
    return hashlib.sha256(device.encode()).digest()[:_ID_LENGTH]


def read_key(text: str) -> bytes:
    """A key from its hexadecimal digits. Raises ConfigError, which does not quote them."""
    try:
        key = bytes.fromhex(text)
    except ValueError:
        key = b""
    if len(key) < KEY_LENGTH:
        raise ConfigError(
            f"a CoAP key has at least {2 * KEY_LENGTH} hexadecimal digits; `openssl rand -hex {KEY_LENGTH}` makes one"
        )
    return key


class Context(oscore.CanProtect, oscore.CanUnprotect, oscore.SecurityContextUtils):  # type: ignore[misc]
    """One end of a security context; ``device`` is whose key it is of."""

    def __init__(self, device: str, key: bytes, id_context: bytes, *, at_node: bool) -> None:
        self.device = device
        self.alg_aead = oscore.algorithms[oscore.DEFAULT_ALGORITHM]
        self.hashfun = oscore.hashfunctions[oscore.DEFAULT_HASHFUNCTION]
        ids = (NODES_ID, sender_id(device))
        self.sender_id, self.recipient_id = ids if at_node else ids[::-1]
        self.id_context = id_context
        self.derive_keys(b"", key)
        self.sender_sequence_number = 0
        self.echo_recovery = None
        self.recipient_replay_window = oscore.ReplayWindow(oscore.DEFAULT_WINDOWSIZE, lambda: None)
        self.recipient_replay_window.initialize_empty()

    def post_seqnoincrease(self) -> None:
        """Nothing to store: the context ends with the program."""


def device_context(device: str, key: bytes, epoch: bytes) -> Context:
    """A new context for a device towards the node that has this epoch."""
    return Context(device, key, epoch + secrets.token_bytes(EPOCH_LENGTH), at_node=False)
