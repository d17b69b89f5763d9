"""Sockets for a board whose MicroPython has none: the other end of the pipes of board.mjs, with real sockets."""

from __future__ import annotations

import json
import os
import select
import socket
import threading
from contextlib import suppress
from pathlib import Path
from typing import Any

KINDS = {"tcp": socket.SOCK_STREAM, "udp": socket.SOCK_DGRAM}


class Modem:
    """It serves one program of a board, in a thread, until that ends. One line of JSON asks for one call."""

    def __init__(self, folder: Path) -> None:
        self._asked, self._answered = folder / "modem.in", folder / "modem.out"
        self._sockets: dict[int, socket.socket] = {}
        for pipe in (self._asked, self._answered):
            pipe.unlink(missing_ok=True)
            os.mkfifo(pipe)
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Wait for the thread; the program has to be over."""
        asked, answered = (os.open(pipe, os.O_RDWR | os.O_NONBLOCK) for pipe in (self._asked, self._answered))
        os.close(asked)  # in case that it never spoke: the thread still waits for its first word
        self._thread.join(10)
        os.close(answered)
        for each in self._sockets.values():
            each.close()

    def _serve(self) -> None:
        # The board may be switched off before it has read its last answer.
        with suppress(BrokenPipeError), self._asked.open() as asked, self._answered.open("w") as answered:
            for line in asked:
                try:
                    answer = {"value": self._call(*json.loads(line))}
                except OSError as error:
                    answer = {"errno": error.errno or -1}
                answered.write(json.dumps(answer) + "\n")
                answered.flush()

    def _call(self, what: str, *arguments: Any) -> Any:
        if what == "open":
            made = socket.socket(socket.AF_INET, KINDS[arguments[0]])
            self._sockets[made.fileno()] = made
            return made.fileno()
        number, *rest = arguments
        its = self._sockets[number]
        match what:
            case "readable":
                return bool(select.select([its], [], [], 0.005)[0])
            case "connect":
                return its.connect(tuple(rest[0]))
            case "send":
                return its.sendall(bytes.fromhex(rest[0]))
            case "recv":
                return its.recv(rest[0]).hex()
            case "timeout":
                return its.settimeout(rest[0])
            case "close":
                return self._sockets.pop(number).close()
        raise ValueError(what)
