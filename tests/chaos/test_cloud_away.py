"""With every fog node gone, the bridge takes light tasks to the cloud; with the cloud away too, it gives them back."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

import fogsdk
from tests.chaos.estate import BRIDGE, NODES, Estate
from tests.support.waiting import eventually


@pytest.fixture
def estate(tmp_path: Path) -> Iterator[Estate]:
    estate = Estate(tmp_path, engine="pool")
    try:
        estate.start()
        yield estate
    finally:
        estate.close()


def test_light_tasks_do_not_wait_for_the_cloud_when_a_fog_node_is_back(estate: Estate) -> None:
    with fogsdk.connect(estate.urls) as fog:
        for node in NODES:
            estate.daemons[node].kill()
        eventually(lambda: fog.nodes().keys() == {BRIDGE}, what="the bridge alone")
        future = fog.submit("square", 3)
        assert future.result(10) == 9
        assert future.trace is not None
        assert future.trace.nodes == ["core"]
        estate.brokers["core-broker"].kill()
        waiting = fog.submit("square", 4, 0.1)
        estate.launch(NODES[0])
        assert waiting.result(15) == 16
        assert waiting.trace is not None
        assert waiting.trace.nodes == [NODES[0]]
