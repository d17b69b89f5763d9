"""Posted tasks: devices post some and may go away; others fetch the outcomes.

What is promised: a receipt is an outcome, whichever node or poster dies. A receipt stays open until somebody fetched.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from fogsdk.sim.agenda import MILLISECOND, MINUTE, SECOND
from fogsdk.sim.jobs import Job
from fogsdk.sim.oracle import Outcome, Record, ordinary
from fogsdk.wire import values
from fogsdk.wire.messages import Expired, Refused, Result, Task

if TYPE_CHECKING:
    from fogsdk.sim.devices import DeviceMachine
    from fogsdk.sim.world import World

KEEP_MS = 3_600_000
_RAN = {"light": 5 * MILLISECOND, "middle": 200 * MILLISECOND, "broken": 2 * MILLISECOND}
_KINDS = ("light",) * 7 + ("middle", "middle", "broken")
_FETCHED_AFTER = (10 * MILLISECOND, 10 * SECOND)
_AGAIN = (500 * MILLISECOND, 2 * SECOND)
_MOMENTARY = ("behind", "unknown-receipt")
"""Refusals after which it is fetched again: both of the nodes that have it may be away. One that stays is a loss."""


@dataclass(eq=False, slots=True)
class Posted:
    """A task that was posted: its number, what is in it, and its receipt once there is one. ``turn`` numbers the times
    that somebody is to fetch it: only the latest counts."""

    number: int
    what: str
    receipt: str = ""
    fetched: bool = False
    turn: int = 0


class Posting:
    """The posted tasks of a run: a Poisson process at each device."""

    def __init__(self, world: World) -> None:
        self.posted: list[Posted] = []
        self._world = world
        self._chance = random.Random(f"{world.scenario.seed} posting")
        self._until = 0

    def schedule(self, until: int) -> None:
        """Put each device's first post on the agenda."""
        self._until = until
        if self._world.scenario.posts:
            for device in self._world.devices:
                self._next(device)

    def _next(self, device: DeviceMachine) -> None:
        at = self._world.agenda.now + int(self._chance.expovariate(self._world.scenario.posts) * MINUTE)
        if at < self._until:
            self._world.agenda.at(at, self._post, device)

    def _post(self, device: DeviceMachine) -> None:
        self._next(device)
        if not device.on:
            return
        posted = Posted(-1 - len(self.posted), self._chance.choice(_KINDS))
        self.posted.append(posted)
        body = Job(posted.number, _RAN[posted.what], posted.what).body()
        copies = self._chance.choice((None, None, 2))
        task = Task(f"{self._chance.getrandbits(128):032x}", posted.what, body, keep=KEEP_MS, copies=copies)
        device.submit(task, "post", posted.number, _post_judge, partial(self._got_receipt, posted))

    def _got_receipt(self, posted: Posted, outcome: Outcome) -> None:
        if isinstance(outcome, Result):
            posted.receipt = values.decode(outcome.body)["receipt"]
            self._world.oracle.open += 1
            self._later(_FETCHED_AFTER, posted)

    # ------------------------------------------------------------ fetching

    def _later(self, delay: tuple[int, int], posted: Posted) -> None:
        posted.turn += 1
        self._world.agenda.after(self._chance.randint(*delay), self._fetch, posted, posted.turn)

    def _fetch(self, posted: Posted, turn: int) -> None:
        if posted.fetched or turn != posted.turn:
            return
        self._later((10 * SECOND, 20 * SECOND), posted)  # whoever fetches may die over it
        device = self._chance.choice(self._world.devices)
        if device.on:
            task = Task(device.new_id(), "fog.fetch", values.encode([[posted.receipt], {}]))
            judge = partial(self._fetch_judge, posted)
            device.submit(task, "fetch", posted.number, judge, partial(self._fetched, posted, device))

    def _fetch_judge(self, posted: Posted, record: Record, outcome: Outcome, now: int) -> str:
        if isinstance(outcome, Refused) and (posted.fetched or outcome.reason in _MOMENTARY):
            return ""
        what, record.what = record.what, posted.what
        wrong = ordinary(record, outcome, now)
        record.what = what
        return wrong

    def _fetched(self, posted: Posted, device: DeviceMachine, outcome: Outcome) -> None:
        if isinstance(outcome, Refused) and outcome.reason in _MOMENTARY:
            self._later(_AGAIN, posted)
        elif not isinstance(outcome, Expired) and not posted.fetched:
            posted.fetched = True
            self._world.oracle.open -= 1
            if device.on:
                task = Task(device.new_id(), "fog.forget", values.encode([[posted.receipt], {}]))
                device.submit(task, "forget", posted.number, _any)

    def finish(self) -> None:
        """The run is over: what nobody could fetch is lost."""
        for posted in self.posted:
            if posted.receipt and not posted.fetched:
                self._world.oracle.break_("posted task lost", f"{posted.receipt} ({posted.what} {posted.number})")


def _post_judge(_: Record, outcome: Outcome, __: int) -> str:
    if isinstance(outcome, Result) or (isinstance(outcome, Refused) and outcome.reason == "too-few-nodes"):
        return ""
    return f"{outcome}"


def _any(_: Record, __: Outcome, ___: int) -> str:
    return ""
