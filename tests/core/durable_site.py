"""Nodes that keep what they are given, for posted tasks and sessions."""

from __future__ import annotations

from typing import Any

from tests.core.world import World

NODES = ("n0", "n1", "n2")


def site(seed: int = 1, nodes: tuple[str, ...] = NODES, **options: Any) -> World:
    """These nodes with journals, and the devices "dev" and "two"."""
    world = World(seed, **options)
    for name in nodes:
        world.add_node(name, keeps=True)
    world.add_client("dev")
    world.add_client("two")
    world.run(100)
    return world
