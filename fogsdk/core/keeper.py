"""What posts and sessions share: where the record of a call is, and how the call is answered."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from fogsdk.core.answers import Answers
from fogsdk.core.calls import Call, Calls
from fogsdk.core.commands import Command
from fogsdk.core.held import Held
from fogsdk.core.identity import Identity
from fogsdk.core.membership import FORGET_AFTER, Directory
from fogsdk.core.outcomes import Answer
from fogsdk.core.records import Record
from fogsdk.core.rendezvous import ranked
from fogsdk.core.replicas import Replicas
from fogsdk.core.seeking import MOST_ASKED
from fogsdk.core.work import Work
from fogsdk.errors import TaskRefused
from fogsdk.wire.messages import Cancelled, Refused, Task, TaskInfo

Effects = list[Any]
Welcome = Callable[[str, Task, int], Refused | None]
"""Why a node does not take a task now, None where it does."""


@dataclass(frozen=True)
class Keeper:
    """A node as its posts and sessions see it; ``effects`` carries out what comes later than the call it is about."""

    identity: Identity
    directory: Directory
    replicas: Replicas
    calls: Calls
    answers: Answers
    work: Work
    welcome: Welcome
    effects: Callable[[Sequence[Any], int], list[Command]]

    @property
    def node(self) -> str:
        return self.identity.node

    def locate(self, call: Call, now: int) -> Record | Effects | None:
        """The record that a call is about, if this node is its home and it is safe; None if no node has it. Otherwise
        what there is to do: the call waits, or is sent on to the node that has the record."""
        replicas, key = self.replicas, call.about
        record = replicas.get(key)
        if record is not None and record.home == self.node:
            call.best, call.sought = None, False
            return record if record.told else []
        if not call.sought:
            return replicas.seek(key, now)
        best, call.best, call.sought = call.best, None, False
        if best is None:
            return None if record is None else []
        instead = best.home if best.home in replicas.others(key, now) else best.node
        return self.answer(call, Refused(call.task.id, self.node, "elsewhere", f"ask {instead}", instead=instead), now)

    def away(self) -> str:
        """A node that keeps records and is not there now, "" if there is none."""
        members = self.directory.members.values()
        return next((m.node for m in members if m.birth.keeps and not m.present), "")

    def in_doubt(self, call: Call, now: int) -> list[str]:
        """The nodes that may have a record which no other has, where there are enough of them: its two holders. One
        that went some time ago counts as gone for good."""
        there = [m for m in self.directory.members.values() if m.present or now - m.last_heard < FORGET_AFTER]
        able = [m.node for m in there if m.birth.keeps and m.node != self.node and not m.leaving]
        unheard = [node for node in ranked(call.about, able)[:MOST_ASKED] if node not in call.answered]
        return unheard if len(unheard) > 1 else []

    def answer(self, call: Call, answer: Answer, now: int) -> list[Command]:
        """Give a call its answer."""
        self.calls.close(call)
        return self.answers.answer(call.asked, answer, now)

    def info(self, name: str) -> TaskInfo:
        """How a task is declared. Raises TaskRefused where no node offers it."""
        info = self.work.info(name)
        if info is None:
            raise TaskRefused("unknown-task", self.work.offered(name))
        return info

    def stop(self, held: Held, now: int) -> list[Command]:
        """Stop a task, and tell nobody."""
        held.report = lambda _answer, _now: []
        return self.answers.finish(held, Cancelled(held.task.id), now)
