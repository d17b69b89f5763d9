"""Writes invitations: what a device needs to get into this fog, and the QR code of it."""

from __future__ import annotations

import io
from dataclasses import replace
from functools import lru_cache

import segno

from fogsdk.device.addresses import is_loopback
from fogsdk.device.url import BrokerUrl
from fogsdk.errors import TooLarge

QUIET_ZONE = 2
"""Modules of white around the code on a screen, where the rest is not busy; the standard says 4 for paper."""
_BLOCKS = {(0, 0): "\N{FULL BLOCK}", (0, 1): "\N{UPPER HALF BLOCK}", (1, 0): "\N{LOWER HALF BLOCK}", (1, 1): " "}


def broker_url(broker: BrokerUrl, site: str, host: str = "") -> str:
    """The URL that a device is to use for a broker, with the login in it. ``host`` takes the place of this computer's
    loopback address, which leads a device to itself."""
    if host and is_loopback(broker.host):
        broker = replace(broker, host=host)
    return broker.whole(site)


def qr_lines(text: str) -> list[str]:
    """The QR code of a text as lines of half blocks, for a terminal that writes white on black."""
    rows = [list(row) for row in _code(text).matrix_iter(border=QUIET_ZONE)]
    rows += [[0] * len(rows[0])] * (len(rows) % 2)
    return [
        "".join(_BLOCKS[bool(top), bool(bottom)] for top, bottom in zip(upper, lower, strict=True))
        for upper, lower in zip(rows[::2], rows[1::2], strict=True)
    ]


@lru_cache(maxsize=64)  # it takes long to draw
def qr_svg(text: str) -> bytes:
    """The QR code of a text as a picture that fits any size. Raises TooLarge."""
    picture = io.BytesIO()
    _code(text).save(picture, kind="svg", xmldecl=False, omitsize=True, light="#fff", border=4)
    return picture.getvalue()


def _code(text: str) -> segno.QRCode:
    try:
        return segno.make_qr(text, error="l")  # it is on a screen, neither torn nor stained
    except segno.DataOverflowError:
        raise TooLarge(f"an invitation of {len(text)} characters is too long for a QR code") from None
