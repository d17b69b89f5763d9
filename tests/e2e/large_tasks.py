"""Tasks on large data."""

from __future__ import annotations

import hashlib
import itertools
from typing import Any

from fogsdk import task


@task(weight="light")
def echo(data: Any) -> Any:
    return data


@task
def digest(data: bytes) -> str:
    return hashlib.blake2b(data).hexdigest()


def _cut(shares: list[float], data: bytes) -> list[tuple[bytes]]:
    bounds = [round(len(data) * sum(shares[:index])) for index in range(len(shares) + 1)]
    return [(data[a:b],) for a, b in itertools.pairwise(bounds)]


@task(weight="middle", split=_cut, merge=b"".join)
def inverted(data: bytes) -> bytes:
    """Every bit turned round, in parts."""
    return data.translate(bytes(range(255, -1, -1)))
