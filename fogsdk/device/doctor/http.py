"""The way over HTTP: a node's page, the token, the nodes, a task."""

from __future__ import annotations

import email.utils
import http.client
import json
import time
from collections.abc import Callable, Generator, Iterator
from typing import Any
from urllib.parse import SplitResult

from fogsdk.device.doctor import network
from fogsdk.device.doctor.step import Step, ok, wrong
from fogsdk.device.mqtt import tls_context
from fogsdk.device.url import Credentials

NODES = "/fog/v1/nodes"
TASK = "/fog/v1/tasks/fog.report"

_Answer = tuple[int, Any, float]


def steps(url: SplitResult, number: int | None, login: Credentials, token: str) -> Iterator[Step]:
    """Examine the way to this node, at port ``number``. ``login`` is for its TLS files."""
    secure = url.scheme.lower() == "https"
    number = number or (443 if secure else 80)
    host = url.hostname or ""
    address = yield from network.all_but_multicast(host, number, "fognode --http-port")
    if not address or (secure and not (yield from network.tls(address, number, host, login))):
        return
    visit = _Visit(host, number, login if secure else None, token)
    served_at = yield from _step("nodes", visit, "GET", NODES, _who_is_there)
    if served_at is None:
        return
    if served_at:
        yield from network.clock_of(served_at - time.time())
    yield from _step("task", visit, "POST", TASK, lambda said: f"run by {said['value']['node']}")


def _who_is_there(said: Any) -> str:
    names = [node["node"] for node in said["nodes"] if node["state"] == "there"]
    return f"{', '.join(names)} of site {said['site']!r}, as {said['node']} sees it"


class _Visit:
    """Requests to one node."""

    def __init__(self, host: str, port: int, secure: Credentials | None, token: str) -> None:
        self._place = host, port
        self._context = None if secure is None else tls_context(secure)
        self._headers = {"Accept": "application/json", **({"Authorization": f"Bearer {token}"} if token else {})}

    def ask(self, method: str, path: str) -> _Answer:
        """The status, the document (text where it is none), and when the node says it is."""
        connection: http.client.HTTPConnection
        if self._context is None:
            connection = http.client.HTTPConnection(*self._place, timeout=network.WITHIN)
        else:
            connection = http.client.HTTPSConnection(*self._place, timeout=network.WITHIN, context=self._context)
        try:
            connection.request(method, path, headers=self._headers)
            response = connection.getresponse()
            body = response.read(2**20).decode(errors="replace")
            date = response.headers.get("Date")
        finally:
            connection.close()
        at = _seconds(date)
        try:
            return response.status, json.loads(body), at
        except ValueError:
            return response.status, body, at


def _seconds(date: str | None) -> float:
    """When that is, 0.0 for what is no date."""
    try:
        return email.utils.parsedate_to_datetime(date).timestamp() if date else 0.0
    except (ValueError, TypeError, OverflowError):
        return 0.0


def _step(
    name: str, visit: _Visit, method: str, path: str, tell: Callable[[Any], str]
) -> Generator[Step, None, float | None]:
    """Ask, and tell of the answer, or what is wrong if that is not as a node's. Returns when the node says it is."""
    try:
        status, said, at = visit.ask(method, path)
    except (OSError, http.client.HTTPException) as error:
        advice = "what listens there speaks something else; an address that begins with https:// is another"
        yield wrong(name, f"no answer of a node: {type(error).__name__}: {error}", advice)
        return None
    if status == 200:
        try:
            yield ok(name, tell(said))
        except (LookupError, TypeError):
            advice = "that is no node of a fog, or one of another version"
            yield wrong(name, f"{method} {path} is not answered as by a node: {str(said)[:200]}", advice)
            return None
        return at
    text = said.get("detail") or said.get("title") if isinstance(said, dict) else str(said)[:200]
    advice = {
        401: "pass a token that the node knows (its http_tokens file): --token-file, or an invitation that has one",
        403: "use the name or address that the node goes by, or have the name added with fognode --advertise",
        404: "that is no node of a fog, or one of another version",
    }.get(status, "look at the node's log")
    yield wrong(name, f"{method} {path} is answered {status}: {text}", advice)
    return None
