"""Large bodies in memory that the daemon and its workers share, so that none of them is copied on its way to a job.

Each is a file without a name (memfd_create(2); elsewhere an unlinked temporary file) whose descriptor goes from process
to process with the frame that speaks of it (SCM_RIGHTS, unix(7)). It is gone with the last process that has it open,
however that ends. It is sealed against being cut short, which would kill whoever reads it then.

Descriptors are few where a process may have few files open. Once half of them are in use, bodies are in this process's
own memory, and are copied on their way: the other half is for connections, workers, and what comes in.
"""

from __future__ import annotations

import mmap
import os
import sys
from collections.abc import Sequence

from fogsdk.wire.limits import INLINE_SIZE
from fogsdk.wire.messages import Body

SHARED = INLINE_SIZE
"""Bytes from which on a body goes to its worker, or comes from it, in shared memory."""

_F_ADD_SEALS, _F_SEAL_SHRINK = 1033, 2  # fcntl(2)
_UNTRACKED = {"trackfd": False} if sys.version_info >= (3, 13) else {}  # before, a mapping has a descriptor of its own


class _Mapping(mmap.mmap):
    """Memory that knows the file behind it, and closes that when nobody looks at it any more."""

    descriptor = -1

    def __del__(self) -> None:
        if self.descriptor >= 0:
            os.close(self.descriptor)


class SharedBuffer:
    """Memory for a body that comes in piece by piece; none of it is used before it is written."""

    def __init__(self, size: int) -> None:
        descriptor = _create(size)
        if _are_scarce(descriptor):
            os.close(descriptor)
            self._view, self._descriptor = memoryview(bytearray(size)), -1
        else:
            _seal(descriptor)
            self._view = _map(descriptor, size, mmap.MAP_SHARED, mmap.PROT_READ)
            self._descriptor = descriptor

    def __len__(self) -> int:
        return len(self._view)

    def write(self, at: int, data: Body) -> None:
        """Put bytes in from ``at`` on."""
        if self._descriptor < 0:
            self._view[at : at + len(data)] = data
            return
        # Not through the mapping: a page that is written so is fetched first, and then counts as this process's own.
        _write_all(self._descriptor, [data], at)

    def view(self) -> memoryview:
        """The whole of it."""
        return self._view.toreadonly()


def put(pieces: Sequence[Body]) -> memoryview:
    """Pieces, one after the other, in shared memory."""
    size = sum(map(len, pieces))
    descriptor = _create(size)
    try:
        _write_all(descriptor, pieces, 0)
    except BaseException:  # no memory is left, for one
        os.close(descriptor)
        raise
    return _map(descriptor, size, mmap.MAP_SHARED, mmap.PROT_READ)


def take(descriptor: int, size: int, *, private: bool) -> memoryview:
    """The body behind a descriptor that came from another process, and that is closed with it. With ``private`` it can
    be written to, and nobody else sees that.

    Raises ValueError where it has fewer bytes, or could get fewer.
    """
    if not _seal(descriptor) or os.fstat(descriptor).st_size < size:
        os.close(descriptor)
        raise ValueError(f"a shared body is to have {size} bytes, and has fewer, or may lose some")
    if _are_scarce(descriptor):
        body = _copy(descriptor, size)
        return body if private else body.toreadonly()
    if private:
        return _map(descriptor, size, mmap.MAP_PRIVATE, mmap.PROT_READ | mmap.PROT_WRITE)
    return _map(descriptor, size, mmap.MAP_SHARED, mmap.PROT_READ)


def descriptor_of(body: Body) -> int | None:
    """The descriptor of a body that is the whole of some shared memory, None for any other."""
    if isinstance(body, memoryview) and isinstance(body.obj, _Mapping) and len(body) == len(body.obj):
        return body.obj.descriptor
    return None


def _map(descriptor: int, size: int, flags: int, protection: int) -> memoryview:
    try:
        mapping = _Mapping(descriptor, size, flags=flags, prot=protection, **_UNTRACKED)
    except BaseException:
        os.close(descriptor)
        raise
    mapping.descriptor = descriptor
    return memoryview(mapping)


def _are_scarce(descriptor: int) -> bool:
    """Whether descriptors are about to run out, going by the latest one: each is the lowest number that is free."""
    import resource  # Windows has none

    most, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return 0 <= most <= 2 * descriptor


def _copy(descriptor: int, size: int) -> memoryview:
    data = bytearray(size)
    with open(descriptor, "rb") as file:
        file.seek(0)
        file.readinto(data)
    return memoryview(data)


def _create(size: int) -> int:
    if hasattr(os, "memfd_create"):
        descriptor = os.memfd_create("fogsdk", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    else:
        import tempfile

        with tempfile.TemporaryFile() as file:
            descriptor = os.dup(file.fileno())
    os.ftruncate(descriptor, size)
    return descriptor


def _seal(descriptor: int) -> bool:
    """Keep a file from being cut short; returns whether it can be relied on."""
    if not hasattr(os, "memfd_create"):
        return True  # other systems know no seals: here the workers have to be trusted
    try:
        import fcntl  # Windows has none

        fcntl.fcntl(descriptor, _F_ADD_SEALS, _F_SEAL_SHRINK)
    except OSError:
        return False
    return True


def _write_all(descriptor: int, pieces: Sequence[Body], at: int) -> None:
    for piece in pieces:
        left = memoryview(piece)
        while left:
            written = os.pwrite(descriptor, left, at)
            at, left = at + written, left[written:]
