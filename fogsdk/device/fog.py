"""The SDK's face: ``connect`` to a site, and ``run``, ``submit`` or ``map`` tasks on it."""

from __future__ import annotations

import itertools
import os
import secrets
import socket
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import TimeoutError as WaitedTooLong
from concurrent.futures import wait
from functools import partial
from types import TracebackType
from typing import TYPE_CHECKING, Any

from fogsdk.core.bundler import Bundler
from fogsdk.core.commands import Advanced, Settled
from fogsdk.core.events import Submit, Withdraw
from fogsdk.device import invite, posted
from fogsdk.device.brokers import announced, announced_nodes, fallback, later, named, others
from fogsdk.device.calls import build_task
from fogsdk.device.clock import clock
from fogsdk.device.dialer import Find
from fogsdk.device.driver import Driver
from fogsdk.device.drivers import driver_for
from fogsdk.device.future import IN_A_CALLBACK, FogFuture
from fogsdk.device.mqtt import check_files, tls_context
from fogsdk.device.posted import Receipt
from fogsdk.device.session import Session
from fogsdk.device.url import DEFAULT_SITE, BrokerUrl, Credentials, parse
from fogsdk.errors import ConfigError, ConnectionFailed, DeadlineExceeded, FogError, TaskFailed, TaskRefused, WireError
from fogsdk.wire.limits import INLINE_SIZE
from fogsdk.wire.messages import Birth, Task
from fogsdk.wire.topics import check_id

if TYPE_CHECKING:
    from fogsdk.device.diskledger import DiskLedger

IN_FLIGHT = 64
"""Tasks that ``map`` keeps going at once."""
LAST_WORDS = 1.0
"""Seconds that ``close`` waits for the fog to hear which receipts are done with."""


def connect(
    url: str | Sequence[str] | None = None,
    *,
    site: str | None = None,
    name: str | None = None,
    username: str | None = None,
    password: str | None = None,
    ca: str | None = None,
    cert: str | None = None,
    key: str | None = None,
    timeout: float = 10.0,
    ledger: str | os.PathLike[str] | None = None,
    inline_limit: int = INLINE_SIZE,
) -> Fog:
    """Connect to a site of the fog and return a :class:`Fog`, best used in a ``with`` block.

    ``url`` is one broker URL or several in order of preference, ``mqtt://[user:password@]host[:port][/site]`` or
    ``mqtts://...``, or those of nodes, ``coap://[device:key@]host[:port][/site]``, or an invitation, the text in the QR
    code that ``fog invite`` and a node's page show; without it $FOG_URL (several separated by commas) is used, then
    what mDNS finds, then ``fog.local``. ``site`` defaults to what the URL says, else to the ledger's, else to the only
    one that mDNS finds now, else to "home". As long as there is no connection, mDNS is asked for further brokers of
    that site, unless somebody named some. ``name`` is this device's id on the wire: by default the login's name, else
    a random one. ``ca``, ``cert`` and ``key`` are PEM files for TLS; with them no broker without TLS is looked for.

    With ``ledger``, a file, tasks that are handed in are on this device's disk until they are settled, and survive the
    end of the program: the next one that connects with this file finds them in ``recovered``. It then makes no
    difference whether a broker can be reached now or only in some hours, so that this returns at once. Deadlines are
    held to by the clock on the wall. The device has the name that the file has, unless it is given one.

    Arguments of more than ``inline_limit`` bytes travel in chunks, so that others on the link do not wait for them.

    Raises ConnectionFailed when no broker has accepted the login within ``timeout`` seconds, and ConfigError for a
    URL, name or file that cannot be right, and for a ledger that another program has open.
    """
    credentials = Credentials(username, password, ca, cert, key)
    wanted, urls = site or _remembered(ledger), named(url)
    is_found = url is None and not urls
    if is_found:
        urls = announced(wanted, credentials) or announced_nodes(wanted, credentials) or [fallback(credentials)]
    brokers = [parse(each) for text in urls for each in invite.read(text).usable()]
    if not brokers:
        raise ConfigError("no broker URL was given; write for example mqtt://192.168.1.9")
    chosen_site = site or next((broker.site for broker in brokers if broker.site), wanted or DEFAULT_SITE)
    login = next((broker.username for broker in brokers if broker.username), username)
    if any(broker.tls for broker in brokers):
        tls_context(credentials)  # files that cannot be read are told here, not on the SDK's thread
    looks_on = is_found and not any(broker.coap for broker in brokers)
    find = partial(later, chosen_site, credentials, brokers) if looks_on else None
    fog = Fog(brokers, chosen_site, name or login, credentials, ledger, inline_limit, find)
    try:
        if ledger is None:
            fog.wait_connected(timeout)
    except BaseException:
        fog.close()
        raise
    return fog


def _remembered(ledger: str | os.PathLike[str] | None) -> str | None:
    if ledger is None:
        return None
    from fogsdk.device.diskledger import site_of  # most devices have none, and need no SQLite

    return site_of(ledger)


class Fog:
    """A connection to one site. Safe to use from several threads.

    It reconnects by itself, to the next of its brokers that answers, and what was submitted survives that.
    ``find``, where nobody named them, finds brokers that come later.
    ``recovered`` are the futures of what an earlier program left in the ledger, in the order in which it was submitted.
    """

    def __init__(
        self,
        brokers: Sequence[BrokerUrl],
        site: str,
        name: str | None,
        credentials: Credentials,
        ledger: str | os.PathLike[str] | None = None,
        inline_limit: int = INLINE_SIZE,
        find: Find | None = None,
    ) -> None:
        try:
            self.site = check_id(site, "site")
            self.name = check_id(name or f"device-{secrets.token_hex(6)}", "name")
        except WireError as error:
            raise ConfigError(str(error)) from None
        check_files(credentials)
        self._disk: DiskLedger | None = None
        self._futures: dict[str, tuple[FogFuture, int]] = {}
        self._prefix = secrets.token_hex(4)
        if ledger is not None:
            from fogsdk.device.diskledger import DiskLedger  # most devices have none, and need no SQLite

            self._disk = DiskLedger(ledger, site, name)
            self.name, self._prefix = self._disk.name, self._disk.prefix
        self._numbers = itertools.count(1)
        self._brokers = list(brokers)
        self._closed = False
        self._forgetting: dict[str, FogFuture] = {}
        self._is_found = find is not None
        driver = Driver if find else driver_for(brokers)
        # What a ledger on disk holds goes out under the same ids again, and so one by one.
        run = self._prefix if driver is Driver and self._disk is None else ""
        client = Bundler(site, self.name, run, inline_limit)
        told = client, brokers, credentials, self._settle, self._advance
        self._driver = driver(*told, find) if driver is Driver else driver(*told)
        self.recovered = [self._keep(task) for task in (self._disk.take_left() if self._disk else ())]
        self._driver.start()

    def wait_connected(self, timeout: float) -> None:
        """Wait until a broker has accepted the login; raises ConnectionFailed after ``timeout`` seconds."""
        if not self._driver.up.wait(timeout):
            said = {str(broker): f"{broker}: no answer yet" for broker in self._brokers} | self._driver.errors
            tried = "\n  ".join(said.values())
            raise ConnectionFailed(
                f"no broker of site {self.site!r} could be reached within {timeout:g} s:\n  {tried}\n"
                + (f"No URL was given: these are what mDNS found.\n{others(self.site)}" if self._is_found else "")
                + "Is a node or broker running there? `fog doctor` looks for the cause."
            )

    # ------------------------------------------------------------ tasks

    def run(
        self,
        task: str,
        /,
        *args: Any,
        deadline: float | None = None,
        priority: int = 0,
        weight: str | None = None,
        node: str | None = None,
        **kwargs: Any,
    ) -> Any:
        """Run a task, wait for it, and return its result.

        ``deadline`` is in seconds from now; tasks of higher ``priority`` (-100 to 100) leave a queue first; ``weight``
        overrides what the task declares (light, middle, heavy). With ``node`` the task goes to that node and no other,
        and waits for it while it is away. All other arguments go to the task.

        Raises TaskFailed when the task raised, TaskRefused when no node would run it, DeadlineExceeded.
        """
        message = build_task(self._next_id(), task, args, kwargs, deadline, priority, weight)
        return self.complete(message, node=node).result()

    def submit(
        self,
        task: str,
        /,
        *args: Any,
        deadline: float | None = None,
        priority: int = 0,
        weight: str | None = None,
        node: str | None = None,
        **kwargs: Any,
    ) -> FogFuture:
        """Hand in a task and return its future at once. Arguments as for :meth:`run`.

        Raises TaskRefused (too-large, bad-arguments) for arguments that cannot be sent.
        """
        return self.hand_in(build_task(self._next_id(), task, args, kwargs, deadline, priority, weight), node)

    def hand_in(self, message: Task, node: str | None = None, awaited: bool = False) -> FogFuture:
        """Hand in a task as it is on the wire; what it is made with is for whoever makes it. What is for one ``node``
        alone is not kept on this device's disk. Where it is ``awaited``, the caller waits for it with ``result`` or
        ``exception`` at once."""
        if self._closed:
            raise FogError("this Fog is closed; connect() again")
        if node is not None:
            check_id(node, "node")
        if self._disk is not None and node is None:
            self._disk.put(message)
        future = self._keep(message, node, awaited)
        if self._closed:  # in the meantime, and perhaps after close() had looked for what is open
            future.cancel()
        return future

    def _keep(self, message: Task, node: str | None = None, awaited: bool = False) -> FogFuture:
        future = FogFuture(message.id, message.name, self._withdraw, self._driver.attend)
        self._futures[message.id] = (future, clock())
        self._driver.tell(Submit(message, node or ""), awaited)
        return future

    def complete(self, message: Task, timeout: float | None = None, node: str | None = None) -> FogFuture:
        """Hand in a task as it is on the wire, wait until it is settled, and return its future.

        It is cancelled when the waiting is interrupted, and when it lasts ``timeout`` seconds, with DeadlineExceeded.
        """
        if self._driver.on_this_thread():
            raise FogError(IN_A_CALLBACK)
        future = self.hand_in(message, node, awaited=True)
        try:
            future.exception(timeout)
        except WaitedTooLong:
            future.cancel()
            raise DeadlineExceeded(f"no answer to {message.name} within {timeout:g} s") from None
        except BaseException:
            future.cancel()
            raise
        return future

    def map(self, task: str, /, *iterables: Iterable[Any], in_flight: int = IN_FLIGHT, **options: Any) -> Iterator[Any]:
        """Run a task for each item (for several iterables: for each tuple of items) and yield the results in order.

        Items are taken, and tasks submitted, only as results are consumed: at most ``in_flight`` at once. ``options``
        are those of :meth:`run`. The first failure is raised and the rest cancelled.
        """
        if in_flight < 1:
            raise ValueError(f"in_flight must be at least 1, not {in_flight}")
        items = zip(*iterables)  # noqa: B905 - like the builtin map, as far as the shortest goes
        pending: deque[FogFuture] = deque()
        try:
            for item in itertools.islice(items, in_flight):
                pending.append(self.submit(task, *item, **options))
            while pending:
                result = pending.popleft().result()
                for item in itertools.islice(items, 1):
                    pending.append(self.submit(task, *item, **options))
                yield result
        finally:
            for future in pending:
                future.cancel()

    def _next_id(self) -> str:
        return f"{self._prefix}-{next(self._numbers):x}"

    # ------------------------------------------------------------ what the fog keeps

    def post(
        self,
        task: str,
        /,
        *args: Any,
        keep: float | str = "1h",
        copies: int | None = None,
        deadline: float | None = None,
        priority: int = 0,
        weight: str | None = None,
        timeout: float | None = 30.0,
        **kwargs: Any,
    ) -> Receipt:
        """Leave a task with the fog, and return its receipt once it is on the disks of two nodes: it runs whatever
        becomes of this program, and its outcome is kept until somebody fetches it, or ``keep`` runs out.

        ``keep`` is in seconds, or text like "90s", "15m", "1h", "7d". Where only one node can keep it, the receipt says
        ``copies=1``; with ``copies=2`` it is refused there (too-few-nodes). ``timeout`` (seconds) bounds the waiting
        for the receipt, ``deadline`` (seconds) the task itself. All else is as for :meth:`run`.

        Raises TaskRefused when no node would keep it, and DeadlineExceeded: whether it was kept is then not known.
        """
        options = {"deadline": deadline, "priority": priority, "weight": weight}
        message = posted.build_post(task, args, kwargs, keep, copies, **options)
        return posted.read_receipt(self.complete(message, timeout).result(), message.keep or 0)

    def fetch(self, receipt: Receipt | str, timeout: float | None = None, *, forget: bool = True) -> Any:
        """Wait for the outcome of a posted task, and return its result. Any device of the site may, with the receipt.

        The fog then forgets it, unless ``forget`` is False. ``timeout`` is in seconds; without it there is no limit.

        Raises TaskFailed, TaskRefused and DeadlineExceeded as :meth:`run` would have; TaskRefused (unknown-receipt)
        where nothing is kept under this receipt (any more); DeadlineExceeded, too, when ``timeout`` is over.
        """
        id = posted.check_receipt(receipt)
        try:
            result = self.run("fog.fetch", id, deadline=timeout)
        except TaskFailed:
            if forget:
                self.forget(id)
            raise
        except TaskRefused as error:
            if error.reason != "unknown-receipt":
                raise
            why = "its outcome was fetched before, its keep ran out, or it was posted to another site"
            raise TaskRefused(error.reason, f"nothing is kept for receipt {id}: {why}") from error
        if forget:
            self.forget(id)
        return result

    def forget(self, receipt: Receipt | str) -> None:
        """Have the fog forget a posted task, run or not. Returns at once; what it takes is done in the background."""
        id = posted.check_receipt(receipt)
        future = self._forgetting[id] = self.submit("fog.forget", id)
        future.add_done_callback(lambda _: self._forgetting.pop(id, None))

    def session(self, name: str) -> Session:
        """The session of this name, for any device of the site: a state that the fog keeps, and numbered steps on it.

        Nothing is sent until the first :meth:`Session.run`.
        """
        return Session(self, name)

    # ------------------------------------------------------------ what comes back

    def _withdraw(self, id: str) -> None:
        self._futures.pop(id, None)
        if self._disk is not None and self._disk.holds(id):
            if self._closed:
                return  # it goes on, for the next program that opens the ledger
            self._disk.remove(id)
        self._driver.tell(Withdraw(id))

    def _advance(self, advanced: Advanced) -> None:
        entry = self._futures.get(advanced.id)
        if entry is not None:
            entry[0].advance(advanced.fraction)

    def _settle(self, settled: Settled) -> None:
        future, submitted = self._futures.get(settled.id, (None, 0))
        if future is None:
            return
        future.settle(settled.outcome, float(clock() - submitted))
        if self._disk is not None:
            self._disk.remove(settled.id)
        self._futures.pop(settled.id, None)

    # ------------------------------------------------------------ the site

    def nodes(self) -> dict[str, Birth]:
        """The nodes of the site that are there, by name."""
        return self._driver.nodes()

    def close(self) -> None:
        """Disconnect. What is not settled yet is cancelled; in a ledger it stays, and is found by the next program."""
        if self._closed:
            return
        if self._driver.up.is_set() and not self._driver.on_this_thread():
            wait(list(self._forgetting.values()), LAST_WORDS)
        self._closed = True
        for future, _ in list(self._futures.values()):
            future.cancel()
        self._driver.close()
        if self._disk is not None:
            self._disk.close()

    def __enter__(self) -> Fog:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        state = "closed" if self._closed else "connected" if self._driver.up.is_set() else "reconnecting"
        return f"<Fog site={self.site!r} name={self.name!r} on {socket.gethostname()}: {state}>"
