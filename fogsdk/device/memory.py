"""Memory for a large body that comes in piece by piece: none of it is used before it is written."""

from __future__ import annotations

import mmap

from fogsdk.wire.messages import Body


class Memory:
    """So many bytes of memory of this process."""

    def __init__(self, size: int) -> None:
        # Not a bytearray: that would write zeros all over what may never come. (Windows knows no private mappings.)
        private = {"flags": mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS} if hasattr(mmap, "MAP_PRIVATE") else {}
        self._view = memoryview(mmap.mmap(-1, size, **private))

    def __len__(self) -> int:
        return len(self._view)

    def write(self, at: int, data: Body) -> None:
        """Put bytes in from ``at`` on."""
        self._view[at : at + len(data)] = data

    def view(self) -> memoryview:
        """The whole of it."""
        return self._view
