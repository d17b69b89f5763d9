"""A guarantee that is broken on purpose is found: each mutation of the core, within a few seeds of a small campaign."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from fogsdk.core import outcomes
from fogsdk.core.commands import Settled
from fogsdk.core.copies import SEND_AGAIN, Copies
from fogsdk.core.ledger import Ledger
from fogsdk.core.outcomes import Outcomes
from fogsdk.core.records import Record, Stored
from fogsdk.core.routing import SESSION
from fogsdk.sim.campaign import judge
from fogsdk.wire.messages import Accepted

SEEDS, TASKS = 12, 300

Mutate = Callable[[pytest.MonkeyPatch], None]


def the_ledger_forgets_on_accept(patch: pytest.MonkeyPatch) -> None:
    keeps = Ledger.hear

    def hear(self: Ledger, reply: Any, now: int) -> Any:
        effects = keeps(self, reply, now)
        if isinstance(reply, Accepted):
            self.take_back(reply.id, cancel=False)
        return effects

    patch.setattr(Ledger, "hear", hear)


def the_outcome_cache_has_size_0(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(outcomes, "MOST", 0)
    patch.setattr(Outcomes, "keep", lambda *_: None)


def the_first_of_two_outcomes_is_no_end(patch: pytest.MonkeyPatch) -> None:
    settle = Ledger._settle

    def twice(self: Ledger, *arguments: Any) -> Any:
        effects = settle(self, *arguments)
        return [*effects, *(each for each in effects if isinstance(each, Settled))]

    patch.setattr(Ledger, "_settle", twice)


def no_question_is_asked_twice(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Ledger, "_check", lambda *_: [])


def a_sessions_state_is_replicated_after_the_result(patch: pytest.MonkeyPatch) -> None:
    _tell_at_once(patch, lambda record: record.key.startswith(SESSION))


def a_receipt_goes_out_before_the_guardian_has_written(patch: pytest.MonkeyPatch) -> None:
    _tell_at_once(patch, lambda record: not record.key.startswith(SESSION) and record.progress == 0)


def _tell_at_once(patch: pytest.MonkeyPatch, concerned: Callable[[Record], bool]) -> None:
    """Have a record count as stored as soon as its home has it in memory: the copy follows some milliseconds later."""
    spread = Copies._spread

    def spread_later(self: Copies, record: Record, now: int) -> Any:
        if record.home != self.me or record.told or not record.guardian or record.erased or not concerned(record):
            return spread(self, record, now)
        record.told, record.asked_at, record.interval = True, now, SEND_AGAIN
        self._timers.set(("send", record.key), now + 20)
        return [Stored(record.key)]

    patch.setattr(Copies, "_spread", spread_later)


MUTATIONS: dict[Mutate, tuple[str, ...]] = {
    the_ledger_forgets_on_accept: ("lost",),
    the_outcome_cache_has_size_0: ("ran twice",),
    the_first_of_two_outcomes_is_no_end: ("delivered twice",),
    no_question_is_asked_twice: ("lost",),
    a_sessions_state_is_replicated_after_the_result: ("step lost", "step doubled"),
    a_receipt_goes_out_before_the_guardian_has_written: ("posted task lost",),
}


@pytest.mark.parametrize("mutate", MUTATIONS, ids=lambda mutate: mutate.__name__)
def test_the_campaign_finds_a_broken_guarantee(mutate: Mutate, monkeypatch: pytest.MonkeyPatch) -> None:
    mutate(monkeypatch)
    found: dict[str, int] = {}
    for seed in range(1, SEEDS + 1):
        found = dict(judge(seed, TASKS).broken)
        if any(guarantee in found for guarantee in MUTATIONS[mutate]):
            print(f"found by seed {seed}: {found}")
            return
    pytest.fail(f"not found within {SEEDS} seeds; the last: {found}")
