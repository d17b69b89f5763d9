"""What a node is: its name, its site, and what it offers."""

from __future__ import annotations

from dataclasses import dataclass, field

from fogsdk.wire.messages import TaskInfo


@dataclass(frozen=True)
class Identity:
    """What a node is: set at its start. ``tasks`` are what it offers, by name; a bridge's follow its core site's.

    ``task_timeout`` (milliseconds) bounds tasks that declare no timeout; ``queue_limit`` is how many tasks it holds;
    ``express`` workers, beside the others, run quick tasks alone. One that ``keeps`` has a journal on disk; one with
    ``chaos`` lets itself be disturbed on purpose.
    """

    node: str
    site: str
    role: str = "fog"
    incarnation: int = 1
    workers: int = 1
    express: int = 0
    tasks: dict[str, TaskInfo] = field(default_factory=dict)
    addresses: tuple[str, ...] = ()
    queue_limit: int = 1000
    task_timeout: int | None = None
    policy: str = "predictive"
    keeps: bool = False
    chaos: bool = False
