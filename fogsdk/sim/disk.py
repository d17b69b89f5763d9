"""The journal's disk of a simulated node: writes are safe after a while, together; a crash takes what is not."""

from __future__ import annotations

import random
from collections.abc import Callable

from fogsdk.core.commands import Write
from fogsdk.core.events import Written
from fogsdk.sim.agenda import MILLISECOND, Agenda

COMMIT = (1 * MILLISECOND, 8 * MILLISECOND)
"""Microseconds that one commit takes."""


class Disk:
    """What outlives a node's process. Writes that come while a commit is under way make up the next one."""

    def __init__(self, agenda: Agenda, chance: random.Random) -> None:
        self.kept: dict[str, bytes] = {}
        self._agenda = agenda
        self._chance = chance
        self._coming: list[Write] = []
        self._committing: list[Write] = []
        self._life = 0

    def write(self, write: Write, tell: Callable[[Written], None]) -> None:
        """Take a write; ``tell`` is called when it is safe."""
        self._coming.append(write)
        if not self._committing:
            self._commit(tell)

    def crash(self) -> None:
        """The process dies: of what is not confirmed some is on the disk all the same, up to some write."""
        unconfirmed = [*self._committing, *self._coming]
        for write in unconfirmed[: self._chance.randint(0, len(unconfirmed))]:
            self._apply(write)
        self._coming, self._committing = [], []
        self._life += 1

    def _commit(self, tell: Callable[[Written], None]) -> None:
        self._committing, self._coming = self._coming, []
        self._agenda.after(self._chance.randint(*COMMIT), self._committed, self._life, tell)

    def _committed(self, life: int, tell: Callable[[Written], None]) -> None:
        if life != self._life:
            return
        for write in self._committing:
            self._apply(write)
        last = self._committing[-1].number
        self._committing = []
        if self._coming:
            self._commit(tell)
        tell(Written(last))

    def _apply(self, write: Write) -> None:
        if write.data is None:
            self.kept.pop(write.key, None)
        else:
            self.kept[write.key] = write.data
