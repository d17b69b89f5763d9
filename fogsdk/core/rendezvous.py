"""Rendezvous hashing (Thaler and Ravishankar 1998): everybody ranks the same nodes the same way without talking."""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from hashlib import blake2b


@lru_cache(maxsize=16384)
def _weight(key: str, node: str) -> bytes:
    return blake2b(f"{key}/{node}".encode(), digest_size=8).digest()


def ranked(key: str, nodes: Iterable[str]) -> list[str]:
    """Return ``nodes`` in the order in which they are responsible for ``key``, the first one most."""
    return sorted(nodes, key=lambda node: (_weight(key, node), node), reverse=True)
