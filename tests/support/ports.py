"""Free TCP and UDP ports on the loopback interface."""

from __future__ import annotations

import random
import socket

# Below the range that the system picks source ports from: a client that keeps trying to reach a broker that
# was killed could otherwise be given the broker's own port, connect to itself, and so keep the broker away.
_candidates = iter(random.SystemRandom().sample(range(20_000, 30_000), 10_000))


def free_port() -> int:
    """Return a port that nobody listens on; each is handed out once in a run of the tests."""
    return next(port for port in _candidates if _is_free(port))


def accepts(port: int) -> bool:
    """Whether somebody takes TCP connections there."""
    with socket.socket() as client:
        return client.connect_ex(("127.0.0.1", port)) == 0


def _is_free(port: int) -> bool:
    for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
        with socket.socket(socket.AF_INET, kind) as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                return False
    return True
