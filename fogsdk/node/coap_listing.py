"""A node's resources in the CoRE Link Format (RFC 6690)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any
from urllib.parse import quote

_FORMS = "50 60"


def links(tasks: Iterable[dict[str, Any]], query: Sequence[str]) -> str:
    """The links of ``/.well-known/core``, of those that fit a query (RFC 6690, section 4.1)."""
    found: list[tuple[str, dict[str, str]]] = [
        ("/fog/v1/tasks", {"rt": "fog.tasks", "ct": _FORMS}),
        ("/fog/v1/nodes", {"rt": "fog.nodes", "ct": _FORMS}),
    ]
    for task in tasks:
        title = task["name"] + task["signature"] + (f": {task['summary']}" if task["summary"] else "")
        target = f"/fog/v1/tasks/{quote(task['name'], safe='')}"
        found.append((target, {"rt": "fog.task", "if": "fog.task", "ct": _FORMS, "title": title}))
    for each in query:
        name, _, wanted = each.partition("=")
        found = [(target, said) for target, said in found if _fits({"href": target, **said}.get(name), wanted)]
    return ",".join(f"<{target}>" + "".join(f";{k}={_quoted(v)}" for k, v in said.items()) for target, said in found)


def _fits(said: str | None, wanted: str) -> bool:
    """Relation types and content formats are lists of words, of which one is to fit."""
    if said is None:
        return False
    values = [said, *said.split(" ")]
    return any(each.startswith(wanted[:-1]) if wanted.endswith("*") else each == wanted for each in values)


def _quoted(text: str) -> str:
    plain = " ".join(text.split())  # there is no line end in a quoted string
    return '"' + plain.replace("\\", "\\\\").replace('"', '\\"') + '"'
