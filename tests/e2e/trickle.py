"""A slow link: a port that passes on what it is sent at a given rate, to a port of this computer."""

from __future__ import annotations

import contextlib
import socket
import threading
import time

_CHUNK = 4096


class Trickle:
    """Takes connections for ``port``. What goes up is slowed to ``rate`` bytes a second, what comes back is not;
    ``passed`` are the bytes that went up."""

    def __init__(self, port: int, rate: int) -> None:
        self.connections = 0
        self.passed = 0
        self._port = port
        self._rate = rate
        self._server = socket.create_server(("127.0.0.1", 0))
        self._server.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _CHUNK)  # else it would swallow what is slow
        self._sockets = [self._server]
        self._threads = [threading.Thread(target=self._accept)]

    @property
    def url(self) -> str:
        """Its address, as devices are given it."""
        return f"mqtt://127.0.0.1:{self._server.getsockname()[1]}"

    def __enter__(self) -> Trickle:
        self._threads[0].start()
        return self

    def __exit__(self, *_: object) -> None:
        for each in self._sockets:
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join()
        for each in self._sockets:
            each.close()

    def _accept(self) -> None:
        while True:
            try:
                near, _ = self._server.accept()
            except OSError:
                return
            far = socket.create_connection(("127.0.0.1", self._port))
            self.connections += 1
            self._sockets += [near, far]
            for ends in ((near, far, self._rate), (far, near, None)):
                self._threads.append(threading.Thread(target=self._pass_on, args=ends))
                self._threads[-1].start()

    def cut(self) -> None:
        """Break every connection; new ones are taken."""
        for each in self._sockets[1:]:
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)

    def _pass_on(self, source: socket.socket, sink: socket.socket, rate: int | None) -> None:
        size = _CHUNK if rate is None else max(_CHUNK, rate // 1000)
        with contextlib.suppress(OSError):
            while data := source.recv(size):
                sink.sendall(data)
                if rate is not None:
                    self.passed += len(data)
                    time.sleep(len(data) / rate)  # the rate is what this is for
            sink.shutdown(socket.SHUT_RDWR)
