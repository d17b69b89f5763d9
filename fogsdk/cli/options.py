"""The options that every command has: which site, over which broker, with which login."""

from __future__ import annotations

import argparse
import math
import os
import secrets
from pathlib import Path

from fogsdk.cli.observer import Observer, connect_first
from fogsdk.device import invite
from fogsdk.device.brokers import announced, fallback, later, named
from fogsdk.device.fog import Fog
from fogsdk.device.fog import connect as connect_to
from fogsdk.device.url import DEFAULT_SITE, BrokerUrl, Credentials, parse
from fogsdk.errors import ConfigError, WireError
from fogsdk.wire.topics import check_id

GIVEN, VARIABLE = "--url", "$FOG_URL"
PASSWORD_VARIABLE = "FOG_PASSWORD"  # noqa: S105 - its name, not a password


def add_common(parser: argparse.ArgumentParser) -> None:
    """Add the options to a command."""
    group = parser.add_argument_group("connection")
    group.add_argument(
        "--url",
        action="append",
        metavar="URL",
        help="a broker, mqtt://host[:port][/site] or mqtts://..., or an invitation (`fog invite`); repeat it for "
        "further ones, tried in turn "
        "(default: $FOG_URL, then what mDNS finds, then fog.local)",
    )
    site = 'the site (default: what the URL says; by mDNS "home", or else the only one that it finds)'
    group.add_argument("--site", metavar="ID", help=site)
    group.add_argument("--username", metavar="NAME", help="login at the broker, and sender of the tasks")
    files = {
        "--password-file": f"file that holds the password (default: ${PASSWORD_VARIABLE})",
        "--ca": "certificate (PEM) that the broker's is signed with",
        "--cert": "certificate (PEM) of this client",
        "--key": "private key (PEM) of this client",
    }
    for flag, text in files.items():
        complete_files(group.add_argument(flag, metavar="FILE", help=text))
    group.add_argument(
        "--timeout",
        type=seconds,
        default=10.0,
        metavar="SECONDS",
        help="time to find a broker that accepts the login (default: 10)",
    )
    parser.add_argument("--json", action="store_true", help="write JSON to stdout, for other programs")


def complete_files(option: argparse.Action) -> None:
    """Let the shell complete the names of files for this option: what shtab.FILE says."""
    files = {"bash": "_shtab_compgen_files", "zsh": "_files", "tcsh": "f"}
    option.complete = files  # type: ignore[attr-defined]


def seconds(text: str) -> float:
    """A positive number of seconds, for argparse."""
    return number(text, "a number of seconds", above=True)


def whole_number(text: str, least: int, most: int) -> int:
    """A whole number within bounds, for argparse."""
    try:
        value = int(text)
    except ValueError:
        value = most + 1
    if not least <= value <= most:
        raise argparse.ArgumentTypeError(f"must be a whole number from {least} to {most:,}, not {text}")
    return value


def number(text: str, what: str, *, above: bool = False, below: int = 10**9) -> float:
    """A number from 0, or ``above`` it, for argparse; ``what`` it is, for people."""
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not (value > 0 if above else value >= 0) or not value < below:
        least = "above" if above else "from"
        raise argparse.ArgumentTypeError(f"must be {what} {least} 0 and below {below:,}, not {text}")
    return value


def urls(args: argparse.Namespace) -> tuple[list[str], str]:
    """The brokers to try, in order, and where they are known from."""
    if args.url:
        return list(args.url), GIVEN
    given = named(None)
    if given:
        return given, VARIABLE
    as_whom = login(args)
    found = announced(args.site, as_whom)
    return (found, "mDNS") if found else ([fallback(as_whom)], "the last resort, as mDNS found none")


def login(args: argparse.Namespace) -> Credentials:
    """The login. Raises ConfigError for a password file that cannot be read."""
    password = os.environ.get(PASSWORD_VARIABLE)
    if args.password_file:
        password = _read_secret(args.password_file, "--password-file").strip("\r\n")
    return Credentials(args.username, password, args.ca, args.cert, args.key)


def read_token(file: str | None) -> str:
    """The token for HTTP, empty where none is given. Raises ConfigError for a file that cannot be read."""
    return "" if file is None else _read_secret(file, "--token-file").strip()


def _read_secret(file: str, option: str) -> str:
    try:
        return Path(file).read_text(encoding="utf-8")
    except (OSError, ValueError) as error:
        raise ConfigError(f"{option} {file} cannot be read: {error}") from error


def party(args: argparse.Namespace, urls: list[str]) -> tuple[list[BrokerUrl], str, str]:
    """The brokers, the site, and this program's id on the wire. Raises ConfigError.

    The id is the login's name: a broker with an access list passes nothing under another.
    """
    brokers = [broker for url in urls for broker in _brokers(url)]
    site = args.site or next((broker.site for broker in brokers if broker.site), DEFAULT_SITE)
    user = next((broker.username for broker in brokers if broker.username), args.username)
    try:
        return brokers, check_id(site, "site"), check_id(user or f"fog-{secrets.token_hex(4)}", "username")
    except WireError as error:
        raise ConfigError(str(error)) from None


def _brokers(url: str) -> list[BrokerUrl]:
    """Those that a URL or an invitation names; where it names none, the nodes that it leads to by CoAP."""
    named = [parse(each) for each in invite.read(url).urls]
    return [each for each in named if not each.coap] or named


def connect(args: argparse.Namespace) -> Fog:
    """Connect, for running tasks. Raises ConnectionFailed and ConfigError."""
    as_whom = login(args)
    return connect_to(
        args.url or None,
        site=args.site,
        username=as_whom.username,
        password=as_whom.password,
        ca=as_whom.ca,
        cert=as_whom.cert,
        key=as_whom.key,
        timeout=args.timeout,
    )


def observe(args: argparse.Namespace) -> Observer:
    """Connect, for listening to a site. Raises ConnectionFailed and ConfigError."""
    found, source = urls(args)
    brokers, site, sender = party(args, found)
    as_whom = login(args)
    again = None if source in (GIVEN, VARIABLE) else lambda: later(site, as_whom, brokers) or brokers
    return connect_first(brokers, as_whom, site, sender, args.timeout, again)
