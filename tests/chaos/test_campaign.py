"""A small campaign: nothing is lost, delivered twice or wrong while something fails every half second."""

from __future__ import annotations

import itertools
import random
from pathlib import Path

from tests.chaos.campaign import Campaign
from tests.chaos.faults import KINDS, plan
from tests.chaos.users import wishes


def test_a_small_campaign_loses_nothing(tmp_path: Path) -> None:
    """The whole one is `make chaos`. It prints its seed, with which it can be done again."""
    seed = random.SystemRandom().randrange(2**32)
    print("seed", seed)
    assert Campaign(300, 7.0, 2.0, seed, engine="pool").run(tmp_path, print, lambda _: None) == []


def test_the_same_seed_is_the_same_campaign_and_everything_gets_its_turn() -> None:
    faults = list(itertools.islice(plan(7, 1.0), 400))
    assert faults == list(itertools.islice(plan(7, 1.0), 400))
    assert faults != list(itertools.islice(plan(8, 1.0), 400))
    assert {(fault.kind, fault.target) for fault in faults} == {(kind, one) for kind in KINDS for one in kind.targets}
    assert list(wishes(7, 50)) == list(wishes(7, 50)) != list(wishes(8, 50))
