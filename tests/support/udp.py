"""A way for datagrams that loses, doubles and records them: what a bad network does to UDP."""

from __future__ import annotations

import random
import selectors
import socket
import threading


class LossyWay:
    """A UDP relay on a port of its own to another port of this computer. ``loss`` and ``doubles`` are the parts of the
    datagrams that are lost and that come twice, each way; ``seen`` are those towards the target."""

    def __init__(self, target: int, loss: float = 0.0, doubles: float = 0.0, seed: int = 0) -> None:
        self.loss, self.doubles = loss, doubles
        self.seen: list[bytes] = []
        self._chance = random.Random(seed)
        self._target = ("127.0.0.1", target)
        self._selector = selectors.DefaultSelector()
        self._front = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._front.bind(("127.0.0.1", 0))
        self._selector.register(self._front, selectors.EVENT_READ, None)
        self._backs: dict[tuple[str, int], socket.socket] = {}
        self._ending = False
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    @property
    def port(self) -> int:
        """Where to send to."""
        port: int = self._front.getsockname()[1]
        return port

    def close(self) -> None:
        """End it."""
        self._ending = True
        self._thread.join()
        for each in (self._front, *self._backs.values()):
            each.close()
        self._selector.close()

    def __enter__(self) -> LossyWay:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _run(self) -> None:
        while not self._ending:
            for key, _ in self._selector.select(0.05):
                try:
                    self._pass_on(key.fileobj, key.data)  # type: ignore[arg-type]
                except OSError:
                    continue  # nobody listens there now

    def _pass_on(self, source: socket.socket, client: tuple[str, int] | None) -> None:
        datagram, sender = source.recvfrom(65536)
        if client is None:
            self.seen.append(datagram)
            back = self._backs.get(sender)
            if back is None:
                back = self._backs[sender] = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
                back.bind(("127.0.0.1", 0))
                self._selector.register(back, selectors.EVENT_READ, sender)
            out, to = back, self._target
        else:
            out, to = self._front, client
        for _ in range(self._copies()):
            out.sendto(datagram, to)

    def _copies(self) -> int:
        if self._chance.random() < self.loss:
            return 0
        return 2 if self._chance.random() < self.doubles else 1
