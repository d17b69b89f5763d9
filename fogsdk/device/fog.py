"""The SDK's face: ``connect`` to a site, and ``run``, ``submit`` or ``map`` tasks on it."""

from __future__ import annotations

import itertools
import os
import secrets
import socket
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import CancelledError, InvalidStateError
from types import TracebackType
from typing import Any

from fogsdk.core.client import Client
from fogsdk.core.commands import Advanced, Settled
from fogsdk.core.events import Submit, Withdraw
from fogsdk.device.driver import Driver, clock
from fogsdk.device.future import FogFuture, Trace
from fogsdk.device.mqtt import check_files, tls_context
from fogsdk.device.url import DEFAULT_SITE, BrokerUrl, Credentials, parse
from fogsdk.errors import ConfigError, ConnectionFailed, DeadlineExceeded, FogError, TaskFailed, TaskRefused, WireError
from fogsdk.wire import limits, values
from fogsdk.wire.messages import Birth, Expired, Failed, Refused, Result, Task
from fogsdk.wire.topics import check_id

IN_FLIGHT = 64
"""Tasks that ``map`` keeps going at once."""
FALLBACK_URL = "mqtt://fog.local"


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
) -> Fog:
    """Connect to a site of the fog and return a :class:`Fog`, best used in a ``with`` block.

    ``url`` is one broker URL or several in order of preference, ``mqtt://[user:password@]host[:port][/site]`` or
    ``mqtts://...``; without it $FOG_URL (several separated by commas) is used, then what mDNS finds, then
    ``fog.local``. ``site`` defaults to what the URL says, else "home". ``name`` is this device's id on the wire: by
    default the login's name, else a random one. ``ca``, ``cert`` and ``key`` are PEM files for TLS.

    Raises ConnectionFailed when no broker has accepted the login within ``timeout`` seconds, and ConfigError for a
    URL, name or file that cannot be right.
    """
    brokers = _brokers(url, site)
    chosen_site = site or next((broker.site for broker in brokers if broker.site), DEFAULT_SITE)
    credentials = Credentials(username, password, ca, cert, key)
    login = next((broker.username for broker in brokers if broker.username), username)
    if any(broker.tls for broker in brokers):
        tls_context(credentials)  # files that cannot be read are told here, not on the SDK's thread
    fog = Fog(brokers, chosen_site, name or login or f"device-{secrets.token_hex(6)}", credentials)
    try:
        fog.wait_connected(timeout)
    except BaseException:
        fog.close()
        raise
    return fog


def _brokers(url: str | Sequence[str] | None, site: str | None) -> list[BrokerUrl]:
    if url is None:
        urls: Sequence[str] = os.environ.get("FOG_URL", "").split(",")
        if not urls[0]:
            urls = _discovered(site) or [FALLBACK_URL]
    else:
        urls = [url] if isinstance(url, str) else url
    brokers = [parse(each.strip()) for each in urls if each.strip()]
    if not brokers:
        raise ConfigError("no broker URL was given; write for example mqtt://192.168.1.9")
    return brokers


def _discovered(site: str | None) -> list[str]:
    from fogsdk.device.discovery import find_brokers  # most devices are told a URL and never need it

    return find_brokers(site=site)


class Fog:
    """A connection to one site. Safe to use from several threads.

    It reconnects by itself, to the next of its brokers that answers, and what was submitted survives that.
    """

    def __init__(self, brokers: Sequence[BrokerUrl], site: str, name: str, credentials: Credentials) -> None:
        try:
            self.site, self.name = check_id(site, "site"), check_id(name, "name")
        except WireError as error:
            raise ConfigError(str(error)) from None
        check_files(credentials)
        self._futures: dict[str, tuple[FogFuture, int]] = {}
        self._prefix = secrets.token_hex(4)
        self._numbers = itertools.count(1)
        self._brokers = list(brokers)
        self._closed = False
        self._driver = Driver(Client(site, name), brokers, credentials, self._settle, self._advance)
        self._driver.start()

    def wait_connected(self, timeout: float) -> None:
        """Wait until a broker has accepted the login; raises ConnectionFailed after ``timeout`` seconds."""
        if not self._driver.up.wait(timeout):
            tried = "\n  ".join(self._driver.errors.get(str(b), f"{b}: no answer yet") for b in self._brokers)
            raise ConnectionFailed(
                f"no broker of site {self.site!r} could be reached within {timeout:g} s:\n  {tried}\n"
                "Is a node or broker running there? `fog doctor` looks for the cause."
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
        **kwargs: Any,
    ) -> Any:
        """Run a task, wait for it, and return its result.

        ``deadline`` is in seconds from now; tasks of higher ``priority`` (-100 to 100) leave a queue first; ``weight``
        overrides what the task declares (light, middle, heavy). All other arguments go to the task.

        Raises TaskFailed when the task raised, TaskRefused when no node would run it, DeadlineExceeded.
        """
        if self._driver.on_this_thread():
            raise FogError("run() would wait for itself in a callback of the SDK: use submit() there")
        future = self.submit(task, *args, deadline=deadline, priority=priority, weight=weight, **kwargs)
        try:
            return future.result()
        except BaseException:
            future.cancel()
            raise

    def submit(
        self,
        task: str,
        /,
        *args: Any,
        deadline: float | None = None,
        priority: int = 0,
        weight: str | None = None,
        **kwargs: Any,
    ) -> FogFuture:
        """Hand in a task and return its future at once. Arguments as for :meth:`run`.

        Raises TaskRefused (too-large, bad-arguments) for arguments that cannot be sent.
        """
        if self._closed:
            raise FogError("this Fog is closed; connect() again")
        message = self._message(task, args, kwargs, deadline, priority, weight)
        future = FogFuture(message.id, task, self._withdraw)
        self._futures[message.id] = (future, clock())
        self._driver.tell(Submit(message))
        if self._closed:  # in the meantime, and perhaps after close() had looked for what is open
            future.cancel()
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

    def _message(
        self,
        name: str,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        deadline: float | None,
        priority: int,
        weight: str | None,
    ) -> Task:
        if not name or len(name) > limits.NAME_LENGTH:
            raise TaskRefused("unknown-task", f"a task's name has 1 to {limits.NAME_LENGTH} characters")
        if deadline is not None and not 0 <= deadline * 1000 <= limits.DURATION:
            raise ValueError(f"deadline is a number of seconds from now, not {deadline!r}")
        if weight not in (None, "light", "middle", "heavy", "auto"):
            raise ValueError(f"weight is light, middle, heavy or auto, not {weight!r}")
        if type(priority) is not int or not -100 <= priority <= 100:
            raise ValueError(f"priority is an integer from -100 to 100, not {priority!r}")
        try:
            body = values.encode([list(args), kwargs])
        except WireError as error:
            raise TaskRefused("bad-arguments", f"{name}: the arguments {error}") from error
        if len(body) > limits.BODY_SIZE:
            raise TaskRefused(
                "too-large", f"{name}: the arguments have {len(body)} bytes, the limit is {limits.BODY_SIZE}"
            )
        left = None if deadline is None else int(deadline * 1000)
        return Task(f"{self._prefix}-{next(self._numbers):x}", name, body, left, priority, weight)

    # ------------------------------------------------------------ what comes back

    def _withdraw(self, id: str) -> None:
        self._futures.pop(id, None)
        self._driver.tell(Withdraw(id))

    def _advance(self, advanced: Advanced) -> None:
        entry = self._futures.get(advanced.id)
        if entry is not None:
            entry[0].advance(advanced.fraction)

    def _settle(self, settled: Settled) -> None:
        future, submitted = self._futures.pop(settled.id, (None, 0))
        if future is None:
            return
        outcome = settled.outcome
        hops = () if isinstance(outcome, Refused) else outcome.hops
        future.trace = Trace(hops, float(clock() - submitted))
        try:
            value = _value(outcome)
        except FogError as error:
            _resolve(future, None, error)
        else:
            future.progress = 1.0
            _resolve(future, value, None)

    # ------------------------------------------------------------ the site

    def nodes(self) -> dict[str, Birth]:
        """The nodes of the site that are there, by name."""
        return self._driver.nodes()

    def close(self) -> None:
        """Disconnect. What is not settled yet is cancelled."""
        if self._closed:
            return
        self._closed = True
        for future, _ in list(self._futures.values()):
            future.cancel()
        self._driver.close()

    def __enter__(self) -> Fog:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        state = "closed" if self._closed else "connected" if self._driver.up.is_set() else "reconnecting"
        return f"<Fog site={self.site!r} name={self.name!r} on {socket.gethostname()}: {state}>"


def _value(outcome: Result | Failed | Refused | Expired) -> Any:
    match outcome:
        case Result():
            return values.decode(outcome.body)
        case Failed():
            raise TaskFailed(outcome.error, outcome.message, outcome.traceback)
        case Refused():
            retry = None if outcome.retry_after is None else outcome.retry_after / 1000
            raise TaskRefused(outcome.reason, outcome.message, retry)
        case Expired():
            raise DeadlineExceeded(outcome.message)


def _resolve(future: FogFuture, value: Any, error: BaseException | None) -> None:
    try:
        if error is not None:
            future.set_exception(error)
        else:
            future.set_result(value)
    except (InvalidStateError, CancelledError):
        pass  # cancelled in the same moment
