"""Hand tasks to a fog: what is the same over MQTT and CoAP. MicroPython 1.20 or newer; also runs on CPython.

site = fog.connect("mqtt://fog.local/home", "porch")
site.run("forecast", [20.5, 21.0, 21.5])
"""

import os
import time
from binascii import hexlify

FIRST_CHECK, LAST_CHECK, WAIT_AGAIN = 300, 5000, 500  # milliseconds, as in docs/protocol.md
OUTCOMES = ("result", "failed", "refused", "deadline-exceeded", "cancelled")
LATER = ("overloaded", "leaving", "behind")  # refusals that pass


class FogError(Exception):
    """Something about a task. Its first argument is what, for programs; the second says more, for people."""


class TaskFailed(FogError):
    """The task ran and raised: (type of the exception, its text)."""


class TaskRefused(FogError):
    """No node will run it: (reason, why)."""


class DeadlineExceeded(FogError):
    """There was no outcome in time: (the task's id, where it was). Asked for again with that id, it runs only once."""


def connect(urls, name, password=None, ssl=None):
    """A fog at a URL, or at the first that answers of several: mqtt[s]://host[:port][/site], or coap://host[:port].

    ``name`` is this device's id and its login, 1 to 64 of a-z, 0-9 and -. ``ssl`` is an ssl.SSLContext, for mqtts.
    """
    urls = [urls] if isinstance(urls, str) else urls
    if urls[0].startswith("coap://"):
        from fogcoap import Link

        return Fog(Link(urls, name))
    from fogmqtt import Link

    return Fog(Link(urls, name, password, ssl))


def new_id():
    """An id for a task, that nobody can guess."""
    return hexlify(os.urandom(8)).decode()


class Fog:
    """The fog behind a link. All times are in seconds."""

    def __init__(self, link):
        self.link = link

    def run(self, task, *args, deadline=30, id=None, **kwargs):
        """Have a task run, and return its result. The same ``id`` again is the same task, and runs only once."""
        return self._call({"type": "task", "name": task, "args": args, "kwargs": kwargs}, id, deadline, True)

    def post(self, task, *args, keep=3600, deadline=30, id=None, **kwargs):
        """Leave a task with the fog and return its receipt, as soon as nodes have it on disk.

        Its outcome is kept for ``keep`` seconds; who has the receipt may fetch it, after a deep sleep too.
        """
        message = {"type": "task", "name": task, "args": args, "kwargs": kwargs, "keep": int(keep * 1000)}
        return self._call(message, id, deadline, False)["receipt"]

    def fetch(self, receipt, deadline=30):
        """The result of a posted task. DeadlineExceeded if it is not there in time; it can be fetched again."""
        return self.run("fog.fetch", receipt, deadline=deadline)

    def forget(self, receipt, deadline=30):
        """Let the fog forget a posted task whose result is not needed any more. Returns whether it was there."""
        return self.run("fog.forget", receipt, deadline=deadline)

    def idle(self, ms):
        """Wait so many milliseconds, and keep the connection meanwhile."""
        try:
            self.link.receive(ms)  # what comes now is late
        except OSError:
            time.sleep_ms(WAIT_AGAIN)

    def close(self):
        """Leave."""
        self.link.close()

    def _call(self, message, id, deadline, hurry):
        """Send the task, with the same id, until its outcome is here. ``hurry``: the node has the deadline too."""
        message["id"] = id or new_id()
        end = time.ticks_add(time.ticks_ms(), int(deadline * 1000))
        node, where, pause = "", "no answer", FIRST_CHECK
        while True:
            left = time.ticks_diff(end, time.ticks_ms())
            if left <= 0:
                raise DeadlineExceeded(message["id"], where)
            if hurry:
                message["deadline"] = left
            try:
                self.link.send(message, node)
                reply = self._outcome(message["id"], min(pause, left), end)
            except OSError as error:
                where = f"no connection: {error}"
                time.sleep_ms(min(WAIT_AGAIN, left))
                continue
            pause = min(pause * 2, LAST_CHECK)
            if reply is None:
                node = ""
            elif reply["type"] == "refused":
                node, wait = _again(reply)
                where = "{}: {}".format(reply.get("reason"), reply.get("message", ""))
                time.sleep_ms(min(wait, left))
            elif reply["type"] != "cancelled":
                return _value(reply)

    def _outcome(self, id, pause, end):
        """The next reply that is more than a word in between; None after a pause without any."""
        until = time.ticks_add(time.ticks_ms(), pause)
        while True:
            reply = self.link.receive(max(0, time.ticks_diff(until, time.ticks_ms())))
            if reply is None:
                return None
            if reply.get("id") == id and reply.get("type") in OUTCOMES:
                return reply
            if reply.get("id") == id and reply.get("type") in ("accepted", "progress"):
                now = time.ticks_ms()
                until = time.ticks_add(now, max(0, min(LAST_CHECK, time.ticks_diff(end, now))))


def _again(refused):
    """The node to ask next ("" for any) and the milliseconds until then. Raises TaskRefused where that is no use."""
    reason = refused.get("reason")
    if reason == "elsewhere":
        return refused.get("instead", ""), 0
    if reason in LATER:
        return "", min(refused.get("retry_after", WAIT_AGAIN), LAST_CHECK)
    raise TaskRefused(reason, refused.get("message", ""))


def _value(reply):
    from fogcbor import loads

    if reply["type"] == "result":
        try:
            return loads(reply["body"]) if "body" in reply else reply.get("value")
        except (TypeError, ValueError) as error:
            raise TaskFailed("WireError", f"its result cannot be read here: {error}") from error
    if reply["type"] == "failed":
        raise TaskFailed(reply.get("error"), reply.get("message", ""))
    raise DeadlineExceeded(reply["id"], reply.get("message", ""))
