"""Rendezvous order: everybody has the same one, and a node that comes or goes moves nobody else."""

from __future__ import annotations

import random
from collections import Counter
from hashlib import blake2b

from hypothesis import given
from hypothesis import strategies as st

from fogsdk.core.rendezvous import ranked

ids = st.text("abcdefghij0123456789-", min_size=1, max_size=12)
nodes = st.lists(ids, unique=True, max_size=12)


@given(ids, nodes, st.randoms(use_true_random=False))
def test_the_order_does_not_depend_on_who_asks(key: str, names: list[str], chance: random.Random) -> None:
    order = ranked(key, names)
    assert sorted(order) == sorted(names)
    chance.shuffle(names)
    assert ranked(key, names) == order


@given(ids, nodes)
def test_the_order_is_that_of_the_specification(key: str, names: list[str]) -> None:
    def weight(name: str) -> tuple[int, str]:
        return int.from_bytes(blake2b(f"{key}/{name}".encode(), digest_size=8).digest(), "big"), name

    assert ranked(key, names) == sorted(names, key=weight, reverse=True)


def test_the_order_of_a_few_nodes_is_known() -> None:
    """Another implementation can be checked by this."""
    assert ranked("home", ["pi-1", "pi-2", "pi-3", "pi-4"]) == ["pi-3", "pi-4", "pi-2", "pi-1"]


@given(ids, nodes.filter(bool), st.data())
def test_a_node_that_goes_moves_nobody_else(key: str, names: list[str], data: st.DataObject) -> None:
    gone = data.draw(st.sampled_from(names))
    left = [name for name in names if name != gone]
    assert ranked(key, left) == [name for name in ranked(key, names) if name != gone]


def test_every_node_is_first_for_its_share_of_keys() -> None:
    names = [f"node-{number}" for number in range(8)]
    first = Counter(ranked(f"device-{number}", names)[0] for number in range(4000))
    assert len(first) == 8
    assert all(400 < count < 600 for count in first.values())
