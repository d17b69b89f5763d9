"""How slow a client may be that sends a body or reads one. Slower ones would keep memory and connections for ever."""

PATIENCE = 10.0
"""Seconds that any client gets, and that a pause may last."""
SLOWEST = 8 * 1024
"""Bytes a second that have to come, or to be read, beyond that."""


def allowed(length: int) -> float:
    """Seconds in which so many bytes have to be sent, or read."""
    return PATIENCE + length / SLOWEST
