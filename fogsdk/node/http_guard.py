"""Who may ask over HTTP, and as whom: tokens, names of hosts, and pages of other sites in somebody's browser."""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
import re
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import urlsplit

from aiohttp import web

from fogsdk.errors import ConfigError, TaskRefused, WireError
from fogsdk.wire.limits import ID_LENGTH
from fogsdk.wire.topics import check_id

SENDER = "Fog-Sender"
"""The header in which a client names itself, where no token does; or the option ``sender`` of the query."""
LEAST_TOKEN = 16
"""Characters of a token: nobody can try out all of so many."""
LONGEST_HOST = 255
"""Characters of a host and its port; no name is longer (RFC 1035)."""

_OPEN = ("/fog/v1/phone",)  # below /fog/, what is no secret
_LOCAL = (".localhost", ".local", ".lan", ".internal", ".home.arpa")
_ALLOWED_HEADERS = "Accept, Authorization, Content-Type, Fog-Sender, Last-Event-ID, Prefer"
_EXPOSED_HEADERS = "Location, Preference-Applied, Retry-After"


class Tokens:
    """Who has which token. It keeps their hashes."""

    def __init__(self, senders: Sequence[tuple[str, str]]) -> None:
        self._known = [(sender, _hash(token)) for sender, token in senders]

    def sender(self, token: str) -> str | None:
        """Whose token it is. It takes as long for one that is nearly right as for any other."""
        given, found = _hash(token), None
        for sender, known in self._known:
            if hmac.compare_digest(given, known):
                found = sender
        return found


def _hash(token: str) -> bytes:
    return hashlib.sha256(token.encode("utf-8", "surrogateescape")).digest()


def read_tokens(path: Path | None) -> Tokens | None:
    """Read a file with a line ``<sender> <token>`` for each; ``#`` begins a comment.

    Raises ConfigError for a file that others than its owner can read, and for what is wrong in it.
    """
    if path is None:
        return None
    try:
        mode, text = path.stat().st_mode, path.read_text(encoding="utf-8")
    except (OSError, ValueError) as error:
        raise ConfigError(f"http_tokens {path} cannot be read: {error}") from error
    if mode & 0o077:
        raise ConfigError(f"http_tokens {path} can be read by others; keep it to its owner: chmod 600 {path}")
    senders: list[tuple[str, str]] = []
    for number, line in enumerate(text.splitlines(), 1):
        words = line.partition("#")[0].split()
        if words:
            sender, token = _entry(words, f"http_tokens {path}, line {number}")
            if any(token == known for _, known in senders):
                raise ConfigError(f"http_tokens {path}, line {number}: another line has this token; each needs its own")
            senders.append((sender, token))
    if not senders:
        raise ConfigError(f"http_tokens {path} has no token in it; add lines of a sender and its token")
    return Tokens(senders)


def _entry(words: list[str], where: str) -> tuple[str, str]:
    if len(words) != 2:
        raise ConfigError(f"{where}: must be a sender and its token, and nothing else")
    sender, token = words
    try:
        check_id(sender, "sender")
    except WireError as error:
        raise ConfigError(f"{where}: {error}") from None
    if len(token) < LEAST_TOKEN or not re.fullmatch(r"[A-Za-z0-9._~+/=-]+", token):
        raise ConfigError(
            f"{where}: a token has at least {LEAST_TOKEN} of A-Z, a-z, 0-9 and ._~+/=-; "
            'make one: python3 -c "import secrets; print(secrets.token_urlsafe())"'
        )
    return sender, token


class Guard:
    """Lets requests in, or not. ``names`` are further names of this host, ``origins`` the sites whose pages may ask."""

    def __init__(self, tokens: Tokens | None, names: Sequence[str], origins: Sequence[str]) -> None:
        self._tokens = tokens
        self._names = {name.lower() for name in names}
        self._origins = set(origins)

    def check(self, request: web.BaseRequest) -> None:
        """Raises TaskRefused (forbidden, unauthorized) for a request that is not let in."""
        self._check_host(request)
        self._check_origin(request)
        if self._tokens is not None and request.path.startswith("/fog/") and request.path not in _OPEN:
            self.sender(request)

    def _check_host(self, request: web.BaseRequest) -> None:
        """A name of somebody else's that leads to this node makes a page of theirs look like one of ours (DNS
        rebinding). A token is what such a page does not have."""
        host = request.headers.get("Host", "")
        if len(host) > LONGEST_HOST:
            raise WireError(f"more than {LONGEST_HOST} characters", "Host")
        name = host_name(host)
        if self._tokens is None and not (_is_ours(name) or name in self._names):
            raise TaskRefused("forbidden", f"this node does not go by the name {name[:80]!r}; add it to advertise")

    def _check_origin(self, request: web.BaseRequest) -> None:
        origin = request.headers.get("Origin")
        if origin is not None and not self._is_same(request, origin) and origin.lower() not in self._origins:
            raise TaskRefused(
                "forbidden", f"pages of {origin[:80]} may not use this node; http_cors names those that may"
            )
        if origin is None and request.method not in ("GET", "HEAD"):
            site = request.headers.get("Sec-Fetch-Site", "none")
            if site not in ("none", "same-origin"):
                raise TaskRefused("forbidden", "pages of other sites may not use this node")

    @staticmethod
    def _is_same(request: web.BaseRequest, origin: str) -> bool:
        try:
            return urlsplit(origin.lower()).netloc == request.headers.get("Host", "").lower() != ""
        except ValueError:
            return False

    def sender(self, request: web.BaseRequest) -> str:
        """As whom a request asks. Raises TaskRefused (unauthorized, forbidden), and WireError for what is no name."""
        named = request.query.get("sender", request.headers.get(SENDER))
        if self._tokens is None:
            return check_id(named, "sender") if named is not None else _of_address(request.remote)
        sender = self._tokens.sender(token_of(request))
        if sender is None:
            raise TaskRefused("unauthorized", "send a token that this node knows: Authorization: Bearer <token>")
        if named not in (None, sender):
            raise TaskRefused("forbidden", f"this token is that of {sender}, not of {str(named)[:80]!r}")
        return sender

    def client(self, request: web.BaseRequest) -> str:
        """Whose request it is, whatever name it gives: that of a token, or of an address."""
        return _of_address(request.remote) if self._tokens is None else self.sender(request)

    def headers(self, request: web.BaseRequest) -> dict[str, str]:
        """What a response says to the browser about pages of other sites (CORS)."""
        if not self._origins:
            return {}
        origin = request.headers.get("Origin", "").lower()
        if origin not in self._origins:
            return {"Vary": "Origin"}
        allowed = {"Vary": "Origin", "Access-Control-Allow-Origin": origin}
        if request.method != "OPTIONS":
            return {**allowed, "Access-Control-Expose-Headers": _EXPOSED_HEADERS}
        return {
            **allowed,
            "Access-Control-Allow-Methods": "GET, POST, DELETE",
            "Access-Control-Allow-Headers": _ALLOWED_HEADERS,
            "Access-Control-Max-Age": "600",
        }

    @property
    def open(self) -> bool:
        """Whether clients need no token."""
        return self._tokens is None


def token_of(request: web.BaseRequest) -> str:
    """The token that a request brings; empty where it brings none."""
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    return token.strip() if scheme.lower() == "bearer" else ""


def host_name(host: str) -> str:
    """The name or address in a host with or without a port; empty for what is none."""
    try:
        return (urlsplit(f"//{host}").hostname or "").rstrip(".")
    except ValueError:
        return ""


def _is_ours(name: str) -> bool:
    """Whether nobody else can have a name lead here: an address, or a name that only this network knows."""
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return bool(name) and ("." not in name or name.endswith(_LOCAL))
    return True


def _of_address(address: str | None) -> str:
    """The sender that a client is which names none: the same for all from one address."""
    return f"http-{re.sub(r'[^a-z0-9]', '-', (address or '').lower())}"[:ID_LENGTH]
