"""What the cores of the guard do for a task, counted in lines."""

from __future__ import annotations

import pytest

from benchmarks.counts.cores import client_lines


def test_a_device_does_no_more_for_a_task_among_a_thousand_nodes_than_among_ten() -> None:
    assert client_lines(1000, 256) == pytest.approx(client_lines(10, 256), rel=0.02)
