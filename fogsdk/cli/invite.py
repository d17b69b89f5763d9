"""``fog invite``: shows a phone the way into this fog, as a QR code."""

from __future__ import annotations

import argparse
import os
import sys
from dataclasses import replace
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from fogsdk.cli import options
from fogsdk.cli.observer import connect_first
from fogsdk.cli.output import note, write_json
from fogsdk.cli.survey import survey
from fogsdk.device.addresses import is_loopback, own_address
from fogsdk.device.invite import Invite

if TYPE_CHECKING:
    from fogsdk.device.url import BrokerUrl, Credentials

HELP = "show a phone the way in, as a QR code"
MORE = """The code holds what a device needs to get in: the URLs of the brokers, the site,
and the login and token that you give here, which are tried first. A phone's
camera opens a node's page with it; fogsdk.connect("...") takes its text.

A code with a password or token in it is a key: who has seen it can use the fog.
Give each device a login of its own, so that you can take one back.

examples:
  fog invite --username phone --password-file phone.password
  fog invite --no-password
  fog invite --page http://192.168.1.9:8080/ --token-file phone.token"""

SECONDS = 0.5
"""Time to hear which node has a page: brokers send at once what nodes announced."""
_WHITE_ON_BLACK, _AS_BEFORE = "\x1b[97;40m", "\x1b[0m"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of this command."""
    parser.add_argument("--page", metavar="URL", help="a node's page (default: what the nodes announce)")
    options.complete_files(
        parser.add_argument(
            "--token-file", metavar="FILE", help="file that holds a token for HTTP (fognode --http-tokens)"
        )
    )
    parser.add_argument("--no-password", action="store_true", help="leave password and token out: no key, only the way")
    options.add_common(parser)


def run(args: argparse.Namespace) -> int:
    """Try the login, and show the invitation. Raises ConnectionFailed and ConfigError."""
    from fogsdk.node import invite

    brokers, site, sender = options.party(args, options.urls(args)[0])
    login = options.login(args)
    page = args.page or _announced_page(brokers, login, site, sender, args.timeout)
    here = own_address()
    urls = tuple(invite.broker_url(_known_as(each, login, args.no_password), site, here) for each in brokers)
    invitation = Invite(urls, page, "" if args.no_password else options.read_token(args.token_file))
    key = any(":" in url.rpartition("@")[0].partition("://")[2] for url in urls) or bool(invitation.token)
    text = invitation.text()
    if args.json:
        write_json({"invitation": text, "page": page or None, "urls": urls, "key": key})
        return 0
    _draw(invite.qr_lines(text))
    print(text, flush=True)
    _explain(key, page, [str(each) for each in brokers if is_loopback(each.host)])
    return 0


def _announced_page(brokers: list[BrokerUrl], login: Credentials, site: str, sender: str, timeout: float) -> str:
    with connect_first(brokers, login, site, sender, timeout) as observer:
        seen = survey(observer, SECONDS, pings=0).values()
    addresses = [address for each in seen if each.birth and each.state != "gone" for address in each.birth.addresses]
    return next((address for address in addresses if address.startswith(("http://", "https://"))), "")


def _known_as(broker: BrokerUrl, login: Credentials, no_password: bool) -> BrokerUrl:
    if broker.username is None:
        broker = replace(broker, username=login.username, password=login.password if login.username else None)
    return replace(broker, password=None) if no_password else broker


def _draw(lines: list[str]) -> None:
    """On a terminal in black and white, whatever its own colours are."""
    coloured = sys.stdout.isatty() and "NO_COLOR" not in os.environ
    before, after = (_WHITE_ON_BLACK, _AS_BEFORE) if coloured else ("", "")
    for line in lines:
        print(f"{before}{line}{after}")


def _explain(key: bool, page: str, local: list[str]) -> None:
    if key:
        note("This code is a key: whoever sees it, or a picture of it, can use the fog with this login.")
    if not page:
        note(
            "No node announces a page, so a camera cannot open this: scan it into your program instead, or start a "
            "node with --http-port 8080"
        )
    elif is_loopback(urlsplit(page).hostname or ""):
        local = [page, *local]
    for address in local:
        note(f"{address} is this computer alone: if nothing listens on another address of it, no phone will get in")
