"""A device that learns nothing from failures, to compare with: it places tasks by mean times and hedges none."""

# ruff: noqa: SLF001 - what is taken away has no switch of its own

from __future__ import annotations

from fogsdk import Fog
from fogsdk.core.hedging import Hedging
from fogsdk.core.membership import Member
from fogsdk.wire.messages import Task


class NoHedging(Hedging):
    """Measures nothing and finds no task late."""

    def earn(self) -> None: ...

    def handed_out(self, task: Task, now: int) -> None: ...

    def came_back(self, task: Task, took: float) -> None: ...


def unlearned(fog: Fog) -> None:
    """Take from a device what it learns of failures and of late answers."""
    client = fog._driver._client

    def soonest(pool: list[Member], task: Task, now: int) -> Member | None:
        def mean(member: Member) -> float:
            return member.queue(now) + client._ran(member, task) + member.travel()

        return min(pool, key=mean, default=None)

    def nothing(*_: object) -> None: ...

    client.ledger.hedging = NoHedging()
    client._soonest = soonest  # type: ignore[method-assign]
    client.directory.added = nothing  # type: ignore[assignment,method-assign]
    client.directory._failed = nothing  # type: ignore[assignment,method-assign]
