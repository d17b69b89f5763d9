"""Addresses of Dask clusters that are none, before anything runs."""

from __future__ import annotations

import pytest

from fogsdk.cloud.dask_engine import DaskEngine
from fogsdk.errors import ConfigError
from tests.node.executor_contract import TASKS

MODULES = [TASKS]


@pytest.mark.parametrize("address", ["", "dask", "dask://", "tcp://127.0.0.1:8786", "dask://host:port", "dask://a/b"])
def test_an_address_that_is_none_is_refused(address: str) -> None:
    with pytest.raises(ConfigError, match='the engine is "dask-local" or "dask://host:port", not'):
        DaskEngine(address, MODULES, 1)


def test_an_engine_without_workers_is_refused() -> None:
    with pytest.raises(ConfigError, match="at least 1 worker, not 0"):
        DaskEngine(None, MODULES, 0)
