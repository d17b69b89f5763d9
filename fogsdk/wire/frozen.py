"""Dataclasses that are frozen for the type checker alone.

To hold them so at run time as well makes each two to six times as slow to make (``object.__setattr__`` for each field),
and several are made for each task at every hop. mypy finds whoever would change one.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import TYPE_CHECKING

__all__ = ["dataclass"]

if TYPE_CHECKING:
    from dataclasses import dataclass
else:

    def dataclass(*, frozen: bool, slots: bool) -> Callable[[type], type]:
        """Like the standard library's, but that its objects can be hashed and are not guarded against changes."""
        assert frozen, "for what may change, use the standard library's"

        def decorate(kind: type) -> type:
            return dataclasses.dataclass(slots=slots, unsafe_hash="__hash__" not in vars(kind))(kind)

        return decorate
