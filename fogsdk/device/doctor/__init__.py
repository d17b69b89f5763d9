"""Tells a device's owner why it cannot reach the fog: step by step along its own way there, as far as that goes.

Standard library and paho-mqtt alone, so that it runs where the device's program runs, a phone included:
``python -m fogsdk.device.doctor mqtt://192.168.1.9``, or ``from fogsdk.device import doctor; doctor.main([...])``.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from urllib.parse import urlsplit

from fogsdk.device import invite
from fogsdk.device.brokers import fallback
from fogsdk.device.doctor import coap, http, mqtt
from fogsdk.device.doctor.step import NOTE, OK, WRONG, Step
from fogsdk.device.url import Credentials, parse
from fogsdk.errors import ConfigError

__all__ = ["NOTE", "OK", "WRONG", "Step", "examine", "main"]

_HELP = "Tells why this device cannot reach the fog, step by step along its own way there, as far as that goes."


def examine(
    text: str, credentials: Credentials | None = None, *, site: str | None = None, token: str = ""
) -> Iterator[Step]:
    """Go the way that a URL or an invitation says, and tell of each step as it is done; one that fails ends its way.

    ``mqtt``, ``mqtts``, ``coap``, ``http`` and ``https`` are understood; of an invitation every way is gone. ``token``
    is for HTTP. It takes some seconds. Raises ConfigError for text that is neither.
    """
    login = credentials or Credentials()
    ways = [text]
    if text.lower().startswith(("http://", "https://")) and "#" in text:
        held = invite.take_apart(text)
        ways, token = [held.page, *held.urls], token or held.token
    for way in ways:
        yield from _timed(_steps(way, login, site, token))


def _steps(way: str, login: Credentials, site: str | None, token: str) -> Iterator[Step]:
    if way.lower().startswith(("http://", "https://")):
        try:
            parts = urlsplit(way)
            number = parts.port
        except ValueError:  # its text may quote a password
            parts, number = urlsplit(""), None
        if not parts.hostname:
            raise ConfigError(
                "the URL cannot be read: http://<host>:<port>/, with a port up to 65535, as 192.168.1.9:8080"
            )
        return http.steps(parts, number, login, token)
    url = parse(way, beside=("http", "https"))
    return coap.steps(url, login, site) if url.coap else mqtt.steps(url, login, site)


def _timed(steps: Iterator[Step]) -> Iterator[Step]:
    began = time.perf_counter()
    for step in steps:
        yield replace(step, seconds=time.perf_counter() - began)
        began = time.perf_counter()


def main(argv: Sequence[str] | None = None) -> int:
    """Examine the ways that are given, else that over ``fog.local``, and write what is found. Returns 0 if all is well,
    1 if something is wrong, 2 for a URL that is none, and 130 where Ctrl-C ended it."""
    ways = _read_ways(argv)
    wrong = False
    try:
        for step in (step for way in ways for step in examine(way)):
            wrong = wrong or step.state == WRONG
            sys.stdout.write(f"{step}\n")
            sys.stdout.flush()
    except ConfigError as error:
        sys.stderr.write(f"{error}\n")
        return 2
    except KeyboardInterrupt:
        return 130
    return 1 if wrong else 0


def _read_ways(argv: Sequence[str] | None) -> list[str]:
    parser = argparse.ArgumentParser("python -m fogsdk.device.doctor", description=_HELP)
    usual = fallback(Credentials())
    which = f"begins with mqtt://, mqtts://, coap://, http:// or https://, or is an invitation (default: {usual})"
    parser.add_argument("ways", metavar="URL", nargs="*", default=[usual], help=which)
    ways: list[str] = parser.parse_args(argv).ways
    return ways
