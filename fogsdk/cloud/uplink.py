"""The bridge's executor: it spools each job on disk and has the core site run it, through the SDK's own client.

The core site is a site like any other; to it the bridge is a device. Job ids there are derived from who asked and how
they named the task, so that a bridge that comes back after a crash meets its own tasks again and starts none twice.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from hashlib import blake2b
from typing import TypeVar

from fogsdk.cloud.line import Line
from fogsdk.cloud.spool import LARGE, Record, Spool, SpoolFull
from fogsdk.core.bundler import Bundler
from fogsdk.core.commands import Advanced, Settled, Start
from fogsdk.core.events import (
    Asked,
    CloudReached,
    JobDone,
    JobEvent,
    JobFailed,
    JobProgress,
    JobRefused,
    Offer,
    Submit,
    Withdraw,
)
from fogsdk.core.held import Key
from fogsdk.device.driver import Driver
from fogsdk.device.url import BrokerUrl, Credentials
from fogsdk.errors import WireError
from fogsdk.node.executor import Emit
from fogsdk.wire import codec
from fogsdk.wire.limits import STORED_SIZE
from fogsdk.wire.messages import Birth, Body, Expired, Failed, Malformed, Message, Refused, Result, Task, TaskInfo

T = TypeVar("T")

log = logging.getLogger(__name__)

LOOK_EVERY = 1.0
"""Seconds between two looks at what the core site offers."""
AWAY_FOR = 5000
"""Milliseconds for which a node that gets a task back need not try the bridge again."""
SLOTS = 10_000
"""Jobs under way in the cloud at once; the core site's own queues bound what runs there."""


def remote_id(sender: str, id: str) -> str:
    """The id under which the core site knows a task of this site: the same again after a restart."""
    return blake2b(f"{sender}/{id}".encode(), digest_size=16).hexdigest()


@dataclass
class _Job:
    """A job without an answer yet; ``remote`` is its id at the core site, ``sent`` whether it was told of it."""

    number: int
    sender: str
    id: str
    name: str
    remote: str
    started: float
    sent: bool = False


class Uplink:
    """Runs jobs on the core site ``site`` that ``brokers`` lead to; ``me`` is the bridge's id there.

    What is to be done in the spool stands in line, since large bodies take long. What follows from it waits for it: a
    job goes up, and its outcome goes to its sender, once it is on the disk.
    """

    slots = SLOTS

    def __init__(
        self, spool: Spool, site: str, me: str, brokers: Sequence[BrokerUrl], credentials: Credentials
    ) -> None:
        self._spool = spool
        self._line = Line()
        self._client = Bundler(site, me, "")
        self._driver = Driver(self._client, brokers, credentials, self._from_thread, self._from_thread)
        self._jobs: dict[str, _Job] = {}
        self._by_number: dict[int, _Job] = {}
        self._untaken: deque[Key] = deque()
        self._has_room = False
        self._offered: tuple[TaskInfo, ...] = ()
        self._offered_before: tuple[TaskInfo, ...] = ()
        self._looking: asyncio.Task[None] | None = None

    @property
    def up(self) -> bool:
        """Whether the core site can be reached and a node of it is there."""
        return self._driver.up.is_set() and bool(self._driver.nodes())

    async def open(self, emit: Emit) -> None:
        """Connect, offer what the core site offered last, and take up again what the spool holds, little by little."""
        self._emit = emit
        self._loop = asyncio.get_running_loop()
        self._driver.start()
        self._offer(self._spool_offer())
        self._offered_before = self._offered
        self._untaken.extend(self._spool.waiting())
        self._looking = self._loop.create_task(self._look())

    async def close(self) -> None:
        """Disconnect; the spool keeps what is not done."""
        if self._looking is not None:
            self._looking.cancel()
        await self._loop.run_in_executor(None, self._driver.close)
        for each in (self._untaken, self._jobs, self._by_number):
            each.clear()
        await self._line.empty()
        self._spool.close()

    # ------------------------------------------------------------ jobs

    def start(self, job: Start) -> None:
        """Spool a job and send it up; one that was done before is answered from the spool."""
        mine = _Job(job.job, job.sender, job.id, job.name, remote_id(job.sender, job.id), time.monotonic())
        self._jobs[mine.remote] = self._by_number[job.job] = mine
        stays = self.up or not self._may_run_in_the_fog(job.name)
        self._in_line(partial(self._spooled, job, stays), partial(self._go_on, mine), sum(map(len, job.bodies)))

    def stop(self, job: int) -> None:
        """Call a job back from the core site and forget it."""
        known = self._forget(job)
        if known is not None:
            self._withdraw(known)
            self._in_line(partial(self._spool.remove, known.sender, known.id))

    def _in_line(self, work: Callable[[], T], then: Callable[[T], None] = lambda _: None, size: int = 0) -> None:
        self._line.call(work, then, long=size >= LARGE or self._spool.has_large)

    def _spooled(self, job: Start, stays: bool) -> Submit | JobEvent:
        """What is next for a job: to go up, for which it is on the disk then, or its answer."""
        known = self._spool.get(job.sender, job.id)
        if known is not None and known.result is not None:
            outcome = self._read(known, known.result)
            if isinstance(outcome, (Result, Failed)):
                return _event(job.job, outcome, 0.0)
        if not stays:
            self._spool.remove(job.sender, job.id)
            return _away(job.job)
        state = bytes(job.bodies[1]) if job.kind == "step" else None
        task = Task(remote_id(job.sender, job.id), job.name, job.bodies[0], job.deadline, job.priority, state=state)
        if known is None:
            try:
                message, body = _apart(task)
                self._spool.put(Record(job.sender, job.id, message, time.time(), job.deadline), body)
            except SpoolFull as error:
                return JobRefused(job.job, "overloaded", str(error), 5000)
        return Submit(task)

    def _read(self, record: Record, encoded: bytes) -> Message | Malformed:
        """A message of a record, with the body that is beside it."""
        [message] = codec.decode(encoded, STORED_SIZE)
        if isinstance(message, (Task, Result)) and not message.body:  # none is empty by itself
            return replace(message, body=self._spool.body(record.sender, record.id))
        return message

    def _go_on(self, job: _Job, step: Submit | JobEvent) -> None:
        if not isinstance(step, Submit):
            self._loop.call_soon(self._end, job.number, step)  # who started it may be in the middle of something
        elif job.number in self._by_number:  # it was not stopped meanwhile
            job.sent = True
            self._driver.tell(step)

    def _withdraw(self, job: _Job) -> None:
        if job.sent:
            job.sent = False
            self._driver.tell(Withdraw(job.remote))

    def _end(self, number: int, event: JobEvent) -> None:
        """Give a job its one answer, unless it was stopped."""
        if self._forget(number) is not None:
            self._emit(event)

    def _forget(self, number: int) -> _Job | None:
        job = self._by_number.pop(number, None)
        if job is not None:
            del self._jobs[job.remote]
            self._has_room = True
        return job

    def _may_run_in_the_fog(self, name: str) -> bool:
        return any(info.name == name and (info.weight != "heavy" or info.fallback == "fog") for info in self._offered)

    def _give_back(self) -> None:
        """The cloud is away: what may run in the fog goes back there, the rest waits."""
        for job in list(self._jobs.values()):
            if job.sent and self._may_run_in_the_fog(job.name):
                self._withdraw(job)
                self._in_line(partial(self._removed, job, _away(job.number)), partial(self._end, job.number))

    def _removed(self, job: _Job, event: JobEvent) -> JobEvent:
        self._spool.remove(job.sender, job.id)
        return event

    # ------------------------------------------------------------ what was spooled before

    def _take_up_next(self) -> None:
        """Hand a spooled task to the node core again, as if its sender had sent it just now, and then the next."""
        self._has_room = False
        if self._untaken:
            key = self._untaken.popleft()
            self._in_line(partial(self._spooled_before, *key), partial(self._take_up, key))

    def _take_up(self, key: Key, task: Task | None) -> None:
        remote = remote_id(*key)
        if task is not None and remote not in self._jobs:
            self._emit(Asked("", key[0], task))
        if task is None or remote in self._jobs:
            self._loop.call_soon(self._take_up_next)
        else:
            self._untaken.append(key)  # the core has no room for it; its sender may be gone, and not send it again

    def _spooled_before(self, sender: str, id: str) -> Task | None:
        """A task of the spool as its sender gave it; None where it is done, or is not to run any more."""
        record = self._spool.get(sender, id)
        if record is None or record.result is not None:
            return None
        task = self._task_of(record)
        if task is None:
            self._spool.remove(sender, id)
        return task

    def _task_of(self, record: Record) -> Task | None:
        try:
            task = self._read(record, record.message)
        except (WireError, ValueError) as error:
            log.error("a record of the spool cannot be read and is dropped: %s", error)
            return None
        left = record.left(time.time())
        if not isinstance(task, Task) or left == 0:
            return None
        if all(info.name != task.name for info in self._offered_before):  # now some nodes may just not be heard yet
            log.warning(
                "the spool held a task %r, which the core site offered no more when last heard: dropped", task.name
            )
            return None
        return replace(task, id=record.id, deadline=left)

    # ------------------------------------------------------------ what comes back

    def _from_thread(self, news: Settled | Advanced) -> None:
        self._loop.call_soon_threadsafe(self._heard, news)

    def _heard(self, news: Settled | Advanced) -> None:
        job = self._jobs.get(news.id)
        if job is None or not job.sent:
            return
        if isinstance(news, Advanced):
            self._emit(JobProgress(job.number, news.fraction))
            return
        if isinstance(news.outcome, Expired):
            return  # the node core counts the same deadline and answers it
        job.sent = False
        took = (time.monotonic() - job.started) * 1000
        event = _event(job.number, news.outcome, took)
        if isinstance(news.outcome, Refused):
            self._in_line(partial(self._removed, job, event), partial(self._end, job.number))
        else:
            size = len(news.outcome.body) if isinstance(news.outcome, Result) else 0
            self._in_line(partial(self._finished, job, news.outcome, event), partial(self._end, job.number), size)

    def _finished(self, job: _Job, outcome: Result | Failed, event: JobEvent) -> JobEvent:
        self._spool.finish(job.sender, job.id, *_apart(outcome))
        return event

    # ------------------------------------------------------------ what is offered

    async def _look(self) -> None:
        was_up: bool | None = None
        while True:
            up = self.up
            if up != was_up:
                self._emit(CloudReached(up))
            if up:
                self._offer(_tasks(self._driver.nodes()))
            elif was_up is False:  # away for a whole look, not just between two connections
                self._give_back()
            if self._has_room or not self._jobs:
                self._loop.call_soon(self._take_up_next)
            was_up = up
            await asyncio.sleep(LOOK_EVERY)

    def _offer(self, tasks: tuple[TaskInfo, ...]) -> None:
        if tasks == self._offered:
            return
        self._offered = tasks
        if self._driver.up.is_set():
            self._in_line(partial(self._spool.set_offer, codec.encode([Birth(0, "core", 0, tasks)])))
        self._emit(Offer(tasks))

    def _spool_offer(self) -> tuple[TaskInfo, ...]:
        stored = self._spool.offer()
        if stored is None:
            return ()
        [birth] = codec.decode(stored)
        return birth.tasks if isinstance(birth, Birth) else ()


def _apart(message: Task | Result | Failed) -> tuple[bytes, Body]:
    """The encoding of a message, and its body where that is better not copied into it."""
    if isinstance(message, Failed) or len(message.body) < LARGE:
        return codec.encode([message], most=STORED_SIZE), b""
    return codec.encode([replace(message, body=b"")]), message.body


def _tasks(nodes: dict[str, Birth]) -> tuple[TaskInfo, ...]:
    """Everything that any node of the core site offers, in the order of their names."""
    tasks = {info.name: info for birth in nodes.values() for info in birth.tasks}
    return tuple(tasks[name] for name in sorted(tasks))


def _away(job: int) -> JobRefused:
    return JobRefused(job, "overloaded", "the cloud is away; the task may run in the fog", AWAY_FOR)


def _event(job: int, outcome: Result | Failed | Refused, took: float) -> JobDone | JobFailed | JobRefused:
    match outcome:
        case Result():
            return JobDone(job, outcome.body, took, outcome.hops)
        case Failed():
            return JobFailed(job, outcome.error, outcome.message, outcome.traceback, took, outcome.hops)
        case Refused():
            return JobRefused(job, outcome.reason, outcome.message, outcome.retry_after)
