"""Dataclasses that are frozen for the type checker alone.

To hold them so at run time as well makes each two to six times as slow to make (``object.__setattr__`` for each field),
and several are made for each task at every hop. mypy finds whoever would change one. What the standard library would
compile for each of them, though few use it, they have in common: that is a fifth of the time to import the SDK.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

__all__ = ["dataclass"]

if TYPE_CHECKING:
    from dataclasses import dataclass
else:

    def dataclass(*, frozen: bool, slots: bool) -> Callable[[type], type]:
        """Like the standard library's, but that its objects can be hashed and are not guarded against changes."""
        assert frozen, "for what may change, use the standard library's"

        def decorate(kind: type) -> type:
            for name, method in _COMMON.items():
                if name not in vars(kind):
                    setattr(kind, name, method)
            return dataclasses.dataclass(slots=slots, eq=False, repr=False)(kind)

        return decorate


def _values(self: Any) -> tuple[Any, ...]:
    return tuple([getattr(self, name) for name in self.__match_args__])


def _equal(self: Any, other: object) -> bool:
    return _values(self) == _values(other) if type(other) is type(self) else NotImplemented


def _hash(self: Any) -> int:
    return hash(_values(self))


def _repr(self: Any) -> str:
    said = ", ".join(f"{name}={getattr(self, name)!r}" for name in self.__match_args__)
    return f"{type(self).__qualname__}({said})"


_COMMON = {"__eq__": _equal, "__hash__": _hash, "__repr__": _repr}
