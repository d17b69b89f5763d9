"""What is simulated: how many of what, for how long, and from which seed."""

from __future__ import annotations

from dataclasses import dataclass, field

from fogsdk.sim.plan import Plan

MIX = {"light": 0.8, "middle": 0.1, "split": 0.05, "heavy": 0.03, "broken": 0.02}
"""The share of each kind of task."""


@dataclass(frozen=True, kw_only=True)
class Scenario:
    """One run. Times are in seconds, ``rate`` and ``posts`` in tasks a minute from each device, of which
    those of ``posts`` are posted and fetched later; ``sessions`` are stepped all the time.

    With ``codec`` every message is encoded and decoded on its way; without, receivers share the sender's own object,
    which nobody can change. ``grace`` is how long the last outcomes may take after the faults, ``quiet`` how long then
    until nothing may be left anywhere. ``deadlines`` and ``cancels`` are shares of all tasks.
    """

    nodes: int = 10
    devices: int = 20
    brokers: int = 2
    seconds: float = 60.0
    seed: int = 0
    policy: str = "predictive"
    workers: int = 2
    rate: float = 6.0
    mix: dict[str, float] = field(default_factory=lambda: dict(MIX))
    deadlines: float = 0.1
    cancels: float = 0.02
    posts: float = 0.0
    sessions: int = 0
    faults: Plan = field(default_factory=Plan)
    codec: bool = False
    keeps: bool = True
    site: str = "sim"
    start: float = 2.0
    grace: float = 180.0
    quiet: float = 0.0
