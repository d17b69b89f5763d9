"""The bridge's executor: it spools each job on disk and has the core site run it, through the SDK's own client.

The core site is a site like any other; to it the bridge is a device. Job ids there are derived from who asked and how
they named the task, so that a bridge that comes back after a crash meets its own tasks again and starts none twice.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import blake2b

from fogsdk.cloud.spool import Record, Spool, SpoolFull
from fogsdk.core.bundler import Bundler
from fogsdk.core.commands import Advanced, Settled, Start
from fogsdk.core.events import Asked, CloudReached, JobDone, JobFailed, JobProgress, JobRefused, Offer, Submit, Withdraw
from fogsdk.device.driver import Driver
from fogsdk.device.url import BrokerUrl, Credentials
from fogsdk.errors import WireError
from fogsdk.node.executor import Emit
from fogsdk.wire import codec
from fogsdk.wire.limits import STORED_SIZE
from fogsdk.wire.messages import Birth, Expired, Failed, Refused, Result, Task, TaskInfo

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


@dataclass(frozen=True)
class _Job:
    number: int
    sender: str
    id: str
    started: float
    name: str


class Uplink:
    """Runs jobs on the core site ``site`` that ``brokers`` lead to; ``me`` is the bridge's id there."""

    slots = SLOTS

    def __init__(
        self, spool: Spool, site: str, me: str, brokers: Sequence[BrokerUrl], credentials: Credentials
    ) -> None:
        self._spool = spool
        self._client = Bundler(site, me, "")
        self._driver = Driver(self._client, brokers, credentials, self._from_thread, self._from_thread)
        self._jobs: dict[str, _Job] = {}
        self._by_number: dict[int, str] = {}
        self._offered: tuple[TaskInfo, ...] = ()
        self._looking: asyncio.Task[None] | None = None

    @property
    def up(self) -> bool:
        """Whether the core site can be reached and a node of it is there."""
        return self._driver.up.is_set() and bool(self._driver.nodes())

    async def open(self, emit: Emit) -> None:
        """Connect, offer what the core site offered last, and take up again what the spool holds."""
        self._emit = emit
        self._loop = asyncio.get_running_loop()
        self._driver.start()
        self._offer(self._spool_offer())
        for record in self._spool.waiting():
            self._take_up(record)
        self._looking = self._loop.create_task(self._look())

    async def close(self) -> None:
        """Disconnect; the spool keeps what is not done."""
        if self._looking is not None:
            self._looking.cancel()
        await self._loop.run_in_executor(None, self._driver.close)
        self._spool.close()

    # ------------------------------------------------------------ jobs

    def start(self, job: Start) -> None:
        """Spool a job and send it up; one that was done before is answered from the spool."""
        known = self._spool.get(job.sender, job.id)
        if known is not None and known.result is not None:
            self._loop.call_soon(self._answer_from_spool, job.job, known.result)
            return
        if not self.up and self._may_run_in_the_fog(job.name):
            if known is not None:
                self._spool.remove(job.sender, job.id)
            self._loop.call_soon(self._emit, _away(job.job))
            return
        remote = remote_id(job.sender, job.id)
        state = bytes(job.bodies[1]) if job.kind == "step" else None
        task = Task(remote, job.name, job.bodies[0], job.deadline, job.priority, state=state)
        if known is None:
            try:
                message = codec.encode([task], most=STORED_SIZE)
                self._spool.put(Record(job.sender, job.id, message, time.time(), job.deadline))
            except SpoolFull as error:
                self._loop.call_soon(self._emit, JobRefused(job.job, "overloaded", str(error), 5000))
                return
        self._jobs[remote] = _Job(job.job, job.sender, job.id, time.monotonic(), job.name)
        self._by_number[job.job] = remote
        self._driver.tell(Submit(task))

    def stop(self, job: int) -> None:
        """Call a job back from the core site and forget it."""
        remote = self._by_number.pop(job, None)
        if remote is not None:
            known = self._jobs.pop(remote)
            self._spool.remove(known.sender, known.id)
            self._driver.tell(Withdraw(remote))

    def _may_run_in_the_fog(self, name: str) -> bool:
        return any(info.name == name and (info.weight != "heavy" or info.fallback == "fog") for info in self._offered)

    def _give_back(self) -> None:
        """The cloud is away: what may run in the fog goes back there, the rest waits."""
        for job in list(self._jobs.values()):
            if self._may_run_in_the_fog(job.name):
                self.stop(job.number)
                self._emit(_away(job.number))

    def _take_up(self, record: Record) -> None:
        """Hand a spooled task to the node core again, as if its sender had sent it just now."""
        try:
            [task] = codec.decode(record.message, STORED_SIZE)
        except (WireError, ValueError) as error:
            log.error("a record of the spool cannot be read and is dropped: %s", error)
            self._spool.remove(record.sender, record.id)
            return
        left = record.left(time.time())
        if isinstance(task, Task) and all(info.name != task.name for info in self._offered):
            log.warning(
                "the spool held a task %r, which the core site offered no more when last heard: dropped", task.name
            )
            self._spool.remove(record.sender, record.id)
        elif isinstance(task, Task):
            again = Task(record.id, task.name, task.body, left, task.priority, state=task.state)
            self._emit(Asked("", record.sender, again))

    def _answer_from_spool(self, job: int, result: bytes) -> None:
        [outcome] = codec.decode(result, STORED_SIZE)
        if isinstance(outcome, (Result, Failed)):
            self._emit(_event(job, outcome, 0.0))

    # ------------------------------------------------------------ what comes back

    def _from_thread(self, news: Settled | Advanced) -> None:
        self._loop.call_soon_threadsafe(self._heard, news)

    def _heard(self, news: Settled | Advanced) -> None:
        job = self._jobs.get(news.id)
        if job is None:
            return
        if isinstance(news, Advanced):
            self._emit(JobProgress(job.number, news.fraction))
            return
        if isinstance(news.outcome, Expired):
            return  # the node core counts the same deadline and answers it
        del self._jobs[news.id]
        del self._by_number[job.number]
        if isinstance(news.outcome, Refused):
            self._spool.remove(job.sender, job.id)
        else:
            self._spool.finish(job.sender, job.id, codec.encode([news.outcome], most=STORED_SIZE))
        self._emit(_event(job.number, news.outcome, (time.monotonic() - job.started) * 1000))

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
            was_up = up
            await asyncio.sleep(LOOK_EVERY)

    def _offer(self, tasks: tuple[TaskInfo, ...]) -> None:
        if tasks == self._offered:
            return
        self._offered = tasks
        if self._driver.up.is_set():
            self._spool.set_offer(codec.encode([Birth(0, "core", 0, tasks)]))
        self._emit(Offer(tasks))

    def _spool_offer(self) -> tuple[TaskInfo, ...]:
        stored = self._spool.offer()
        if stored is None:
            return ()
        [birth] = codec.decode(stored)
        return birth.tasks if isinstance(birth, Birth) else ()


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
