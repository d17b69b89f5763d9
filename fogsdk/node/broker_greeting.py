"""Whether an MQTT broker serves at an address."""

from __future__ import annotations

import asyncio
import contextlib
import ssl

_CONNECT = b"\x10\x0c\x00\x04MQTT\x04\x02\x00\x05\x00\x00"  # MQTT 3.1.1, clean session, keepalive 5 s, no id
_CONNACK = b"\x20\x02"
_DISCONNECT = b"\xe0\x00"


async def answers(address: str, port: int, tls: bool) -> bool:
    """Whether an MQTT broker answers there, be it that it does not know us."""
    try:
        return await asyncio.wait_for(_greet(address, port, tls), 2)
    except ssl.SSLError:
        return True  # it wants a certificate of its clients
    except (OSError, EOFError, asyncio.TimeoutError):
        return False


async def _greet(address: str, port: int, tls: bool) -> bool:
    context = None
    if tls:
        context = ssl.create_default_context()
        context.check_hostname = False  # nothing is entrusted to it, it only has to answer
        context.verify_mode = ssl.CERT_NONE
    reader, writer = await asyncio.open_connection(address, port, ssl=context)
    try:
        writer.write(_CONNECT)
        answer = await reader.readexactly(4)
        writer.write(_DISCONNECT)
        return answer.startswith(_CONNACK)
    finally:
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()
