"""Large bodies on their way to Dask and back: to copy all of one keeps the daemon from its heartbeats."""

from __future__ import annotations

import pickle

from fogsdk.cloud.dask_engine import DaskEngine
from fogsdk.cloud.dask_worker import Order
from fogsdk.core.events import JobDone
from fogsdk.wire import values
from tests.node.executor_contract import TASKS, at_bench, on_a_loop

BODY = bytes(range(256)) * 4096 * 3


def test_bodies_are_sent_from_where_they_lie() -> None:
    view = memoryview(BODY)
    order = Order("key", "topic", (), "run", "give_back", (b"small", view), (), None)
    beside: list[pickle.PickleBuffer] = []
    head = pickle.dumps(order, protocol=5, buffer_callback=beside.append)
    assert len(head) < 1000
    assert beside[1].raw().obj is view
    assert pickle.loads(head, buffers=[each.raw() for each in beside]) == order  # noqa: S301  our own


@on_a_loop
async def test_they_come_to_dask_and_back_as_they_were_and_uncopied() -> None:
    async with at_bench(DaskEngine("dask-local", [TASKS], 1)) as bench:
        done = await bench.run("give_back", BODY)
    assert isinstance(done, JobDone)
    assert isinstance(done.value, memoryview)
    assert values.decode(done.value) == BODY
