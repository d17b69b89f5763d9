"""Bundles: short calls of one task that leave together are one task to everybody on the way (``wire/bundles.py``).

What is done for each task, in the ledger, on the node and by the broker, is then done once for all of them. A bundle
that is answered by anything but a result is taken apart, and its calls go out one by one.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass, replace

from fogsdk.core.builtins import PREFIX
from fogsdk.core.client import Client
from fogsdk.core.commands import Advanced, Command, Settled
from fogsdk.core.events import Event, LinkUp, Replied, Submit, Withdraw
from fogsdk.errors import WireError
from fogsdk.wire import bundles
from fogsdk.wire.bundles import LONGEST, SMALL
from fogsdk.wire.limits import BUNDLE, INLINE_SIZE
from fogsdk.wire.messages import Refused, Result, Task

PAUSE = 10_000
"""Milliseconds for which calls of a task go out one by one, after a bundle was taken apart or a result was large."""
MOST_NAMES = 256


@dataclass(slots=True)
class _Bundle:
    """A bundle that is out, and its calls by id: None of those that were withdrawn."""

    task: Task
    calls: dict[str, Task | None]


class Bundler(Client):
    """A client that makes bundles, whose ids begin with ``run``, which no other client of this name had; with none it
    makes no bundles. What was submitted leaves with :meth:`send_open`.

    Who was ``interrupted`` by an exception out of the blue says so: when there is a connection again, nothing of what
    was at work is lost.
    """

    def __init__(self, site: str, me: str, run: str, inline: int = INLINE_SIZE) -> None:
        super().__init__(site, me, inline)
        self.interrupted = False
        self._handle = super().handle
        self._run = run
        self._count = 0
        self._largest = min(BUNDLE, inline // (2 * SMALL)) if run else 1
        self._bundles: dict[str, _Bundle] = {}
        self._bundle_of: dict[str, str] = {}  # by the ids of their calls
        self._over = ""  # the bundle that was opened last, until it is sure that its owner was told
        self._alone: dict[str, str] = {}  # ids under which calls of a bundle go on, and their own ones
        self._pauses: OrderedDict[str, int] = OrderedDict()  # names, and until when

    def handle(self, event: Event, now: int) -> list[Command]:
        """Take in one event and return what to do about it, in order. Where there is time afterwards, ``catch_up``
        learns from it."""
        if self._over and not self.interrupted:
            self._forget(self._over)
        if isinstance(event, Submit):
            if self._may_wait(event, now):
                self.open[event.task.id] = event.task
                return []
        elif isinstance(event, Replied):
            if isinstance(event.message, Result) and len(event.message.body) > SMALL:
                self._look_at_size(event.message, now)
        elif isinstance(event, Withdraw):
            return self._withdraw(event, now)
        elif isinstance(event, LinkUp) and self.interrupted:
            return [*self._handle(event, now), *self._hand_in_again(now)]
        out = self._handle(event, now)
        return self._opened(out, now) if self._bundles or self._alone else out

    # ------------------------------------------------------------ together

    def _may_wait(self, event: Submit, now: int) -> bool:
        """Whether a call may be one of a bundle, and others are out that it could leave with."""
        task = event.task
        return (
            self.unsettled > 0
            and not event.to
            and task.deadline is None
            and task.priority == 0
            and task.weight is None
            and task.keep is None
            and task.session is None
            and len(task.body) <= SMALL
            and self._most(task.name) > 1
            and self._pauses.get(task.name, 0) <= now
            and not task.name.startswith(PREFIX)
        )

    def _most(self, name: str) -> int:
        """How many calls of a task make one bundle."""
        mean = self._costs.mean(name)
        if mean is None:
            return 1
        return self._largest if mean * self._largest <= LONGEST else int(LONGEST / mean)

    def send_open(self, now: int) -> list[Command]:
        """Send what is open. It is open until the ledger has it, and sent once, whoever is interrupted in between."""
        if self.interrupted:
            self._write_down()
            self._bundle_of.update({call: id for id, bundle in self._bundles.items() for call in bundle.calls})
        tasks = list(self.open.values())
        by_name: dict[str, list[Task]] = {}
        for task in tasks:
            if task.id not in self._bundle_of and task.id not in self.ledger.entries:
                by_name.setdefault(task.name, []).append(task)
        out: list[Command] = []
        for name, same in by_name.items():
            most = max(1, self._most(name))
            for begin in range(0, len(same), most):
                out += self._send(same[begin : begin + most], now)
        for task in tasks:
            self.open.pop(task.id, None)
        return out

    def _send(self, tasks: list[Task], now: int) -> list[Command]:
        if len(tasks) == 1:
            return self._handle(Submit(tasks[0]), now)
        self._count += 1
        id = f"{self._run}-x{self._count:x}"
        calls: dict[str, Task | None] = {task.id: task for task in tasks}
        bundle = Task(id, tasks[0].name, bundles.write([task.body for task in tasks]), count=len(tasks))
        self._bundles[id] = _Bundle(bundle, calls)
        self._bundle_of.update(dict.fromkeys(calls, id))
        return self._handle(Submit(bundle), now)

    def _hand_in_again(self, now: int) -> list[Command]:
        """What the ledger does not have was at work when somebody was interrupted: the node knows what became of it."""
        self.interrupted, self._over = False, ""
        self._write_down()
        lost = [bundle.task for id, bundle in self._bundles.items() if id not in self.ledger.entries]
        return [command for task in lost for command in self._handle(Submit(task), now)]

    def _forget(self, id: str) -> None:
        for call in self._bundles[id].calls:
            self._bundle_of.pop(call, None)
        self._over = ""
        del self._bundles[id]

    # ------------------------------------------------------------ apart

    def _opened(self, commands: list[Command], now: int) -> list[Command]:
        out: list[Command] = []
        for command in commands:
            if isinstance(command, Settled) and command.id in self._bundles:
                out += self._open_bundle(command, now)
            elif isinstance(command, Settled) and command.id in self._alone:
                id = self._alone.pop(command.id)
                out.append(Settled(id, replace(command.outcome, id=id)))
            elif isinstance(command, Advanced) and command.id in self._alone:
                out.append(Advanced(self._alone[command.id], command.fraction))
            else:
                out.append(command)
        return out

    def _open_bundle(self, settled: Settled, now: int) -> list[Command]:
        calls, result = self._bundles[settled.id].calls, settled.outcome
        if self._over and not self.interrupted:
            self._forget(self._over)  # one event may end several
        self._over = settled.id
        try:
            if not isinstance(result, Result) or not result.hops:
                return self._one_by_one(calls.values(), now)
            node = result.hops[0].node
            outcomes = bundles.read_outcomes(result, node, list(calls))
        except WireError:
            return self._one_by_one(calls.values(), now)
        out: list[Command] = []
        for index, ((id, task), outcome) in enumerate(zip(calls.items(), outcomes, strict=True)):
            if outcome is None:
                out += self._goes_on(bundles.id_of(settled.id, index), task, node, now)
            elif task is not None and isinstance(outcome, Refused):
                out += self._alone_again(task, now)  # there may be one who does not, now or later
            elif task is not None:
                out.append(Settled(id, outcome))
        return out

    def _one_by_one(self, calls: Iterable[Task | None], now: int) -> list[Command]:
        out: list[Command] = []
        for task in calls:
            if task is not None:
                self._pause(task.name, now)
                out += self._alone_again(task, now)
        return out

    def _alone_again(self, task: Task, now: int) -> list[Command]:
        return [] if task.id in self.ledger.entries else self._handle(Submit(task), now)

    def _goes_on(self, alone: str, task: Task | None, node: str, now: int) -> list[Command]:
        """A node has a call of a bundle as a task of its own now."""
        if task is None:
            return [*self.ledger.cancel(node, alone)]
        self._pause(task.name, now)
        self._alone[alone] = task.id
        if alone not in self.ledger.entries:
            self.adopt(replace(task, id=alone), node, now)
        return []

    def _withdraw(self, event: Withdraw, now: int) -> list[Command]:
        if self.open.pop(event.id, None) is not None and event.id not in self._bundle_of:
            return []
        out: list[Command] = []
        bundle = self._bundle_of.get(event.id)
        if bundle is not None:
            calls = self._bundles[bundle].calls
            calls[event.id] = None
            if not any(calls.values()):
                self._forget(bundle)
                out += self._handle(Withdraw(bundle), now)
        alone = next((alone for alone, id in self._alone.items() if id == event.id), event.id)
        self._alone.pop(alone, None)
        return [*out, *self._handle(Withdraw(alone), now)]

    # ------------------------------------------------------------ what is not bundled for a while

    def _look_at_size(self, result: Result, now: int) -> None:
        entry = self.ledger.entries.get(result.id)
        if entry is not None and len(result.body) > SMALL * entry.task.count:
            self._pause(entry.task.name, now)

    def _pause(self, name: str, now: int) -> None:
        self._pauses[name] = now + PAUSE
        self._pauses.move_to_end(name)
        if len(self._pauses) > MOST_NAMES:
            self._pauses.popitem(last=False)
