"""A plain HTTP client, of the standard library alone, for nodes that serve HTTP."""

from __future__ import annotations

import http.client
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, NamedTuple
from urllib.parse import urlencode

import cbor2

from tests.e2e.site import Site
from tests.support.ports import free_port

JSON, CBOR, EVENTS = "application/json", "application/cbor", "text/event-stream"
TASKS = "/fog/v1/tasks"


class Answer(NamedTuple):
    """A response that was read to its end."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def said(self) -> Any:
        """What is in the body."""
        return cbor2.loads(self.body) if self.headers["Content-Type"] == CBOR else json.loads(self.body)

    @property
    def value(self) -> Any:
        """The result of a task."""
        assert self.status == 200, f"{self.status}: {self.body[:500]!r}"
        return self.said["value"]

    @property
    def problem(self) -> tuple[int, str]:
        """The status, and the reason in the problem details."""
        assert self.headers["Content-Type"] == "application/problem+json"
        assert self.said["status"] == self.status
        return self.status, self.said["reason"]


class Event(NamedTuple):
    """One server-sent event."""

    name: str
    data: Any
    id: str


class Client:
    """Asks one node. ``headers`` go with every request."""

    def __init__(self, port: int, headers: Mapping[str, str] | None = None) -> None:
        self.port = port
        self.url = f"http://127.0.0.1:{port}"
        self._headers = dict(headers or {})

    def bearing(self, token: str) -> Client:
        """The same, with a token."""
        return Client(self.port, {"Authorization": f"Bearer {token}"})

    def request(self, method: str, path: str, body: Any = None, headers: Mapping[str, str] | None = None) -> Answer:
        """Ask, and wait for the whole answer."""
        with self._asked(method, path, body, headers) as response:
            return Answer(response.status, dict(response.getheaders()), response.read())

    def get(self, path: str, **headers: str) -> Answer:
        """``GET``; an underscore in a header's name stands for a hyphen."""
        return self.request("GET", path, headers=_named(headers))

    def run(self, name: str, *args: Any, query: Mapping[str, Any] | None = None, **headers: str) -> Answer:
        """Run a task with these arguments, in JSON."""
        return self.request("POST", task(name, query), json.dumps({"args": args}), _named(headers))

    def run_cbor(self, name: str, *args: Any, query: Mapping[str, Any] | None = None) -> Answer:
        """The same in CBOR, which the answer is in too."""
        headers = {"Content-Type": CBOR, "Accept": CBOR}
        return self.request("POST", task(name, query), cbor2.dumps({"args": args}), headers)

    @contextmanager
    def events(
        self, method: str, path: str, body: Any = None, headers: Mapping[str, str] | None = None
    ) -> Iterator[Iterator[Event]]:
        """Follow a stream of events, for as long as the context is entered."""
        with self._asked(method, path, body, {**(headers or {}), "Accept": EVENTS}) as response:
            assert response.status == 200, response.read()
            assert response.getheader("Content-Type", "").startswith(EVENTS)
            yield _events(response)

    @contextmanager
    def _asked(
        self, method: str, path: str, body: Any, headers: Mapping[str, str] | None
    ) -> Iterator[http.client.HTTPResponse]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        try:
            kind = {} if body is None else {"Content-Type": JSON}
            connection.request(method, path, body, {**kind, **self._headers, **(headers or {})})
            yield connection.getresponse()
        finally:
            connection.close()


def task(name: str, query: Mapping[str, Any] | None = None) -> str:
    """The path of a task."""
    return f"{TASKS}/{name}" + (f"?{urlencode(query)}" if query else "")


def _named(headers: Mapping[str, str]) -> dict[str, str]:
    return {name.replace("_", "-"): value for name, value in headers.items()}


def _events(response: http.client.HTTPResponse) -> Iterator[Event]:
    fields: dict[str, str] = {}
    for line in response:
        text = line.decode().rstrip("\n")
        if text:
            name, _, value = text.partition(": ")
            fields[name] = value
        elif "event" in fields:
            yield Event(fields["event"], json.loads(fields["data"]), fields.get("id", ""))
            fields = {}


def serve(site: Site, name: str, *flags: str) -> Client:
    """Start a node of a site that serves HTTP too."""
    port = free_port()
    site.start(name, flags=("--http-port", str(port), *flags))
    return Client(port)
