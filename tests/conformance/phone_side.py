"""What runs on the phone: the SDK of the bundle, doing what it is told line by line, and telling what comes of it.

    python -I -S gate.py phone_side.py BUNDLE URL NAME

A line in is one JSON object: hand_in, repeat or cancel; the arguments are in a file. A line out is about one task.
"""

import base64
import json
import sys
import threading
from pathlib import Path

sys.path.insert(0, sys.argv[1])

import fogsdk
from fogsdk.core.events import Submit
from fogsdk.device.calls import build_task
from fogsdk.wire import values
from fogsdk.wire.messages import Task

_lock = threading.Lock()
_futures = {}


def say(**said):
    with _lock:
        print(json.dumps(said), flush=True)


def settled(id, future):
    if future.cancelled():
        say(id=id, kind="cancelled")
        return
    error = future.exception()
    if isinstance(error, fogsdk.TaskFailed):
        say(id=id, kind="failed", error=error.type, message=error.message, traceback=error.traceback)
    elif isinstance(error, fogsdk.TaskRefused):
        say(id=id, kind="refused", reason=error.reason, message=error.message, retry_after=error.retry_after)
    elif isinstance(error, fogsdk.DeadlineExceeded):
        say(id=id, kind="deadline-exceeded", message=str(error))
    elif error is not None:
        say(id=id, kind="failed", error=type(error).__name__, message=str(error))
    else:
        value = base64.b64encode(values.encode(future.result())).decode()
        say(id=id, kind="result", value=value, ran=future.trace.nodes)


def task_of(order):
    args, kwargs = values.decode(Path(order["arguments"]).read_bytes())
    made = build_task(order["id"], order["name"], args, kwargs, order["deadline"], order["priority"])
    return Task(made.id, made.name, made.body, made.deadline, made.priority, keep=order["keep"], copies=order["copies"])


def obey(fog, order):
    id = order["id"]
    if order["do"] == "cancel":
        _futures[id].cancel()
        return
    try:
        task = task_of(order)
    except fogsdk.TaskRefused as error:
        say(id=id, kind="refused", reason=error.reason, message=error.message)
        return
    if order["do"] == "repeat":
        fog._driver.tell(Submit(task))
        return
    future = _futures[id] = fog.hand_in(task)
    future.on_progress(lambda fraction: say(id=id, progress=fraction))
    future.add_done_callback(lambda future: settled(id, future))


with fogsdk.connect(sys.argv[2], name=sys.argv[3]) as fog:
    say(ready=True)
    for line in sys.stdin:
        obey(fog, json.loads(line))
