"""MQTT topics: where each message goes, and who a message came from.

The sender is a level of the topic, never a field of the payload, so that a broker's ACL can tie it to a login.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache

from fogsdk.errors import WireError
from fogsdk.wire.limits import ID_LENGTH

is_id = re.compile(rf"[a-z0-9-]{{1,{ID_LENGTH}}}").fullmatch
_ROOT = ("fog", "v1")


@dataclass(frozen=True, slots=True)
class Topic:
    """A parsed topic: ``kind`` is birth, beat, task, any-task, replica or reply; absent levels are ``""``."""

    kind: str
    site: str
    node: str = ""
    sender: str = ""


def check_id(value: object, field: str) -> str:
    """Return ``value`` if it is an id (``[a-z0-9-]{1,64}``), else raise WireError naming ``field``."""
    if isinstance(value, str) and is_id(value):
        return value
    got = repr(value[:80]) if isinstance(value, str) else f"a {type(value).__name__}"
    raise WireError(f"must be 1 to {ID_LENGTH} of a-z, 0-9 and '-', not {got}", field)


def birth(site: str, node: str = "+") -> str:
    """Where a node says that it is there; its will says on the same topic that it is gone."""
    return f"fog/v1/{site}/node/{node}/birth"


def beat(site: str, node: str) -> str:
    """Where a node's heartbeat goes."""
    return f"fog/v1/{site}/node/{node}/beat"


def task(site: str, node: str, sender: str = "+") -> str:
    """Where ``sender`` puts tasks for ``node``."""
    return f"fog/v1/{site}/node/{node}/task/{sender}"


def any_task(site: str, sender: str = "+") -> str:
    """Where ``sender`` puts tasks for whichever node is first to take them."""
    return f"fog/v1/{site}/task/{sender}"


def replica(site: str, node: str, sender: str = "+") -> str:
    """Where the node ``sender`` puts records for ``node`` to keep, and questions about them."""
    return f"fog/v1/{site}/node/{node}/replica/{sender}"


def reply(site: str, sender: str) -> str:
    """Where a sender hears what became of its tasks."""
    return f"fog/v1/{site}/reply/{sender}"


@lru_cache(4096)  # there are not many on a site, and one is at most 300 characters long
def parse(topic: str) -> Topic:
    """Tell what a topic says; raises WireError for a topic that is not of this protocol."""
    match topic.split("/"):
        case [fog, version, site, "node", node, ("birth" | "beat") as kind] if (fog, version) == _ROOT:
            return Topic(kind, check_id(site, "site"), check_id(node, "node"))
        case [fog, version, site, "node", node, ("task" | "replica") as kind, sender] if (fog, version) == _ROOT:
            return Topic(kind, check_id(site, "site"), check_id(node, "node"), check_id(sender, "sender"))
        case [fog, version, site, "task", sender] if (fog, version) == _ROOT:
            return Topic("any-task", check_id(site, "site"), sender=check_id(sender, "sender"))
        case [fog, version, site, "reply", sender] if (fog, version) == _ROOT:
            return Topic("reply", check_id(site, "site"), sender=check_id(sender, "sender"))
    raise WireError(f"not a topic of fog/v1: {topic[:120]!r}", "topic")
