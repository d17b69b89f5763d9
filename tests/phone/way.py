"""The way from a phone to a broker: a port that passes everything on, until it is cut or forgets its connections."""

from __future__ import annotations

import contextlib
import socket
import struct
import threading


class Way:
    """Takes connections for ``port`` of this computer."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._server = socket.create_server(("127.0.0.1", 0))
        self._pairs: list[tuple[socket.socket, socket.socket]] = []
        self._forgotten: set[socket.socket] = set()
        self._threads = [threading.Thread(target=self._accept, daemon=True)]

    @property
    def url(self) -> str:
        """Its address, as devices are given it."""
        return f"mqtt://127.0.0.1:{self._server.getsockname()[1]}"

    def cut(self) -> None:
        """End every connection, at both ends, as a router does that was switched off and on."""
        for each in (end for pair in self._pairs for end in pair):
            with contextlib.suppress(OSError):
                each.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                each.shutdown(socket.SHUT_RDWR)

    def forget(self) -> None:
        """Pass nothing on any longer of the connections there are, and tell neither end, as a router that translates
        addresses does with those that were quiet for long. New ones work."""
        self._forgotten.update(end for pair in self._pairs for end in pair)

    def __enter__(self) -> Way:
        self._threads[0].start()
        return self

    def __exit__(self, *_: object) -> None:
        for each in (self._server, *(end for pair in self._pairs for end in pair)):
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join()
        for each in (self._server, *(end for pair in self._pairs for end in pair)):
            each.close()

    def _accept(self) -> None:
        while True:
            try:
                near, _ = self._server.accept()
            except OSError:
                return
            try:
                far = socket.create_connection(("127.0.0.1", self._port))
            except OSError:
                near.close()
                continue
            self._pairs.append((near, far))
            for ends in ((near, far), (far, near)):
                self._threads.append(threading.Thread(target=self._pass_on, args=ends, daemon=True))
                self._threads[-1].start()

    def _pass_on(self, source: socket.socket, sink: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                if source not in self._forgotten:
                    sink.sendall(data)
        if source not in self._forgotten:
            with contextlib.suppress(OSError):
                sink.shutdown(socket.SHUT_RDWR)
