"""Gives the orders of ``fog chaos`` to the nodes, each when it is due, and calls everything off at the end."""

from __future__ import annotations

import secrets
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import CancelledError
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from fogsdk.cli.chaos_plan import Step, Victims
from fogsdk.errors import DeadlineExceeded, FogError, TaskRefused
from fogsdk.node.chaos_order import LONGEST_AWAY

if TYPE_CHECKING:
    from fogsdk.device.fog import Fog
    from fogsdk.device.future import FogFuture

CALL = "fog.chaos"
PATIENCE = 3.0
"""Seconds that a node has to answer an order."""
AT_LEAST = 1.0
"""Seconds that count as the time of a disturbance that is over at once."""
LOOK = 0.1


@dataclass
class Done:
    """What became of one step. ``begun`` is when the node said so (on ``time.perf_counter()``), ``problem`` why it did
    not."""

    step: Step
    begun: float | None = None
    problem: str = ""

    @property
    def ends(self) -> float:
        """When it is over."""
        return (self.begun or 0.0) + max(AT_LEAST, self.step.order.seconds)


def ask(fog: Fog, nodes: Iterable[str]) -> tuple[Victims, dict[str, str]]:
    """What of each node can be disturbed; and of those that cannot be, why not."""
    asked = {node: fog.submit(CALL, {"what": "status"}, node=node, deadline=PATIENCE) for node in sorted(nodes)}
    victims, others = {}, {}
    for node, future in asked.items():
        try:
            victims[node] = tuple(future.result()["targets"])
        except TaskRefused:
            others[node] = "does not allow it; it would with: fognode --allow-chaos"
        except FogError as error:
            others[node] = f"did not answer: {error}"
    return victims, others


class Commander(threading.Thread):
    """Gives the orders of a plan. ``tell`` is called, from any thread, when something became of one."""

    def __init__(self, fog: Fog, steps: Sequence[Step], tell: Callable[[Done], None]) -> None:
        super().__init__(name="commander", daemon=True)
        self.done: list[Done] = []
        self._fog = fog
        self._steps = steps
        self._tell = tell
        self._over = threading.Event()
        self._ids = secrets.token_hex(8)

    def run(self) -> None:
        """Give each order when it is due."""
        start = time.perf_counter()
        for number, step in enumerate(self._steps):
            if self._over.wait(max(0.0, start + step.at - time.perf_counter())):
                return
            done = Done(step)
            self.done.append(done)
            order = replace(step.order, id=f"{self._ids}-{number}")
            future = self._fog.submit(CALL, order.write(), node=step.node, deadline=PATIENCE)
            future.add_done_callback(lambda _, done=done, future=future: self._answered(done, future))  # type: ignore[misc]

    def _answered(self, done: Done, future: FogFuture) -> None:
        try:
            future.result()
            done.begun = time.perf_counter()
        except (CancelledError, DeadlineExceeded):
            done.problem = f"{done.step.node} did not answer"
        except FogError as error:
            done.problem = str(error)
        self._tell(done)

    def call_off(self, victims: Iterable[str]) -> list[str]:
        """Give no more orders and undo all that there were; a node that is frozen or dead hears of it when it is back.

        Returns the nodes of which nothing was heard.
        """
        self._over.set()
        self.join()
        left = dict.fromkeys(victims)
        until = time.perf_counter() + PATIENCE + max((done.ends - time.perf_counter() for done in self.done), default=0)
        until = min(until, time.perf_counter() + LONGEST_AWAY) + PATIENCE
        while left and time.perf_counter() < until:
            asked = {node: self._undo(node) for node in left if node in self._fog.nodes()}
            for node, future in asked.items():
                if future.exception() is None:
                    del left[node]
            if left:
                time.sleep(LOOK)
        return list(left)

    def _undo(self, node: str) -> FogFuture:
        return self._fog.submit(CALL, {"what": "undo"}, node=node, deadline=PATIENCE)
