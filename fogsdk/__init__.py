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

if TYPE_CHECKING:
    from fogsdk.device.fog import Fog, connect
    from fogsdk.device.future import FogFuture, Trace
    from fogsdk.device.posted import Receipt
    from fogsdk.device.session import Session
    from fogsdk.tasks import progress, task

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
    "progress": "fogsdk.tasks",
    "task": "fogsdk.tasks",
}


def __getattr__(name: str) -> Any:
    """Everything is imported when it is first used: a worker process never needs the device side, nor a device that
    of nodes, and a script that may need the fog is not slowed down by it."""
    if name not in _LAZY:
        raise AttributeError(f"module 'fogsdk' has no attribute {name!r}")
    from importlib import import_module

    found = globals()[name] = getattr(import_module(_LAZY[name]), name)
    return found
