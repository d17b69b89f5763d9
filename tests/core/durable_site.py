"""Nodes that keep what they are given, for posted tasks and sessions."""

from __future__ import annotations

from typing import Any, TypeVar

from tests.core.world import World

NODES = ("n0", "n1", "n2")


AnyWorld = TypeVar("AnyWorld", bound=World)


def site(seed: int = 1, nodes: tuple[str, ...] = NODES, **options: Any) -> World:
    """A world with these nodes; see ``furnished``."""
    return furnished(World(seed, **options), nodes)


def furnished(world: AnyWorld, nodes: tuple[str, ...]) -> AnyWorld:
    """A world in which these nodes with journals are, and the devices "dev" and "two"."""
    for name in nodes:
        world.add_node(name, keeps=True)
    world.add_client("dev")
    world.add_client("two")
    world.run(100)
    return world
