"""What a CoAP request asks for: the formats of its body and of its answer, and the options in its query."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import aiocoap
from aiocoap.numbers.optionnumbers import OptionNumber as Option

from fogsdk.errors import WireError
from fogsdk.node.coap_answers import CBOR, JSON, Problem
from fogsdk.node.door_requests import milliseconds
from fogsdk.wire import codec

WAIT = 2.0
"""Seconds that an answer is waited for where the request does not say how long: then it is to be fetched."""
LONGEST_WAIT = 60.0

_CRITICAL = (
    Option.URI_HOST, Option.URI_PORT, Option.URI_PATH, Option.URI_QUERY, Option.ACCEPT, Option.BLOCK1, Option.BLOCK2,
)  # fmt: skip


def check_options(request: Any) -> None:
    """Refuse a request with options that must be understood, and are not (RFC 7252, section 5.4.1)."""
    for option in request.opt.option_list():
        if option.number in (Option.PROXY_URI, Option.PROXY_SCHEME):
            raise Problem(aiocoap.PROXYING_NOT_SUPPORTED, "a node is no proxy")
        if option.number.is_critical() and option.number not in _CRITICAL:
            raise Problem(aiocoap.BAD_OPTION, f"option {int(option.number)} is not understood here")


def answer_form(request: Any, body: bytes = b"") -> int:
    """The Content-Format to answer in: what Accept says, else that of the body, else JSON."""
    wanted = request.opt.accept
    if wanted is None:
        return body_form(request, body)
    if wanted not in (JSON, CBOR):
        raise Problem(aiocoap.NOT_ACCEPTABLE, f"answers are JSON ({JSON}) or CBOR ({CBOR})")
    return int(wanted)


def body_form(request: Any, body: bytes) -> int:
    """The Content-Format of a body. Where it is not said, or what tools say that know nothing of it, it can be seen."""
    form = request.opt.content_format
    if form in (JSON, CBOR):
        return int(form)
    if form not in (None, 0, 42):
        raise Problem(aiocoap.UNSUPPORTED_CONTENT_FORMAT, f"send JSON ({JSON}) or CBOR ({CBOR})")
    return JSON if not body or codec.is_json(body) else CBOR


def options(query: Sequence[str], known: Sequence[str]) -> dict[str, str]:
    """The options in a query. Raises WireError for one that is not known, or is there twice."""
    said: dict[str, str] = {}
    for each in query:
        name, _, value = each.partition("=")
        if name not in known:
            raise WireError(f"there is no option {name[:80]!r}; there are {', '.join(known)}", "query")
        if name in said:
            raise WireError("is there more than once", name)
        said[name] = value
    return said


def wait(said: dict[str, str]) -> float:
    """Seconds to wait for an outcome. Raises WireError."""
    text = said.get("wait")
    if text is None or text == "0":
        return WAIT if text is None else 0.0
    return min(LONGEST_WAIT, milliseconds(text, "wait") / 1000)
