"""From a reply of the protocol, as a map of its fields, to an outcome."""

from __future__ import annotations

from typing import Any

from fogsdk.wire import values
from tests.conformance.link import Outcome


def outcome_of(reply: dict[str, Any]) -> Outcome:
    """The outcome that a reply holds, in JSON or CBOR."""
    retry = reply.get("retry_after")
    ran = tuple(dict.fromkeys(hop["node"] for hop in reply.get("hops", ()) if hop["action"] == "ran"))
    value = values.decode(reply["body"]) if "body" in reply else reply.get("value")
    return Outcome(
        reply["type"],
        value,
        reply.get("error", ""),
        reply.get("message", ""),
        reply.get("traceback", ""),
        reply.get("reason", ""),
        None if retry is None else retry / 1000,
        ran,
    )
