"""The exception tree: everything that fogsdk raises on purpose.

    FogError
    |-- ConfigError             the configuration is wrong; says which key and what it may be
    |-- ConnectionFailed        no broker or node could be reached
    |-- WireError               bytes or a value that cannot be a message; names the field
    |   `-- TooLarge            ... because it is over a limit of the protocol
    |-- TaskDefinitionError     @task was used wrongly
    |-- TaskFailed              the task ran and raised: remote type, message, traceback
    |-- TaskRefused             the task was not run: reason, message, retry_after
    |   `-- SessionConflict     ... because another caller took this step of the session
    `-- DeadlineExceeded        no result within the deadline (also a TimeoutError)

A cancelled task raises concurrent.futures.CancelledError, as every cancelled Future does.
"""

from __future__ import annotations


class FogError(Exception):
    """Base of all errors of fogsdk."""


class ConfigError(FogError):
    """The configuration is wrong."""


def not_installed(what: str, extra: str, error: ImportError) -> ConfigError:
    """The error for ``what`` where ``error`` was raised since the ``extra`` that it needs is not installed."""
    return ConfigError(f'{what} needs more than is installed ({error}): pip install "fogsdk[{extra}]"')


class ConnectionFailed(FogError):
    """No broker or node could be reached."""


class WireError(FogError):
    """Bytes or a value that cannot be a message.

    ``field`` is the path of the offending field, ``""`` for the message as a whole.
    """

    def __init__(self, message: str, field: str = "") -> None:
        super().__init__(f"{field}: {message}" if field else message)
        self.field = field


class TooLarge(WireError):
    """Bytes or a value over a limit of the protocol."""


class TaskDefinitionError(FogError):
    """The ``@task`` decorator was used wrongly."""


class TaskFailed(FogError):
    """The task ran and raised.

    ``type`` is the remote exception's class name, ``message`` its text, ``traceback`` the remote traceback as text.
    """

    def __init__(self, type: str, message: str, traceback: str = "") -> None:
        super().__init__(f"{type}: {message}")
        self.type = type
        self.message = message
        self.traceback = traceback

    def __str__(self) -> str:
        text = f"{self.type}: {self.message}"
        return f"{text}\n\nOn the node:\n{self.traceback.rstrip()}" if self.traceback else text


class TaskRefused(FogError):
    """The task was not run.

    ``reason`` is one of overloaded, leaving, unknown-task, unknown-id, bad-arguments, malformed, too-large, no-room,
    no-cloud, quarantined, no-journal, too-few-nodes, unknown-receipt, elsewhere, behind, apart, conflict;
    ``retry_after`` is in seconds, or None where trying again would not help.
    """

    def __init__(self, reason: str, message: str, retry_after: float | None = None) -> None:
        super().__init__(f"{reason}: {message}")
        self.reason = reason
        self.message = message
        self.retry_after = retry_after


class SessionConflict(TaskRefused):
    """Another caller took this step of the session: its state is no longer the one that this caller knows."""


class DeadlineExceeded(FogError, TimeoutError):
    """No result came within the task's deadline."""
