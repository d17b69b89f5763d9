"""Runs an MQTT broker as a child process: mosquitto where it is installed, amqtt elsewhere.

The child is up when it answers an MQTT CONNECT, is started again when it dies, and dies with this process,
also when that is killed with ``kill -9`` (see `fogsdk.node.broker_follow`). It keeps nothing on disk:
whoever speaks through a broker says again what it lost, so a new one is as good as the old one.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import ipaddress
import logging
import os
import random
import shutil
import socket
import sys
import tempfile
import time
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from fogsdk.errors import ConfigError, ConnectionFailed
from fogsdk.node import broker_follow
from fogsdk.node.broker_greeting import answers
from fogsdk.node.broker_socket import BrokerSocket
from fogsdk.wire.limits import MESSAGE_SIZE

_log = logging.getLogger(__name__)

_START = 15.0  # seconds that a broker has to come up: mosquitto takes 0.1, amqtt 0.4, both far longer on a Pi Zero
_STOP = 2.0  # seconds that it has to end when it is asked to
_PAUSE = 0.1  # seconds before it is started again; twice as many each time it dies soon
_LONGEST_PAUSE = 10.0
_PLACES = ("/usr/sbin", "/usr/local/sbin", "/opt/homebrew/sbin")  # often not in a user's PATH
# Below those that the system gives to connections: a client that tries to reach a dead broker could be given
# the broker's own port, connect to itself, and keep the broker away.
_FREE_PORTS = range(20_000, 30_000)
_OF_NO_USE = "TCP_NODELAY"  # mosquitto says that it cannot be set, each time that somebody comes by another way

_MOSQUITTO = f"""\
# A QoS 1 round trip takes 0.6 ms; 88 ms without this.
set_tcp_nodelay true
# Nothing relies on what a broker keeps: births are published on every connect, unanswered tasks sent again.
persistence false
# Packets that wait for one slow client; more are dropped, and sent again later by whoever misses the answer.
# The default of 1000 is less than the results of one map() can be, and the socket in the file system, by which the
# node itself comes, holds fewer than TCP does.
max_queued_messages 50000
# Of those, QoS 1 packets sent and not yet acknowledged. Tasks and replies travel at QoS 0, without a limit.
max_inflight_messages 20
# The protocol's largest payload, its topic and the header. Who sends more is disconnected.
max_packet_size {MESSAGE_SIZE + 1024}
# Everything that waits, together: 50000 large packets would be more than a small computer has.
memory_limit {256 * 1024 * 1024}
# No statistics: nobody reads them here.
sys_interval 0
log_dest stderr
log_timestamp false
log_type error
log_type warning
log_type notice
connection_messages false
"""


class PortTaken(ConnectionFailed):
    """Another program listens where a broker was to."""


@dataclass(frozen=True)
class _Listener:
    """Where a broker listens."""

    host: str
    port: int
    tls: bool = False

    def __str__(self) -> str:
        return f"{self.host} port {self.port}"

    @property
    def address(self) -> str:
        """What a program on this computer connects to."""
        return {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(self.host, self.host)


class Broker:
    """An MQTT broker that serves from `start` to `stop`.

    ``port`` 0 takes a free one. ``kind="auto"`` is mosquitto where it is installed and amqtt where it is not.
    ``passwords`` is a file made with mosquitto_passwd, ``acl`` one in the form of mosquitto's ``acl_file``;
    ``certificate`` and ``key`` (PEM) switch TLS on. These need mosquitto, which must be able to read them:
    as root, it runs as the user mosquitto. ``config`` is a mosquitto configuration used as it is, for all
    of the above. ``on_death`` is called on the event loop with the reason when the broker died; it is then
    started again.

    Raises ConfigError for options that cannot work together, and for a host beyond the loopback without
    passwords, where everybody in the network could submit tasks, unless ``insecure_lan`` allows just that.
    """

    def __init__(
        self,
        host: str = "127.0.0.1",
        port: int = 1883,
        *,
        kind: Literal["auto", "mosquitto", "amqtt"] = "auto",
        config: Path | None = None,
        passwords: Path | None = None,
        acl: Path | None = None,
        certificate: Path | None = None,
        key: Path | None = None,
        insecure_lan: bool = False,
        on_death: Callable[[str], None] | None = None,
    ) -> None:
        if (certificate is None) != (key is None):
            raise ConfigError("a broker's certificate and key belong together: give both or neither")
        if not config and not passwords:
            _check_exposure(host, insecure_lan)
        files = {"certfile": certificate, "keyfile": key, "password_file": passwords, "acl_file": acl}
        self._program = None if kind == "amqtt" else find_mosquitto()
        if not self._program and (kind == "mosquitto" or config or any(files.values())):
            raise ConfigError(
                "passwords, an ACL, TLS, a configuration of its own, and the kind mosquitto, need mosquitto: "
                "apt install mosquitto"
            )
        self.kind: Literal["mosquitto", "amqtt"] = "mosquitto" if self._program else "amqtt"
        self._config = config
        self._settings = _MOSQUITTO + f"allow_anonymous {'false' if passwords else 'true'}\n"
        self._settings += "".join(f"{name} {path.absolute()}\n" for name, path in files.items() if path)
        self._wanted = _first_listener(config) if config else _Listener(host, port, tls=bool(certificate))
        self._listener = self._wanted
        self._socket: BrokerSocket | None = None
        self._on_death = on_death
        self._process: asyncio.subprocess.Process | None = None
        self._printed: deque[str] = deque(maxlen=20)
        self._reader: asyncio.Task[None] | None = None
        self._keeper: asyncio.Task[None] | None = None
        self._up = asyncio.Event()
        self._allowed = asyncio.Event()
        self._allowed.set()

    @property
    def host(self) -> str:
        """The address it listens on."""
        return self._listener.host

    @property
    def port(self) -> int:
        """The TCP port it listens on."""
        return self._listener.port

    @property
    def url(self) -> str:
        """Where programs on this computer reach it: ``mqtt://127.0.0.1:1883``."""
        address = self._listener.address
        scheme = "mqtts" if self._listener.tls else "mqtt"
        return f"{scheme}://{f'[{address}]' if ':' in address else address}:{self.port}"

    def local(self) -> socket.socket | None:
        """A connection to it past TCP, which is quicker, for this program; None where there is no such way."""
        return self._socket.connect() if self._socket else None

    @property
    def pid(self) -> int | None:
        """The process that serves; None while there is none."""
        return self._process.pid if self._process and self._process.returncode is None else None

    async def start(self) -> None:
        """Start it and wait until it accepts connections; raises PortTaken or ConnectionFailed, with what it said."""
        self._open_socket()
        for left in (2, 1, 0):
            try:
                process = await self._launch(self._wanted)
                break
            except BaseException as error:
                had_socket = self._close_socket()
                # A free port may be taken between choosing and using it, and mosquitto before 2.0 knows no such socket.
                may_help = had_socket or not self._wanted.port
                if not isinstance(error, ConnectionFailed) or not left or not may_help:
                    raise
        self._keeper = asyncio.create_task(self._keep(process))

    async def stop(self) -> None:
        """End it; its process is gone when this returns."""
        if self._keeper:
            self._keeper.cancel()
            await asyncio.wait([self._keeper])
            self._keeper = None
        await self._end()
        self._close_socket()

    def _open_socket(self) -> None:
        if self._program and not self._config:
            with contextlib.suppress(OSError):  # then TCP it is
                self._socket = BrokerSocket(broker_follow.users(self._program))

    def _close_socket(self) -> bool:
        """Do without the socket from here on; returns whether there was one."""
        had, self._socket = self._socket, None
        if had:
            had.close()
        return had is not None

    async def ready(self) -> None:
        """Wait until it accepts connections: at once, except while it is being started again."""
        await self._up.wait()

    def keep_down(self) -> None:
        """Do not start it again when it dies, until :meth:`let_up`."""
        self._allowed.clear()

    def let_up(self) -> None:
        """Start it again when it dies, as ever."""
        self._allowed.set()

    async def _keep(self, process: asyncio.subprocess.Process) -> None:
        """Start it again whenever it dies."""
        pause = _PAUSE
        while True:
            started = time.monotonic()
            await process.wait()
            why = await self._last_words(process)
            await self._end()
            _log.warning("%s; starting it again", why)
            if self._on_death:
                self._on_death(why)
            if time.monotonic() - started > _LONGEST_PAUSE:
                pause = _PAUSE
            while not self._up.is_set():
                await asyncio.sleep(pause)
                await self._allowed.wait()
                pause = min(2 * pause, _LONGEST_PAUSE)
                try:
                    process = await self._launch(self._listener)
                except ConnectionFailed as error:
                    _log.warning("%s; trying again", error)
                    self._close_socket()  # its folder may be gone

    async def _launch(self, wanted: _Listener) -> asyncio.subprocess.Process:
        self._listener = _bindable(wanted)
        self._printed.clear()
        with self._command() as command:
            process = self._process = await asyncio.create_subprocess_exec(
                *command,
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.STDOUT,
                start_new_session=True,  # Ctrl-C is for this process, which then ends it in good order
            )
            if process.stdout:
                self._reader = asyncio.create_task(self._read(process.stdout))
            try:
                await self._wait_until_up(process)
            except BaseException:
                await self._end()
                raise
        self._up.set()
        _log.info("%s serves on %s", self.kind, self._listener)
        return process

    @contextlib.contextmanager
    def _command(self) -> Iterator[list[str]]:
        """What to run; a configuration made for it exists until it has come up."""
        follow = [
            sys.executable,
            "-I",
            "-S",
            str(Path(__file__).with_name("broker_follow.py")),
            str(os.getpid()),
        ]
        if not self._program:
            embedded = [sys.executable, "-m", "fogsdk.node.broker_embedded"]
            address = [self._listener.host, str(self._listener.port)]
            yield [*(follow if os.name == "posix" else []), *embedded, *address]
        elif self._config:
            yield [*follow, self._program, "-c", str(self._config)]
        else:
            with tempfile.NamedTemporaryFile("w", suffix=".conf", encoding="utf-8") as file:
                if self._socket:  # before the other listener, which the settings for TLS are about
                    file.write(f"listener 0 {self._socket.path}\n")
                file.write(f"listener {self._listener.port} {self._listener.host}\n{self._settings}")
                file.flush()
                Path(file.name).chmod(0o644)  # for the user mosquitto; there is nothing secret in it
                yield [*follow, self._program, "-c", file.name]

    async def _wait_until_up(self, process: asyncio.subprocess.Process) -> None:
        deadline, listener = time.monotonic() + _START, self._listener
        while not await answers(listener.address, listener.port, listener.tls):
            if process.returncode is not None:
                why = await self._last_words(process)
                _bindable(listener)  # another program may have been quicker
                raise ConnectionFailed(f"no broker on {listener}: {why}")
            if time.monotonic() > deadline:
                raise ConnectionFailed(
                    f"{self.kind} does not answer on {listener} after {_START:.0f} s; it printed: "
                    + " ".join(self._printed)
                )
            await asyncio.sleep(0.02)

    async def _read(self, output: asyncio.StreamReader) -> None:
        """Log what it prints, and keep the last of it for the error message."""
        level = logging.INFO if self.kind == "mosquitto" else logging.DEBUG  # amqtt: about every lost client
        while data := await output.read(2**16):
            for line in data.decode(errors="replace").splitlines():
                if _OF_NO_USE in line:
                    continue
                self._printed.append(line)
                _log.log(level, "%s: %s", self.kind, line)

    async def _last_words(self, process: asyncio.subprocess.Process) -> str:
        if self._reader:
            await asyncio.wait([self._reader], timeout=_STOP)
        printed = " ".join(self._printed) or "nothing"
        return f"{self.kind} ended with status {process.returncode}, and printed: {printed}"

    async def _end(self) -> None:
        process, self._process = self._process, None
        self._up.clear()
        if process is None:
            return
        for stop in (process.terminate, process.kill):
            with contextlib.suppress(ProcessLookupError):
                stop()
            with contextlib.suppress(asyncio.TimeoutError):
                await asyncio.wait_for(process.wait(), _STOP)
                break
        if process.stdin:
            process.stdin.close()
        if self._reader:
            await self._reader


def find_mosquitto() -> str | None:
    """Return the path of the program mosquitto, or None where it is not installed."""
    if os.name != "posix":  # elsewhere it could not be tied to this process's life
        return None
    return shutil.which("mosquitto", path=os.pathsep.join([os.environ.get("PATH", os.defpath), *_PLACES]))


def _check_exposure(host: str, insecure_lan: bool) -> None:
    with contextlib.suppress(ValueError):  # a name may stand for any address
        if host == "localhost" or ipaddress.ip_address(host).is_loopback:
            return
    if not insecure_lan:
        raise ConfigError(
            f"a broker on {host} without passwords lets everybody in the network submit tasks: "
            "give it passwords, keep it on 127.0.0.1, or set insecure_lan if that is what you want"
        )
    _log.warning("the broker on %s asks for no password: everybody in the network can submit tasks", host)


def _first_listener(config: Path) -> _Listener:
    """Read where a mosquitto configuration has it listen, from its first ``listener`` line."""
    try:
        lines = config.read_text(encoding="utf-8").splitlines()
    except (OSError, ValueError) as error:
        raise ConfigError(f"the broker configuration {config} cannot be read: {error}") from error
    found: _Listener | None = None
    for words in map(str.split, lines):
        if words[:1] == ["listener"]:
            if found or len(words) == 1 or not words[1].isdigit():
                break
            found = _Listener(words[2] if len(words) > 2 else "0.0.0.0", int(words[1]))
        elif words[:1] == ["certfile"] and found:
            found = replace(found, tls=True)
    if not found or not found.port:
        raise ConfigError(f"the broker configuration {config} must begin with: listener <port> [<address>]")
    return found


def _bindable(listener: _Listener) -> _Listener:
    """Return it with a free port for 0; raises PortTaken where another program listens already, and ConnectionFailed
    where this one cannot."""
    ports = [listener.port] if listener.port else random.sample(_FREE_PORTS, 20)
    family = socket.AF_INET6 if ":" in listener.host else socket.AF_INET
    for port in ports:
        with socket.socket(family) as sock:
            if os.name == "posix":  # as brokers do, for connections that have just ended are not in the way
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                sock.bind((listener.host, port))
                return replace(listener, port=port)
            except OSError as error:
                problem = error
    said = f"a broker cannot listen on {listener}: {problem.strerror}"
    if problem.errno == errno.EADDRINUSE:
        raise PortTaken(f"{said}; end the program that does, or choose another port") from problem
    raise ConnectionFailed(f"{said}; choose an address of this computer, and a port this user may have") from problem
