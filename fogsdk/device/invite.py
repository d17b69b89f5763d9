"""Invitations to a fog: one line of text, mostly shown as a QR code, that holds all a device needs to get in.

    http://192.168.1.9:8080/#url=mqtt://phone:secret@192.168.1.9/home&token=...

A phone's camera opens it as what it looks like, a node's page. What follows the ``#`` stays on the phone (RFC 3986,
section 3.5: a fragment is not sent): the URLs for ``fogsdk.connect``, with site and login, and the token that the page
is to use. Where no node has a page, the URLs by themselves are the invitation, with spaces between them.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from urllib.parse import parse_qs, quote, urlsplit

from fogsdk.errors import ConfigError

_SCHEMES = ("http://", "https://")
_READABLE = "/:@?[]"  # these may stand in a fragment as they are, and a QR code with fewer characters is coarser


@dataclass(frozen=True)
class Invite:
    """``urls`` are for ``connect``, the best first; ``page`` is that of a node, or empty; ``token`` is for its HTTP."""

    urls: tuple[str, ...] = field(default=(), repr=False)
    page: str = ""
    token: str = field(default="", repr=False)

    def usable(self) -> tuple[str, ...]:
        """The URLs of the same kind as the first: a connection is over brokers, or straight to nodes, but not both."""
        over_coap = [url.lower().startswith("coap") for url in self.urls]
        return tuple(url for url, coap in zip(self.urls, over_coap, strict=True) if coap == over_coap[0])

    def text(self) -> str:
        """The invitation. Whoever reads it can use the fog, if login or token are in it."""
        if not self.page:
            return " ".join(self.urls)
        entries = [*(("url", url) for url in self.urls), *([("token", self.token)] if self.token else [])]
        fragment = "&".join(f"{key}={quote(value, safe=_READABLE)}" for key, value in entries)
        return f"{self.page}#{fragment}" if fragment else self.page


def read(text: str) -> Invite:
    """Take an invitation apart. Raises ConfigError for one without a URL for ``connect``."""
    invitation = take_apart(text)
    if invitation.page and not invitation.urls:
        parts = urlsplit(invitation.page)
        raise ConfigError(
            f"{parts.scheme}://{parts.netloc.rpartition('@')[2]} is a page for people: connect to the broker or node "
            "(mqtt://..., coap://...), or pass the whole invitation, with what follows the #"
        )
    return invitation


def take_apart(text: str) -> Invite:
    """Take an invitation apart, be it to a page alone. Raises ConfigError for what is none."""
    text = text.strip()
    if not text.lower().startswith(_SCHEMES):
        return Invite(tuple(text.split()))
    try:
        parts = urlsplit(text)
        held = parse_qs(parts.fragment, max_num_fields=64)
    except ValueError:  # its text may hold a password
        raise ConfigError("the invitation cannot be read: copy all of it, from http to its end") from None
    return Invite(tuple(held.get("url", ())), parts._replace(fragment="").geturl(), held.get("token", [""])[0])
