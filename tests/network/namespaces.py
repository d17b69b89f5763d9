"""Computers of a test's own: network namespaces, each joined by a cable (a veth pair) to one switch (a bridge).

The switch is in a namespace too, so that nothing here touches this computer's own network. Needs Linux, root, and the
programs `ip` (iproute2) and `nft` (nftables). The name of a namespace says which process made it; what a killed run
has left behind is removed by the next.
"""

from __future__ import annotations

import contextlib
import ctypes
import itertools
import os
import shutil
import signal
import subprocess
from collections.abc import Iterable, Iterator
from pathlib import Path

import psutil

_PREFIX = "fogsdk-"
_SUBNET = "10.77.0"
_NAMES = Path("/run/netns")
_CLONE_NEWNET = 0x40000000  # setns(2)
_numbers = itertools.count(1)


class Host:
    """One computer of a network. ``namespace`` is its name for `ip netns`."""

    def __init__(self, name: str, namespace: str, address: str, switch: str) -> None:
        self.name, self.namespace, self.address = name, namespace, address
        self._switch = switch

    def command(self, *words: str | os.PathLike[str]) -> list[str]:
        """The command line that runs a program on this computer; the process is the program's own."""
        return ["ip", "netns", "exec", self.namespace, *[os.fspath(word) for word in words]]

    @contextlib.contextmanager
    def inside(self) -> Iterator[None]:
        """Let the calling thread be on this computer: the sockets that it opens, and the threads that it starts, are
        there, and stay there afterwards."""
        with Path("/proc/thread-self/ns/net").open() as outside, (_NAMES / self.namespace).open() as here:
            _enter(here.fileno())
            try:
                yield
            finally:
                _enter(outside.fileno())

    def pull_cable(self) -> None:
        """Take it off the network: it loses its carrier, and nobody else is told anything."""
        _run("ip", "-n", self._switch, "link", "set", "dev", self.name, "down")

    def narrow(self, rate: str) -> None:
        """Let no more through its cable, either way, than ``rate``, in words of `tc`, such as 16mbit."""
        for namespace, device in ((self.namespace, "eth0"), (self._switch, self.name)):
            shape = f"tc qdisc replace dev {device} root tbf rate {rate} burst 16k latency 300ms"
            _run("ip", "netns", "exec", namespace, *shape.split())

    def sent(self) -> int:
        """Bytes that went up its cable so far."""
        counter = "/sys/class/net/eth0/statistics/tx_bytes"
        return int(_run("ip", "netns", "exec", self.namespace, "cat", counter))

    def plug_in(self) -> None:
        """Put the cable back."""
        _run("ip", "-n", self._switch, "link", "set", "dev", self.name, "up")


class Network:
    """Computers around one switch, gone with everything that runs on them when the network is closed."""

    def __init__(self, *hosts: str) -> None:
        remove_leftovers()
        self._prefix = f"{_PREFIX}{os.getpid()}-{next(_numbers)}-"
        self._switch = self._prefix + "switch"
        self.hosts: dict[str, Host] = {}
        try:
            _run("ip", "netns", "add", self._switch)
            # Multicast goes everywhere, as with the plain switches and access points of a home.
            _run("ip", "-n", self._switch, "link", "add", "switch", "type", "bridge", "mcast_snooping", "0")
            _run("ip", "-n", self._switch, "link", "set", "switch", "up")
            self._nft(
                "add table bridge faults", "add chain bridge faults pass { type filter hook forward priority 0; }"
            )
            for name in hosts:
                self._add(name)
        except BaseException:
            self.close()
            raise

    def __getitem__(self, name: str) -> Host:
        return self.hosts[name]

    def _add(self, name: str) -> None:
        namespace = self._prefix + name
        host = self.hosts[name] = Host(name, namespace, f"{_SUBNET}.{len(self.hosts) + 1}", self._switch)
        _run("ip", "netns", "add", namespace)
        cable = ("link", "add", "name", name, "type", "veth", "peer", "name", "eth0", "netns", namespace)
        _run("ip", "-n", self._switch, *cable)
        _run("ip", "-n", self._switch, "link", "set", "dev", name, "master", "switch", "up")
        for words in (
            "link set lo up",
            "link set eth0 addrgenmode none",  # IPv4 alone: no address that has to be tried first
            f"addr add {host.address}/24 dev eth0",
            "link set eth0 up",
            "route add default dev eth0",  # multicast takes it
        ):
            _run("ip", "-n", namespace, *words.split())

    # ------------------------------------------------------------ faults

    def part(self, here: Iterable[str], there: Iterable[str]) -> None:
        """Let nothing pass between two groups of computers, in either direction."""
        near, far = _set(here), _set(there)
        self._nft(
            f"add rule bridge faults pass iifname {near} oifname {far} drop",
            f"add rule bridge faults pass iifname {far} oifname {near} drop",
        )

    def lose(self, percent: int, *, from_: str = "", to: str = "") -> None:
        """Lose this share of all packets, by chance; only of those from, or to, one computer if it is given."""
        match = (f'iifname "{from_}" ' if from_ else "") + (f'oifname "{to}" ' if to else "")
        chance = f"numgen random mod 100 < {percent} " if percent < 100 else ""
        self._nft(f"add rule bridge faults pass {match}{chance}drop")

    def heal(self) -> None:
        """Take all faults back but pulled cables."""
        self._nft("flush chain bridge faults pass")

    def _nft(self, *commands: str) -> None:
        _run("ip", "netns", "exec", self._switch, "nft", "; ".join(commands))

    # ------------------------------------------------------------ the end

    def close(self) -> None:
        """Kill what still runs on the computers, and remove them."""
        for host in [*self.hosts.values()]:
            _remove(host.namespace)
        _remove(self._switch)

    def __enter__(self) -> Network:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def why_not() -> str | None:
    """Why there can be no such networks here, None where there can."""
    if not hasattr(os, "geteuid") or os.geteuid() != 0:
        return "network namespaces need root"
    missing = [program for program in ("ip", "nft") if shutil.which(program) is None]
    if missing:
        return f"not installed: {', '.join(missing)}; try: apt install iproute2 nftables"
    try:
        with Network("a", "b") as network:
            network.lose(30)
    except RuntimeError as error:
        return f"this system does not permit it: {error}"
    return None


def remove_leftovers() -> None:
    """Remove the namespaces of runs that were killed, and kill what runs in them."""
    for entry in _NAMES.glob(f"{_PREFIX}*") if _NAMES.is_dir() else []:
        maker = entry.name.removeprefix(_PREFIX).partition("-")[0]
        if maker.isdigit() and not psutil.pid_exists(int(maker)):
            _remove(entry.name)


def _remove(namespace: str) -> None:
    if not (_NAMES / namespace).exists():
        return
    with contextlib.suppress(RuntimeError):  # another run removes the same leftovers
        for pid in _run("ip", "netns", "pids", namespace).split():
            if int(pid) != os.getpid():  # a thread of ours may be there
                with contextlib.suppress(ProcessLookupError):
                    os.kill(int(pid), signal.SIGKILL)
        _run("ip", "netns", "delete", namespace)


def _run(*command: str) -> str:
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise RuntimeError(f"{' '.join(command)}: {done.stderr.strip() or done.returncode}")
    return done.stdout


def _set(names: Iterable[str]) -> str:
    return "{ " + ", ".join(f'"{name}"' for name in names) + " }"


def _enter(namespace: int) -> None:
    # os.setns is there from Python 3.12 on.
    if ctypes.CDLL(None, use_errno=True).setns(namespace, _CLONE_NEWNET) != 0:
        raise OSError(ctypes.get_errno(), "setns failed")
