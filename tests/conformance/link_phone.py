"""The SDK as it is on an iPhone: the bundle alone, on a Python that has nothing else and may start nothing."""

from __future__ import annotations

import base64
import json
import subprocess
import threading
from pathlib import Path
from typing import Any

from fogsdk.node import phone_bundle
from fogsdk.wire import limits, values
from tests.conformance.link import PATIENCE, Order, Outcome
from tests.phone.pythons import oldest
from tests.phone.site import GATE

_SCRIPT = str(Path(__file__).with_name("phone_side.py"))


class PhoneCall:
    """A task that the phone was told to hand in."""

    def __init__(self, link: PhoneLink, id: str) -> None:
        self.done = threading.Event()
        self.said: dict[str, Any] = {}
        self.fractions: list[float] = []
        self._link = link
        self._id = id

    def outcome(self, timeout: float = PATIENCE) -> Outcome:
        if not self.done.wait(timeout):
            raise TimeoutError(f"no outcome of {self._id} in {timeout} s")
        said = dict(self.said)
        if "value" in said:
            said |= {"value": values.decode(base64.b64decode(said["value"])), "ran": tuple(said["ran"])}
        return Outcome(**said)

    def progress(self) -> list[float]:
        return list(self.fractions)

    def cancel(self) -> None:
        self._link.tell("cancel", self._id)


class PhoneLink:
    """A phone, with the bundle beside its script in ``folder``."""

    json = False
    arrays = False
    persists = True
    most_body = limits.BODY_SIZE

    def __init__(self, folder: Path, url: str, name: str) -> None:
        self._folder = folder
        self._name = name
        bundle = folder / phone_bundle.NAME
        if not bundle.exists():
            bundle.write_bytes(phone_bundle.build())
        self._calls: dict[str, PhoneCall] = {}
        self._ready = threading.Event()
        command = [oldest(), "-I", "-S", "-B", GATE, _SCRIPT, str(bundle), url, name]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self._listening = threading.Thread(target=self._listen)
        self._listening.start()
        assert self._ready.wait(PATIENCE)

    def hand_in(self, order: Order) -> PhoneCall:
        call = self._calls[order.id] = PhoneCall(self, order.id)
        self._order("hand_in", order)
        return call

    def repeat(self, order: Order) -> PhoneCall:
        self._order("repeat", order)
        return self._calls[order.id]

    def tell(self, do: str, id: str, **more: Any) -> None:
        """Have the phone do something about a task."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps({"do": do, "id": id, **more}) + "\n")
        self._process.stdin.flush()

    def _order(self, do: str, order: Order) -> None:
        file = self._folder / f"{self._name}-{order.id}"
        file.write_bytes(values.encode([list(order.args), order.kwargs]))
        keep = None if order.keep is None else int(order.keep * 1000)
        task = {"name": order.name, "deadline": order.deadline, "priority": order.priority, "keep": keep}
        self.tell(do, order.id, **task, copies=order.copies, arguments=str(file))

    def _listen(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            said = json.loads(line)
            if "ready" in said:
                self._ready.set()
                continue
            call = self._calls[said.pop("id")]
            if "progress" in said:
                call.fractions.append(said["progress"])
            else:
                call.said = said
                call.done.set()

    def close(self) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        assert self._process.wait(PATIENCE) == 0, "the phone ended in disorder"
        self._listening.join()
        self._process.stdout.close()
