"""Narrow cables, as wireless links are: what is large does not hold up the heartbeats behind it."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Callable

import pytest

from tests.e2e.site import wait_for_nodes
from tests.network.site import Site

LARGE = ("--tasks", "tests.e2e.e2e_tasks,tests.e2e.large_tasks")
RATE = "16mbit"
SIZE = 4_000_000
"""Bytes: two seconds on such a cable, in which a node that is not heard is taken for lost."""


def test_a_large_task_is_copied_over_narrow_cables_once_and_no_node_is_lost_from_sight(
    make_site: Callable[..., Site],
) -> None:
    site = make_site("n1", "n2")
    site.start("n1", "n2", flags=LARGE)
    try:
        for name in site.nodes:
            site.network[name].narrow(RATE)
    except RuntimeError as error:
        pytest.skip(f"this system has no narrow cables: {error}")
    argument = random.Random(1).randbytes(SIZE)
    before = sum(site.network[name].sent() for name in site.nodes)
    with site.connect() as fog:
        wait_for_nodes(fog, "n1", "n2")
        receipt = fog.post("digest", argument, copies=2)
        assert fog.fetch(receipt, timeout=30) == hashlib.blake2b(argument).hexdigest()
    sent = sum(site.network[name].sent() for name in site.nodes) - before
    assert SIZE < sent < 1.3 * SIZE
    for name, node in site.nodes.items():
        assert "lost:" not in node.output, f"{name} lost the other from sight"
