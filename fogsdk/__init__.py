"""fogsdk: an embedded edge SDK and lightweight node runtime for fog computing.

On a device: ``connect()`` and ``run``, ``submit``, ``map``, ``post``, ``session``. On a node: ``@task`` and the
``fognode`` command.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fogsdk.errors import (
    ConfigError,
    ConnectionFailed,
    DeadlineExceeded,
    FogError,
    SessionConflict,
    TaskDefinitionError,
    TaskFailed,
    TaskRefused,
    TooLarge,
    WireError,
)
from fogsdk.tasks import progress, task

if TYPE_CHECKING:
    from fogsdk.device.fog import Fog, connect
    from fogsdk.device.future import FogFuture, Trace
    from fogsdk.device.posted import Receipt
    from fogsdk.device.session import Session

__version__ = "0.1.0"

__all__ = [
    "ConfigError",
    "ConnectionFailed",
    "DeadlineExceeded",
    "Fog",
    "FogError",
    "FogFuture",
    "Receipt",
    "Session",
    "SessionConflict",
    "TaskDefinitionError",
    "TaskFailed",
    "TaskRefused",
    "TooLarge",
    "Trace",
    "WireError",
    "connect",
    "progress",
    "task",
]

_LAZY = {
    "Fog": "fogsdk.device.fog",
    "connect": "fogsdk.device.fog",
    "FogFuture": "fogsdk.device.future",
    "Trace": "fogsdk.device.future",
    "Receipt": "fogsdk.device.posted",
    "Session": "fogsdk.device.session",
}


def __getattr__(name: str) -> Any:
    """The device side is imported when it is first used: a worker process never needs it."""
    if name not in _LAZY:
        raise AttributeError(f"module 'fogsdk' has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(_LAZY[name]), name)
