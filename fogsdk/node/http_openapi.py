"""What the node speaks over HTTP, as OpenAPI 3.1 describes it; a test holds the node to it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from fogsdk import __version__
from fogsdk.node.http_answers import OWN, PROBLEM, STATUS
from fogsdk.node.http_requests import CBOR, EVENTS, JSON
from fogsdk.wire import limits

_ID = {"type": "string", "pattern": f"^[a-z0-9-]{{1,{limits.ID_LENGTH}}}$"}
_DURATION = {
    "type": "string",
    "pattern": "^(?!0+([.]0*)?(ms|s|m|h|d)?$)[0-9]{1,6}([.][0-9]{1,3})?(ms|s|m|h|d)?$",
    "examples": ["5s", "500ms", "1.5"],
}
_TEXT = {"type": "string"}
_COUNT = {"type": "integer", "minimum": 0}
_RATIO = {"type": ["number", "null"], "minimum": 0, "maximum": 1}
_MS = {"type": "number", "minimum": 0}


def _record(required: Sequence[str], **properties: Any) -> dict[str, Any]:
    return {"type": "object", "required": list(required), "properties": properties}


def _ref(name: str) -> dict[str, str]:
    return {"$ref": f"#/components/schemas/{name}"}


def _maybe(kind: str) -> dict[str, Any]:
    return {"type": [kind, "null"]}


_SCHEMAS: dict[str, Any] = {
    "Arguments": {
        "type": "object",
        "description": "In CBOR also `body`, a byte string that holds `[args, kwargs]` in CBOR.",
        "properties": {"args": {"type": "array"}, "kwargs": {"type": "object"}},
        "additionalProperties": False,
        "examples": [{"args": [2, 3]}, {"kwargs": {"a": 2, "b": 3}}],
    },
    "Hop": _record(
        ["node", "action"],
        node=_ID,
        action={"enum": ["ran", "sent", "split", "merged", "lost", "hedged"]},
        why=_TEXT,
        part=_COUNT,
        queued=_MS,
        ran=_MS,
        took=_MS,
    ),
    "Result": _record(
        ["id", "value", "trace"], id=_ID, value=True, trace={"type": "array", "items": _ref("Hop")}, tag=_TEXT
    ),
    "Waiting": _record(["id"], id=_ID, node=_ID, wait=_COUNT, progress={"type": "number", "minimum": 0, "maximum": 1}),
    "Problem": {
        **_record(
            ["title", "status", "detail", "reason"],
            title=_TEXT,
            status={"type": "integer"},
            detail=_TEXT,
            reason=_TEXT,
            id=_ID,
            node=_ID,
            retry_after={"type": "integer", "minimum": 0, "description": "milliseconds"},
            instead={**_ID, "description": "the node to ask instead"},
            error={"type": "string", "description": "the type of the exception"},
            message={"type": "string", "description": "its text"},
            traceback=_TEXT,
            trace={"type": "array", "items": _ref("Hop")},
        ),
        "description": "Problem details (RFC 9457); `reason` is for programs.",
    },
    "Task": _record(
        ["name", "version", "weight", "split", "signature", "summary", "nodes"],
        name=_TEXT,
        version=_TEXT,
        weight={"enum": ["light", "middle", "heavy", "auto"]},
        timeout=_COUNT,
        memory=_COUNT,
        split={"type": "boolean"},
        fallback={"const": "fog"},
        signature=_TEXT,
        summary=_TEXT,
        nodes={"type": "array", "items": _ID},
    ),
    "Tasks": _record(["site", "tasks"], site=_ID, tasks={"type": "array", "items": _ref("Task")}),
    "Node": _record(
        ["node", "role", "state", "workers", "tasks", "reliability"],
        node=_ID,
        role=_ID,
        state={"enum": ["there", "draining", "silent", "lost", "gone"]},
        workers=_COUNT,
        cpu=_RATIO,
        memory=_RATIO,
        running=_maybe("integer"),
        queued=_maybe("integer"),
        wait_ms=_maybe("integer"),
        uplink=_maybe("boolean"),
        quarantined={"type": "array", "items": _TEXT},
        reliability={"type": "number", "minimum": 0, "maximum": 1},
        round_trip_ms=_maybe("number"),
        p95_ms=_maybe("number"),
        tasks={"type": "array", "items": _TEXT},
        addresses={"type": "array", "items": _TEXT},
        keeps={"type": "boolean"},
        incarnation=_COUNT,
    ),
    "Nodes": _record(["site", "node", "nodes"], site=_ID, node=_ID, nodes={"type": "array", "items": _ref("Node")}),
    "Invitation": _record(
        ["url", "site", "urls", "text", "qr"],
        url=_TEXT,
        site=_ID,
        urls={"type": "array", "items": _TEXT, "description": "for fogsdk.connect"},
        text={"type": "string", "description": "what the QR code says"},
        qr={"type": "string", "description": "the code, as SVG"},
    ),
    "Phone": _record(
        ["url", "sha256", "size"], url=_TEXT, sha256={"type": "string", "pattern": "^[0-9a-f]{64}$"}, size=_COUNT
    ),
}


def _content(name: str, *more: str) -> dict[str, Any]:
    content: dict[str, Any] = {JSON: {"schema": _ref(name)}, CBOR: {}}
    return {**content, **{kind: {} for kind in more}}


def _answer(description: str, name: str, *more: str, **headers: str) -> dict[str, Any]:
    answer = {"description": description, "content": _content(name, *more)}
    if headers:
        answer["headers"] = {
            each.replace("_", "-"): {"description": said, "schema": _TEXT} for each, said in headers.items()
        }
    return answer


def _problems(*statuses: int) -> dict[str, Any]:
    """The responses that say what is wrong, with the reasons that each has."""
    found = {}
    for status in sorted({400, 401, 403, 503, *statuses}):
        reasons = [reason for reason, each in {**STATUS, **OWN}.items() if each == status]
        schema = {"allOf": [_ref("Problem"), _record([], reason={"enum": reasons}, status={"const": status})]}
        found[str(status)] = {"description": ", ".join(reasons), "content": {PROBLEM: {"schema": schema}, CBOR: {}}}
    return found


def _parameter(name: str, schema: dict[str, Any], description: str, where: str = "query") -> dict[str, Any]:
    return {
        "name": name,
        "in": where,
        "required": where == "path",
        "description": description,
        "schema": schema,
    }


_OPTIONS = [
    _parameter("id", _ID, "the client's name for the task; the same sender and id never run twice"),
    _parameter("deadline", _DURATION, "the outcome is wanted within this time"),
    _parameter("priority", {"type": "integer", "minimum": -100, "maximum": 100}, "the higher, the sooner"),
    _parameter("weight", {"enum": ["light", "middle", "heavy", "auto"]}, "how much work it is"),
    _parameter("keep", _DURATION, "post it: answer with a receipt, and keep the outcome for this time"),
    _parameter("copies", {"type": "integer", "minimum": 1, "maximum": 2}, "on how many nodes a posted task is kept"),
    _parameter("session", {"type": "string", "minLength": 1, "maxLength": 128}, "it is a step of this session"),
    _parameter("step", {"type": "integer", "minimum": 1, "maximum": 2**53}, "which step"),
    _parameter("after", {"type": "string", "maxLength": 64}, "the tag of the state that the step goes on from"),
]
_SENDER = _parameter("sender", _ID, "as whom, where no token says so; also in the header Fog-Sender")
_WAIT = _parameter("wait", _DURATION, "how long to wait for the outcome; 300 s at the most")
_PREFER = _parameter(
    "Prefer", {"type": "string", "examples": ["respond-async"]}, "respond-async, wait=<seconds> (RFC 7240)", "header"
)
_NAME = _parameter(
    "name", {"type": "string", "minLength": 1, "maxLength": limits.NAME_LENGTH}, "the task's name", "path"
)
_TASK_ID = _parameter("id", _ID, "the task's id", "path")
_LINKS = {
    id: {
        "operationId": id,
        "parameters": {
            "name": "$request.path.name",
            "id": "$response.body#/id",
        },
    }
    for id in ("look", "cancel")
}
_OUTCOMES = (404, 409, 413, 421, 500, 504)


def _run(names: Sequence[str]) -> dict[str, Any]:
    name = {**_NAME, "examples": {each: {"value": each} for each in names}} if names else _NAME
    return {
        "operationId": "run",
        "summary": "Run a task",
        "parameters": [name, *_OPTIONS, _SENDER, _PREFER],
        "requestBody": {"required": False, "content": _content("Arguments")},
        "responses": {
            "200": {**_answer("its result, or its events", "Result", EVENTS), "links": _LINKS},
            "202": {
                **_answer("it goes on; ask for it at Location", "Waiting", Location="where to ask for it"),
                "links": _LINKS,
            },
            **_problems(408, 415, *_OUTCOMES),
        },
    }


_LOOK = {
    "operationId": "look",
    "summary": "What became of a task",
    "parameters": [_NAME, _TASK_ID, _WAIT, _SENDER],
    "responses": {
        "200": _answer("its result, or its events from here on", "Result", EVENTS),
        "202": _answer("it has no outcome yet", "Waiting"),
        "204": {"description": "the events of this task are over, as Last-Event-ID says"},
        **_problems(*_OUTCOMES),
    },
}
_CANCEL = {
    "operationId": "cancel",
    "summary": "Stop a task",
    "parameters": [_NAME, _TASK_ID, _SENDER],
    "responses": {
        "200": _answer("its result, which came first", "Result"),
        "202": _answer("its outcome is about to come", "Waiting"),
        "204": {"description": "it is stopped, or is not there"},
        **_problems(*_OUTCOMES),
    },
}


def _get(id: str, summary: str, name: str, *more: str, problems: Sequence[int] = ()) -> dict[str, Any]:
    responses = {"200": _answer(summary, name, *more), **_problems(*problems)}
    return {"get": {"operationId": id, "summary": summary, "responses": responses}}


def describe(names: Sequence[str], *, tokens: bool) -> dict[str, Any]:
    """The document; ``names`` are tasks that can be run, ``tokens`` says whether a token is needed."""
    document: dict[str, Any] = {
        "openapi": "3.1.0",
        "info": {"title": "A fog node", "version": __version__, "summary": "Hand tasks to the computers around you"},
        "paths": {
            "/fog/v1/tasks": _get("tasks", "the tasks of the site", "Tasks"),
            "/fog/v1/tasks/{name}": {"post": _run(names)},
            "/fog/v1/tasks/{name}/{id}": {"get": _LOOK, "delete": _CANCEL},
            "/fog/v1/nodes": _get("nodes", "the nodes of the site; as events, once a second", "Nodes", EVENTS),
            "/fog/v1/invite": _get("invite", "what a device needs to come here too", "Invitation"),
            "/fog/v1/phone": _get("phone", "the SDK for phones, and its hash", "Phone", problems=(404,)),
        },
        "components": {"schemas": _SCHEMAS},
    }
    if tokens:
        document["components"] = {
            "schemas": _SCHEMAS,
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
        }
        document["security"] = [{"token": []}]
    return document
