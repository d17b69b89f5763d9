"""Who may use a node over CoAP: the devices' keys, and the OSCORE contexts (RFC 8613) in which they speak."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from pathlib import Path
from typing import Any

import aiocoap
from aiocoap import error, oscore
from aiocoap.transports.oscore import OSCOREAddress

from fogsdk.device.coap_oscore import EPOCH_LENGTH, Context, read_key, sender_id
from fogsdk.errors import ConfigError, WireError
from fogsdk.wire.topics import check_id

MOST_CONTEXTS = 1024
"""Contexts that are remembered. With one more a new epoch begins, and every device makes itself a new one."""


class Keys:
    """The keys in a file, a line for each device: ``<device> <key>``, the key in hexadecimal digits."""

    def __init__(self, path: Path) -> None:
        self._keys = _read(path)
        self._names = {sender_id(device): device for device in self._keys}
        self._contexts: dict[tuple[bytes, bytes], Context] = {}
        self.epoch = secrets.token_bytes(EPOCH_LENGTH)

    def __contains__(self, device: object) -> bool:
        return device in self._keys

    def open(self, request: Any) -> tuple[Any, Callable[[Any], Any]]:
        """Decrypt a request. Returns it, with its sender's context in ``remote``, and what encrypts an answer to it.

        Raises an error that can be sent, in plain text as RFC 8613, section 8.2, has it.
        """
        if request.code not in (aiocoap.FETCH, aiocoap.POST):
            raise error.UnallowedMethod()
        context = None
        try:
            headers = oscore.verify_start(request)
            context = self._context(headers.get(oscore.COSE_KID), headers.get(oscore.COSE_KID_CONTEXT))
            opened, about = context.unprotect(request)
        except error.RenderableError:
            raise
        except oscore.ReplayError as wrong:
            raise error.Unauthorized("Replay detected") from wrong
        except Exception as wrong:  # aiocoap raises many kinds for what is no message, IndexError too
            text = "Failed to decode COSE" if context is None else "Decryption failed"
            raise error.BadRequest(text) from wrong
        self._remember(context)
        opened.remote = OSCOREAddress(context, request.remote)
        opened.mtype = request.mtype
        return opened, lambda answer: _protected(context, answer, about)

    def _context(self, kid: bytes | None, id_context: bytes | None) -> Context:
        device = self._names.get(kid or b"")
        if device is None:
            raise error.Unauthorized("Security context not found: this node has no key of such a device")
        if id_context is None or len(id_context) != 2 * EPOCH_LENGTH or not id_context.startswith(self.epoch):
            raise error.Unauthorized("Security context not found: make one for the epoch that /fog/v1/oscore tells")
        known = self._contexts.get((sender_id(device), id_context))
        return known or Context(device, self._keys[device], id_context, at_node=True)

    def _remember(self, context: Context) -> None:
        key = (context.recipient_id, context.id_context)
        if key not in self._contexts and len(self._contexts) >= MOST_CONTEXTS:
            self._contexts.clear()  # one alone must not be forgotten: its recorded messages would be good again
            self.epoch = secrets.token_bytes(EPOCH_LENGTH)
            return
        self._contexts[key] = context


def _protected(context: Context, answer: Any, about: Any) -> Any:
    sealed, _ = context.protect(answer, about)
    if answer.opt.observe is not None:
        sealed.opt.observe = context.sender_sequence_number & 0xFFFFFF
    return sealed


def _read(path: Path) -> dict[str, bytes]:
    try:
        mode, lines = path.stat().st_mode, path.read_text(encoding="utf-8").splitlines()
    except (OSError, ValueError) as error:
        raise ConfigError(f"coap_keys {path} cannot be read: {error}") from error
    if mode & 0o077:
        raise ConfigError(f"coap_keys {path} can be read by others; keep it to its owner: chmod 600 {path}")
    keys: dict[str, bytes] = {}
    for number, line in enumerate(lines, 1):
        words = line.partition("#")[0].split()
        if not words:
            continue
        try:
            device, key = words
            if device in keys:
                raise ConfigError(f"{device} has a key already; a device has one")
            keys[check_id(device, "device")] = read_key(key)
        except ValueError:
            raise ConfigError(f"coap_keys {path}, line {number}: must be a device's name and its key") from None
        except (WireError, ConfigError) as error:
            raise ConfigError(f"coap_keys {path}, line {number}: {error}") from None
    if not keys:
        raise ConfigError(f"coap_keys {path} has no line with a device's name and its key")
    return keys
