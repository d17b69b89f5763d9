"""What a node is: its name, its site, and what it offers."""

from __future__ import annotations

from dataclasses import dataclass, field

from fogsdk.wire.limits import INLINE_SIZE
from fogsdk.wire.messages import TaskInfo


@dataclass(frozen=True)
class Identity:
    """What a node is: set at its start. ``tasks`` are what it offers, by name; a bridge's follow its core site's.

    ``task_timeout`` (milliseconds) bounds tasks that declare no timeout; ``queue_limit`` is how many tasks it holds,
    and ``room`` how many bytes of arguments, with those on their way here; ``inline`` is how many go in one message;
    ``express`` workers, beside the others, run quick tasks alone. Of the shortest each worker is given some ahead:
    ``ahead`` milliseconds of run time at the most. One that ``keeps`` has a journal on disk; one with
    ``chaos`` lets itself be disturbed on purpose.
    """

    node: str
    site: str
    role: str = "fog"
    incarnation: int = 1
    workers: int = 1
    express: int = 0
    ahead: float = 0.0
    tasks: dict[str, TaskInfo] = field(default_factory=dict)
    addresses: tuple[str, ...] = ()
    queue_limit: int = 1000
    room: int = 512 * 1024 * 1024
    inline: int = INLINE_SIZE
    task_timeout: int | None = None
    policy: str = "predictive"
    keeps: bool = False
    chaos: bool = False
