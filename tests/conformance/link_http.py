"""A stranger's HTTP client, in JSON or CBOR: it hands in a task, and comes back for its outcome."""

from __future__ import annotations

import http.client
import json
import threading
import time
from typing import Any
from urllib.parse import urlencode

import cbor2

from fogsdk.wire import limits, values
from tests.conformance.link import PATIENCE, Order, Outcome

TASKS = "/fog/v1/tasks"
_GLANCE = "0.05s"  # how long one poll waits


class HttpCall:
    """A task that was posted, and is polled."""

    def __init__(self, link: HttpLink, order: Order) -> None:
        self._link = link
        self._where = f"{TASKS}/{order.name}/{order.id}"
        self._fractions: list[float] = []
        self._over = threading.Event()
        self._outcome: Outcome | None = None
        self._thread = threading.Thread(target=self._follow, args=(order,), daemon=True)
        self._thread.start()

    def outcome(self, timeout: float = PATIENCE) -> Outcome:
        self._thread.join(timeout)
        if self._outcome is None:
            raise TimeoutError(f"no outcome at {self._where} in {timeout} s")
        return self._outcome

    def progress(self) -> list[float]:
        return list(self._fractions)

    def cancel(self) -> None:
        status, _ = self._link.ask("DELETE", self._where)
        assert status in (202, 204)

    def _follow(self, order: Order) -> None:
        status, said = self._link.post(order)
        ends = time.monotonic() + PATIENCE
        while status == 202 and time.monotonic() < ends:
            self._fractions += [said["progress"]] if "progress" in said else []
            status, said = self._link.ask("GET", self._where, wait=_GLANCE)
        if status != 202:
            self._outcome = _outcome(status, said)


class HttpLink:
    """A client of its own name."""

    arrays = True
    persists = False
    most_body = limits.MESSAGE_SIZE - 1024

    def __init__(self, port: int, name: str, *, as_json: bool) -> None:
        self.json = as_json
        self._port = port
        self._name = name
        self._type = "application/json" if as_json else "application/cbor"

    def hand_in(self, order: Order) -> HttpCall:
        return HttpCall(self, order)

    def repeat(self, order: Order) -> HttpCall:
        return self.hand_in(order)

    def post(self, order: Order) -> tuple[int, Any]:
        options: dict[str, Any] = {"id": order.id, "priority": order.priority}
        if order.deadline is not None:
            options["deadline"] = f"{order.deadline}s"
        if order.keep is not None:
            options |= {"keep": f"{order.keep}s", "copies": order.copies}
        if self.json:
            body = json.dumps({"args": list(order.args), "kwargs": order.kwargs}).encode()
        else:
            body = cbor2.dumps({"body": values.encode([list(order.args), order.kwargs])})
        return self.ask("POST", f"{TASKS}/{order.name}", body, **options)

    def ask(self, method: str, path: str, body: bytes | None = None, **options: Any) -> tuple[int, Any]:
        """One request; returns the status and what the response holds."""
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=PATIENCE)
        headers = {"Accept": self._type, "Content-Type": self._type, "Prefer": "respond-async"}
        try:
            connection.request(method, f"{path}?{urlencode({'sender': self._name, **options})}", body, headers)
            response = connection.getresponse()
            said = response.read()
            if not said:
                return response.status, {}
            return response.status, json.loads(said) if self.json else values.decode(said)
        finally:
            connection.close()

    def close(self) -> None:
        """Nothing stays open between two requests."""


def _outcome(status: int, said: dict[str, Any]) -> Outcome:
    if status == 200:
        return Outcome("result", said["value"], ran=tuple(hop["node"] for hop in said["trace"]))
    retry, reason = said.get("retry_after"), said["reason"]
    if reason == "failed":
        return Outcome("failed", None, said["error"], said["message"], said.get("traceback", ""))
    if reason in ("cancelled", "deadline-exceeded"):
        return Outcome(reason, message=said["detail"])
    return Outcome(
        "refused", message=said["detail"], reason=reason, retry_after=None if retry is None else retry / 1000
    )
