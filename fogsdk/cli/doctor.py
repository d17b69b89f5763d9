"""``fog doctor``: looks for what is wrong between this computer and a site, and says what to do about it."""

from __future__ import annotations

import argparse
import platform
import sys
from dataclasses import asdict, dataclass
from importlib import metadata

import fogsdk
from fogsdk.cli import announced, options
from fogsdk.cli.latency import answers
from fogsdk.cli.observer import NO_BROKER, Observer
from fogsdk.cli.output import clean, milliseconds, note, terminal, write_json
from fogsdk.cli.survey import Seen, survey
from fogsdk.device.brokers import named
from fogsdk.device.doctor import WRONG, examine
from fogsdk.device.url import BrokerUrl
from fogsdk.errors import ConfigError, ConnectionFailed

HELP = "look for what is wrong between here and the site, and say what to do"
MORE = """It takes some seconds. Each line is ok, a note (no fault, but good to know) or
wrong; then it says what to do. The exit code is 0 only when nothing is wrong,
and 5 when no broker could be reached.

With --device it goes the way that a device's program goes, one step after the
other: name, network, port, TLS, login, access list, nodes, a task. On a device
without this command: python -m fogsdk.device.doctor mqtt://192.168.1.9"""

SECONDS = 2.0
"""Time to listen to a site."""
PINGS = 20
HELD_BACK = 25.0
"""Milliseconds that a burst of pings takes longer than one, at a broker that holds packets back."""
FAR, UNSTEADY = 50.0, 20.0
"""Milliseconds of round trip and of jitter from which there is something to say."""
VERSION_TOPIC = "$SYS/broker/version"

_PACKAGES = ("paho-mqtt", "cbor2", "zeroconf", "rich", "numpy")


@dataclass(frozen=True)
class Check:
    """One finding; ``state`` is ok, note or wrong, ``advice`` what to do about it."""

    name: str
    state: str
    text: str
    advice: str = ""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of this command."""
    parser.add_argument(
        "--device",
        action="store_true",
        help="go the way of a device, step by step: mqtt, coap or http URLs, invitations",
    )
    options.complete_files(
        parser.add_argument("--token-file", metavar="FILE", help="with --device: file that holds a token for HTTP")
    )
    options.add_common(parser)


def run(args: argparse.Namespace) -> int:
    """Check everything, as far as it can be reached."""
    doctor = _Doctor(args)
    if args.device:
        return doctor.conclude(doctor.check_device())
    doctor.check_versions()
    doctor.check_mdns(needed=not (args.url or named(None)))
    try:
        urls, source = options.urls(args)
    except ConfigError as error:
        doctor.add("site", "wrong", str(error), "a device that names none gets none of them")
        return doctor.conclude(reached=True)
    reached = doctor.check_brokers(urls, source)
    if reached:
        doctor.check_site(reached[0])
    return doctor.conclude(bool(reached))


class _Doctor:
    """Makes the checks, and shows each as it is made."""

    def __init__(self, args: argparse.Namespace) -> None:
        self._args = args
        self._login = options.login(args)
        self._checks: list[Check] = []
        self._console = None if args.json else terminal(sys.stdout)
        self._site = self._sender = ""

    def add(self, name: str, state: str, text: str, advice: str = "") -> None:
        check = Check(name, state, text, "" if state == "ok" else advice)
        self._checks.append(check)
        if self._args.json:
            return
        more = f"\n       -> {check.advice}" if check.advice else ""
        line = clean(f"{check.name}: {check.text}{more}", keep="\n")
        if self._console is None:
            print(f"{state:<5}  {line}", flush=True)
            return
        from rich.text import Text

        colour = {"ok": "green", "note": "yellow"}.get(state, "bold red")
        self._console.print(Text.assemble((f"{state:<5}", colour), "  ", line))

    def conclude(self, reached: bool) -> int:
        wrong = sum(check.state == "wrong" for check in self._checks)
        if self._args.json:
            write_json({"ok": not wrong, "checks": [asdict(check) for check in self._checks]})
        else:
            note(f"{wrong} of {len(self._checks)} checks found something wrong" if wrong else "all is well")
        if not reached:
            return 5
        return 1 if wrong else 0

    # ------------------------------------------------------------ a device's way

    def check_device(self) -> bool:
        """Go each way that a device may go; tells whether one of them leads somewhere."""
        reached, token = False, options.read_token(self._args.token_file)
        for way in options.urls(self._args)[0]:
            well = True
            for step in examine(way, self._login, site=self._args.site, token=token):
                self.add(step.name, step.state, f"{step.text} ({milliseconds(step.seconds * 1000)})", step.advice)
                well = well and step.state != WRONG
            reached = reached or well
        return reached

    # ------------------------------------------------------------ this computer and its network

    def check_versions(self) -> None:
        python = f"python {platform.python_version()} on {platform.system()}"
        packages = [f"{name} {_version(name)}" for name in _PACKAGES]
        self.add("versions", "ok", ", ".join([python, f"fogsdk {fogsdk.__version__}", *packages]))
        self.add("clock", "ok", "of no matter: all times on the wire are durations, no clock is compared")

    def check_mdns(self, needed: bool) -> None:
        found = announced.look()
        advice = (
            "is a node running? On this computer, `fognode --tasks mytasks` is one. "
            "A broker that fognode serves is announced by itself; let avahi announce a mosquitto on its own "
            "(_mqtt._tcp, with site=<site> in its TXT record). Guest networks and some access points keep "
            "multicast away: then name the broker with --url or $FOG_URL"
        )
        text = ", ".join(found.brokers) or "no broker of a fog answers (_mqtt._tcp)"
        self.add("mDNS brokers", "ok" if found.brokers else "wrong" if needed else "note", text, advice)
        text = ", ".join(found.nodes or ()) or found.problem or "no node announces itself (_fognode._tcp)"
        advice = "no need for it where the broker is named"
        self.add("mDNS nodes", "ok" if found.nodes else "note", text, advice)

    # ------------------------------------------------------------ the brokers

    def check_brokers(self, urls: list[str], source: str) -> list[BrokerUrl]:
        """Try each of them; returns those that let us in."""
        brokers, self._site, self._sender = options.party(self._args, urls)
        number = f"{len(brokers)} broker{'s' if len(brokers) > 1 else ''}"
        self.add("site", "ok", f"{self._site!r}, as {self._sender!r}, over {number} known from {source}")
        return [broker for broker in brokers if self._let_in(broker)]

    def _let_in(self, broker: BrokerUrl) -> bool:
        name = f"broker {broker}"
        if broker.coap:
            self.add(name, "wrong", f"it is none: {NO_BROKER}", "`fog doctor --device` goes that way")
            return False
        try:
            Observer(broker, self._login, self._site, self._sender).close()
            self.add(name, "ok", "reached, and it accepts the login")
            one, burst = answers(broker, self._login, self._sender)
        except ConnectionFailed as error:
            reason = str(error).removeprefix(f"{broker}: ")
            self.add(name, "wrong", reason, _remedy(broker, reason))
            return False
        text = f"answers a ping in {milliseconds(one)}, the last of three at once in {milliseconds(burst)}"
        advice = (
            "it holds small packets back (Nagle's algorithm): put `set_tcp_nodelay true` into "
            "mosquitto.conf and restart it"
        )
        self.add(name, "wrong" if burst - one > HELD_BACK else "ok", text, advice)
        return True

    # ------------------------------------------------------------ the site

    def check_site(self, broker: BrokerUrl) -> None:
        with Observer(broker, self._login, self._site, self._sender) as observer:
            observer.subscribe(VERSION_TOPIC)
            seen = list(survey(observer, SECONDS, PINGS).values())
            version = observer.text(VERSION_TOPIC)
        self.add("broker version", "ok", version or "not told (no $SYS topics, or not for this login)")
        there = [each for each in seen if each.state != "gone"]
        advice = f"start one: fognode --site {self._site} --brokers {broker} --tasks MODULE"
        text = ", ".join(f"{each.node} ({each.state})" for each in there)
        self.add("nodes", "ok" if there else "wrong", text or f"none on site {self._site!r}", advice)
        gone = ", ".join(each.node for each in seen if each.state == "gone")
        if gone:
            self.add("nodes gone", "note", gone, "they left, or died; nothing is sent to them")
        if any(each.round_trips for each in there) and not any(each.beat for each in there):
            advice = "as it should be for a device; `fog nodes` shows no load to this login"
            self.add("heartbeats", "note", "the broker's access list hides them from this login", advice)
        for each in there:
            self._check_way(each)
            if each.cut_off:
                advice = "is `fogcloud core` running there, and its broker? The log of the bridge says what it tries"
                self.add(f"cloud of {each.node}", "wrong", "this bridge does not reach its core site", advice)

    def _check_way(self, seen: Seen) -> None:
        name, trip, jitter = f"way to {seen.node}", seen.round_trip, seen.jitter or 0.0
        if trip is None:
            advice = (
                "it is announced, but does not answer: look at its log. Or the broker's access list has no "
                f"block for {seen.node!r}, which has to read its tasks and write replies"
            )
            self.add(name, "wrong", "no answer", advice)
            return
        text = f"{milliseconds(trip)} there and back, jitter {milliseconds(jitter)}"
        advice = (
            "much for a local network: power saving of Wi-Fi is a usual cause (on a Raspberry Pi: "
            "`sudo iw dev wlan0 set power_save off`), or a node whose processors are all busy"
        )
        self.add(name, "note" if trip > FAR or jitter > UNSTEADY else "ok", text, advice)


def _version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "(not installed)"


def _remedy(broker: BrokerUrl, reason: str) -> str:
    """What to do about an error of a connection."""
    if "login not accepted" in reason:
        return "check --username and --password-file (or $FOG_PASSWORD) against the broker's password file"
    if "certificate" in reason:
        return "pass the authority that signed the broker's certificate with --ca, and use the name in it"
    if "host name" in reason:
        return f"nothing knows {broker.host!r}: check the name, or give the broker's address"
    if "refused" in reason:
        return f"start a broker there; or does it listen on a port other than {broker.port}, or at 127.0.0.1?"
    return "check that the computer is on and in the same network, and that no firewall is between"
