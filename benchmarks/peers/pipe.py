"""Floor: one pipe (a socket pair) to one worker process; no broker, no node."""

from __future__ import annotations

import socket
import sys
from functools import partial
from typing import Any

from benchmarks.harness.contender import Contender
from benchmarks.harness.services import Services
from benchmarks.harness.wire import Answer, Caller, answer_all, frame, take_frames
from benchmarks.harness.works import from_bytes, perform, request


class Pipe(Contender):
    """The caller's end."""

    def start(self, services: Services) -> None:
        ours, theirs = socket.socketpair()
        with theirs:
            services.python(__name__, str(theirs.fileno()), keep=(theirs.fileno(),))
        self._caller = Caller(ours, take_frames)

    def submit(self, work: str, argument: Any) -> Answer:
        return self._caller.call(frame(request(work, argument)), partial(from_bytes, work))


def work_on(sock: socket.socket) -> None:
    """A worker's life: do what comes."""
    answer_all(sock, take_frames, lambda body: frame(perform(body)))


if __name__ == "__main__":
    work_on(socket.socket(fileno=int(sys.argv[1])))
