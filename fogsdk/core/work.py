"""A node's tasks on their way: placed, queued, run here, given away, split into parts and put together again.

Methods return effects: commands for the shell, and pairs ``(held, answer)`` where a task has got its outcome.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from fogsdk.core.admission import Admission
from fogsdk.core.candidates import Candidates
from fogsdk.core.commands import Command, Note, Send, Start, Stop
from fogsdk.core.costs import GUESS_MS, Costs
from fogsdk.core.entry import Orphaned
from fogsdk.core.events import JobApart, JobDone, JobFailed, JobLost, JobRefused, JobSplit
from fogsdk.core.hedging import Straggling
from fogsdk.core.held import Held, Key, State
from fogsdk.core.identity import Identity
from fogsdk.core.ledger import Ledger
from fogsdk.core.membership import Directory
from fogsdk.core.outcomes import Answer
from fogsdk.core.placement import GLANCES, POLICIES, Decision, Question
from fogsdk.core.presence import Presence
from fogsdk.core.quarantine import Quarantine
from fogsdk.core.runqueue import RunQueue
from fogsdk.core.waiting import WAIT_AGAIN
from fogsdk.wire import bundles, limits
from fogsdk.wire.messages import Body, Expired, Failed, Hop, Refused, Result, Task, TaskInfo

MOST_LOSSES = 3
"""Workers that a task may lose before it counts as the task's own failure."""
MOST_NAMED = 20
"""Tasks that are named to one who asked for another."""

_AT_WORK = {"run": State.RUNNING, "split": State.SPLITTING, "merge": State.MERGING}

Effects = list[Any]


class Work:
    """Everything between a task's arrival at a node and its outcome."""

    def __init__(self, identity: Identity, directory: Directory, ledger: Ledger, presence: Presence) -> None:
        self.queue = RunQueue(identity.workers, identity.express, identity.ahead)
        self.admission = Admission(identity.node, identity.queue_limit, self.queue, identity.room)
        self.quarantine = Quarantine(identity.node)
        self.candidates = Candidates(identity, directory, presence, self.queue)
        self.away: dict[str, Held] = {}
        self._me = identity
        self._policy = POLICIES[identity.policy]
        self._glance = None if identity.role == "cloud" else GLANCES.get(identity.policy)
        self._directory = directory
        self._ledger = ledger
        self._presence = presence
        self._costs = Costs()
        self._jobs = 0
        self._children = 0
        self._turn = 0

    # ------------------------------------------------------------ what is offered

    def info(self, name: str) -> TaskInfo | None:
        """How a task is declared here, or else on a node that is known."""
        own = self._me.tasks.get(name)
        if own is not None or self._me.role == "cloud":
            return own
        return next((m.tasks[name] for m in self._directory.members.values() if name in m.tasks), None)

    def offered(self, name: str) -> str:
        """The message to one who asked for a task that nobody has."""
        names = sorted({*self._me.tasks}.union(*(member.tasks for member in self._directory.members.values())))
        known = ", ".join(names[:MOST_NAMED]) or "none at all"
        more = f", and {len(names) - MOST_NAMED} more" if len(names) > MOST_NAMED else ""
        return f"no node of site {self._me.site} offers {name!r}; there are: {known}{more}"

    def hold(self, key: Key, task: Task, info: TaskInfo, now: int, calls: tuple[Body, ...] = ()) -> Held:
        """Make the record of a task that came in, or of a bundle of ``calls``."""
        weight = self._costs.weight(task.name, task.weight or info.weight)
        expires = None if task.deadline is None else now + task.deadline
        held = Held(key, task, info, weight, now, expires, self._ran(task.name, weight), task.part)
        if calls:
            held.calls, held.share = calls, float(len(calls))
            # Where nothing is known, its sender is believed that it is short.
            held.cost = bundles.LONGEST if self._costs.mean(task.name) is None else held.cost * len(calls)
        return held

    def _ran(self, name: str, weight: str) -> float:
        mean = self._costs.mean(name)
        return GUESS_MS[weight] if mean is None else mean

    # ------------------------------------------------------------ placement

    def place(self, held: Held, now: int, barred: frozenset[str] = frozenset()) -> Effects:
        """Decide where a task goes, and send it on its way. ``barred`` are nodes that just failed it."""
        decision = self._at_once(held, now) or self._decide(held, now, barred)
        if held.calls and decision.where != "here":
            return [(held, Refused(held.task.id, self._me.node, "apart", "these calls may each go elsewhere"))]
        held.why = decision.why
        match decision.where:
            case "here":
                is_new = held.parent is None and held.state is State.QUEUED
                late = self.admission.too_late(held, now) if is_new and held.expires is not None else None
                return self._run_here(held, now) if late is None else [(held, late)]
            case "there":
                return self._give_away(held, decision.node, now)
            case "share":
                held.plan, held.job_kind = decision.shares, "split"
                return self._run_here(held, now)
            case "refuse":
                return [(held, Refused(held.task.id, self._me.node, "no-cloud", decision.why))]
        return self._wait(held, now)

    def _at_once(self, held: Held, now: int) -> Decision | None:
        """The decision for a light task, where it can be made with no question to the policy."""
        if self._glance is None or held.weight != "light" or held.task.via or held.task.name not in self._me.tasks:
            return None
        done = self.queue.wait(now, held.quick) + held.cost
        return self._glance(len(self.queue), done, lambda: self.candidates.neighbours(held, now))

    def _decide(self, held: Held, now: int, barred: frozenset[str]) -> Decision:
        task, name, is_heavy = held.task, held.task.name, held.weight == "heavy"
        if self._me.role == "cloud" and name in self._me.tasks:
            return Decision("here", "this is the bridge to the cloud")
        self._turn += 1
        clouds = self.candidates.bridges(held, now, barred)
        cloud_known = is_heavy and (bool(clouds) or self._cloud_known(name))
        question = Question(
            name=name,
            weight=held.weight,
            me=self.candidates.myself(held, now),
            others=self.candidates.neighbours(held, now, barred),
            clouds=clouds,
            cloud_known=cloud_known,
            bridge=self.candidates.any_bridge() if is_heavy and not cloud_known else None,
            splittable=held.info.split and name in self._me.tasks and task.state is None,
            fallback=is_heavy and (held.info.fallback == "fog" or self._me.role == "core" or held.undeclared),
            part=held.part is not None,
            left=None if held.expires is None else float(held.expires - now),
            via=task.via,
            turn=self._turn,
        )
        return self._policy(question)

    def _cloud_known(self, name: str) -> bool:
        return any(m.role == "cloud" and name in m.tasks for m in self._directory.members.values())

    # ------------------------------------------------------------ here

    def _run_here(self, held: Held, now: int) -> Effects:
        effects: Effects = []
        if held.state is State.AWAY:
            effects += self._fetch_back(held, cancel=True)
            held.to(State.QUEUED)
        self.queue.push(held, now)
        return effects

    def fill(self, now: int) -> Iterator[Command]:
        """Start jobs while there are workers free and tasks waiting."""
        while (held := self.queue.next()) is not None:
            self._jobs += 1
            held.job, held.started = self._jobs, now
            held.queued += now - held.queued_at
            held.to(_AT_WORK[held.job_kind])
            self.queue.running[held.job] = held
            yield self._start(held, held.job, now)

    def _start(self, held: Held, job: int, now: int) -> Start:
        task, info = held.task, held.info
        sender, id = held.key
        return Start(  # by position: by name takes three times as long
            job,
            "each" if held.calls else "step" if task.state is not None else held.job_kind,
            task.name,
            held.bodies(),
            tuple(share for _, share in held.plan) if held.job_kind == "split" else (),
            info.timeout or self._me.task_timeout,
            info.memory,
            sender,
            id,
            None if held.expires is None else max(0, held.expires - now),
            task.priority,
            held in self.queue.tiny,
        )

    def done(self, held: Held, event: JobDone, now: int) -> Result:
        """A task's job returned: the result for its sender."""
        self.queue.drop(held)
        if held.job_kind == "run" and not event.hops and (held.part is None or held.parent is not None):
            self._costs.learn(held.task.name, event.ran / held.share)
        wait = int(self.queue.wait(now, held.quick))
        ran = event.ran / len(held.calls) if held.calls else event.ran
        return Result(held.task.id, event.value, self._hops(held, ran, now, event.hops), wait)

    def apart(self, held: Held, event: JobApart, now: int) -> tuple[Result, list[Held]]:
        """A bundle has ended early: the result of what is done, and the calls that go on alone."""
        done = len(event.outcomes)
        ran = event.ran / done if done else float(now - held.started)  # and not over even then
        alone = [self._alone(held, index, now) for index in range(done, len(held.calls))]
        waiting = alone
        if event.at_work:
            first, *waiting = alone
            first.to(State.RUNNING)
            first.queued = held.queued
            self.queue.hand_over(held, first)
        else:
            self.queue.drop(held)
        for each in waiting:
            self.queue.push(each, now)
        body = bundles.write([*event.outcomes, *[None] * len(alone)])
        return Result(held.task.id, body, self._hops(held, ran, now), int(self.queue.wait(now, held.quick))), alone

    def _alone(self, bundle: Held, index: int, now: int) -> Held:
        task = replace(bundle.task, id=bundles.id_of(bundle.task.id, index), body=bundle.calls[index], count=1)
        held = self.hold((bundle.key[0], task.id), task, bundle.info, now)
        held.link, held.as_json, held.why = bundle.link, bundle.as_json, bundle.why
        return held

    def job(self, held: Held, event: JobSplit | JobFailed | JobRefused | JobLost, now: int) -> Effects:
        """Take in what else became of a task's job."""
        self.queue.drop(held)
        match event:
            case JobSplit():
                return self._hand_out(held, event, now)
            case JobFailed():
                hops = self._hops(held, event.ran, now, event.hops)
                return [(held, Failed(held.task.id, event.type, event.message, event.traceback, hops))]
            case JobRefused():
                refused = Refused(held.task.id, self._me.node, event.reason, event.message, event.retry_after)
                return [(held, refused)]
            case JobLost():
                return self._worker_lost(held, event, now)

    def _worker_lost(self, held: Held, event: JobLost, now: int) -> Effects:
        held.lose(self._me.node, event.why)
        held.losses += not event.induced  # one that was killed on purpose says nothing about the task
        if held.losses >= MOST_LOSSES:
            message = f"{held.losses} workers died with it; the last time: {event.why}"
            failed = Failed(held.task.id, "WorkerDied", message, "", self._hops(held, 0.0, now))
            return [self._locked_up(held, event.why, now), (held, failed)]
        held.to(State.QUEUED)
        self.queue.push(held, now)
        return []

    def _locked_up(self, held: Held, why: str, now: int) -> Note:
        whole = held.parent or held
        return self.quarantine.offend(whole.task.name, whole.task.body, why, now)

    def _hops(self, held: Held, ran: float, now: int, further: tuple[Hop, ...] = ()) -> tuple[Hop, ...]:
        """The trace of a task that ran here, or further on through the executor."""
        if held.job_kind == "merge":
            return held.trace_of_parts(self._me.node, now, ran=ran)
        action = "sent" if further else "ran"
        took = max(float(now - held.arrived), held.queued + ran)
        own = Hop(self._me.node, action, held.why, held.part, held.queued, 0.0 if further else ran, took)
        return (own, *further, *held.lost)[: limits.HOPS]

    # ------------------------------------------------------------ elsewhere

    def _give_away(self, held: Held, node: str, now: int) -> Effects:
        self._enter(held, now)
        ran = self._directory.members[node].ran(held.task.name)
        cost = held.cost if ran is None else ran * held.share
        self.candidates.outdated()
        return list(self._ledger.assign(held.ledger_id, node, now, cost))

    def _wait(self, held: Held, now: int) -> Effects:
        self._enter(held, now)
        return list(self._ledger.wait(held.ledger_id, now, now + 2 * WAIT_AGAIN))

    def _enter(self, held: Held, now: int) -> None:
        if held.state is State.AWAY:
            return
        held.to(State.AWAY)
        self._children += 1
        held.ledger_id = f"{self._me.incarnation:x}-{self._children:x}"
        self.away[held.ledger_id] = held
        left = None if held.expires is None else max(0, held.expires - now)
        via = (*held.task.via, self._me.node)[-limits.HOPS :]
        task = replace(held.task, id=held.ledger_id, deadline=left, via=via, part=held.part)
        self._ledger.add(task, now)

    def _fetch_back(self, held: Held, cancel: bool) -> list[Send]:
        self.away.pop(held.ledger_id, None)
        self.candidates.outdated()
        entry = self._ledger.entries.get(held.ledger_id)
        if entry is not None:
            held.lost = (*held.lost, *entry.lost)[-8:]
        return self._ledger.take_back(held.ledger_id, cancel)

    def orphaned(self, effect: Orphaned, now: int) -> Effects:
        """The ledger says that a task needs a taker: place it anew."""
        held = self.away.get(effect.id)
        if held is None:
            return list(self._ledger.take_back(effect.id))
        entry = self._ledger.entries[effect.id]
        if held.weight == "heavy" and entry.refusal is not None and entry.refusal.reason == "no-room":
            return [*self._ledger.take_back(effect.id), (held, self.came_back(held, entry.refusal, now))]
        barred = frozenset(node for node, until in entry.avoid.items() if until > now)
        return self.place(held, now, barred)

    def straggling(self, effect: Straggling, now: int) -> Effects:
        """A task is late: give it to a second node too, if one would be done within the time the first one took."""
        held, entry = self.away.get(effect.id), self._ledger.entries[effect.id]
        if held is None or held.weight == "heavy":
            return []
        best = self.candidates.neighbours(held, now, (effect.node, *entry.avoid)).soonest
        if best is None or best.done > now - entry.sent_at:
            return []
        return list(self._ledger.hedge(effect.id, best.node, now))

    def came_back(self, held: Held, outcome: Result | Failed | Refused | Expired, now: int) -> Answer:
        """The answer to the sender, from the outcome that another node gave."""
        self.away.pop(held.ledger_id, None)
        id = held.task.id
        if isinstance(outcome, Refused):
            return replace(outcome, id=id, node=self._me.node)
        if isinstance(outcome, Failed) and outcome.error == "WorkerDied":  # the next neighbour is not to try it too
            self._locked_up(held, outcome.message, now)
        own = Hop(self._me.node, "sent", held.why, held.part, took=float(now - held.arrived))
        hops = outcome.hops if held.part is not None and held.parent else (own, *outcome.hops, *held.lost)
        if isinstance(outcome, Result):
            return Result(id, outcome.body, hops[: limits.HOPS], int(self.queue.wait(now, held.quick)))
        return replace(outcome, id=id, hops=hops[: limits.HOPS])

    def release(self, held: Held) -> list[Command]:
        """Stop whatever works on a task."""
        out: list[Command] = []
        if held.job is not None:
            out.append(Stop(held.job))
        if held.job is not None or held.state is State.QUEUED:
            self.queue.drop(held)
        if not held.ledger_id:
            return out
        if held.ledger_id in self.away:
            return out + self._fetch_back(held, cancel=True)
        return out + self._ledger.take_back(held.ledger_id)

    # ------------------------------------------------------------ in parts

    def _hand_out(self, held: Held, event: JobSplit, now: int) -> Effects:
        count = min(len(event.parts), len(held.plan))
        if count == 0 or len(event.parts) > count:
            message = f"split returned {len(event.parts)} parts for {len(held.plan)} shares"
            return [(held, Failed(held.task.id, "TaskDefinitionError", message, "", self._hops(held, 0.0, now)))]
        held.to(State.SHARED)
        held.split_ran = event.ran
        plan = held.plan[:count]
        total = sum(share for _, share in plan)
        shares = zip(event.parts, plan, strict=True)
        held.parts = tuple(
            [self._part(held, index, body, share / total, now) for index, (body, (_, share)) in enumerate(shares)]
        )
        held.results = (None,) * count
        placed = [self._place_part(part, node, now) for part, (node, _) in zip(held.parts, plan, strict=True)]
        return [effect for effects in placed for effect in effects]

    def _part(self, parent: Held, index: int, body: Body, share: float, now: int) -> Held:
        task = replace(parent.task, body=body, part=index)
        cost = parent.cost * share
        return Held(parent.key, task, parent.info, parent.weight, now, parent.expires, cost, index,
                    why=parent.why, parent=parent, share=share)  # fmt: skip

    def _place_part(self, part: Held, node: str, now: int) -> Effects:
        if node == self._me.node:
            return self._run_here(part, now)
        member = self._directory.members.get(node)
        if member is not None and member.available(now):
            return self._give_away(part, node, now)
        return self.place(part, now)

    def collect(self, parent: Held, part: Held, result: Result, now: int) -> Effects:
        """Take in one part's result; with the last one, merge."""
        assert part.part is not None
        parent.results = (*parent.results[: part.part], result, *parent.results[part.part + 1 :])
        self._learn_part(part, result)
        part.fraction = 1.0
        if None in parent.results:
            return []
        parent.job_kind = "merge"
        parent.to(State.QUEUED)
        self.queue.push(parent, now)
        return []

    def _learn_part(self, part: Held, result: Result) -> None:
        if part.ledger_id and result.hops:
            self._directory.ran(result.hops[0].node, part.task.name, result.hops[0].ran / part.share)
