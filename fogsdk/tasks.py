"""What a node can run: the ``@task`` decorator, the registry, and the running of one job inside a worker."""

from __future__ import annotations

import functools
import importlib
import inspect
import sys
import traceback
from collections.abc import Callable, Iterable
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar, overload

from fogsdk.errors import ConfigError, TaskDefinitionError, TaskRefused, TooLarge, WireError
from fogsdk.wire import limits, topics, values
from fogsdk.wire.messages import Body, TaskInfo

Join = Callable[[list[Body]], Body]
"""Puts an encoding together from its pieces."""

RESERVED = "fog."
"""Calls whose names begin so are answered by the nodes themselves."""

WEIGHTS = ("auto", "light", "middle", "heavy")

_ONE_PIECE = 4096
"""Bytes up to which an encoding in one piece need not be put together, nor into shared memory."""

F = TypeVar("F", bound=Callable[..., Any])


@dataclass(frozen=True)
class TaskSpec:
    """One task as its author declared it.

    ``timeout`` is in seconds, ``memory`` in bytes; ``split`` and ``merge`` come together or not at all.
    """

    name: str
    function: Callable[..., Any]
    weight: str = "auto"
    version: str = "1"
    timeout: float | None = None
    memory: int | None = None
    split: Callable[..., Any] | None = None
    merge: Callable[..., Any] | None = None
    fallback: str | None = None

    @functools.cached_property
    def parameters(self) -> inspect.Signature:
        """The function's parameters."""
        try:
            return inspect.signature(self.function, eval_str=True)
        except (NameError, AttributeError, TypeError):  # annotations that mean something to a type checker alone
            return inspect.signature(self.function)

    @functools.cached_property
    def fitting(self) -> range:
        """How many arguments are sure to fit, where all are given by position; of others ``parameters`` must be asked,
        and that takes ten times as long."""
        kinds = inspect.Parameter
        parameters = list(self.parameters.parameters.values())
        by_position = [each for each in parameters if each.kind in (kinds.POSITIONAL_ONLY, kinds.POSITIONAL_OR_KEYWORD)]
        needed = [each for each in parameters if each.default is each.empty and each.kind is not kinds.VAR_KEYWORD]
        if any(each not in by_position for each in needed):
            return range(0)
        return range(len(needed), len(by_position) + 1)

    @property
    def signature(self) -> str:
        """The function's signature as text, for people."""
        return plain(str(self.parameters))

    @property
    def info(self) -> TaskInfo:
        """The task as births announce it."""
        return TaskInfo(
            self.name,
            self.version,
            self.weight,
            None if self.timeout is None else int(self.timeout * 1000),
            self.memory,
            self.split is not None,
            self.fallback,
            self.signature,
            self.summary,
        )

    @property
    def summary(self) -> str:
        """The first line of the function's docstring."""
        return plain((inspect.getdoc(self.function) or "").partition("\n")[0])


registry: dict[str, TaskSpec] = {}
"""Every task declared in this process, by name."""

_importing = False
"""Whether modules are being imported that were not before."""
_report: ContextVar[Callable[[float], None] | None] = ContextVar("fogsdk_report", default=None)


@overload
def task(function: F, /) -> F: ...
@overload
def task(
    *,
    name: str | None = None,
    weight: str = "auto",
    version: str = "1",
    timeout: float | None = None,
    memory: int | None = None,
    split: Callable[..., Any] | None = None,
    merge: Callable[..., Any] | None = None,
    fallback: str | None = None,
) -> Callable[[F], F]: ...
def task(function: Any = None, /, **options: Any) -> Any:
    """Declare a function as a task that nodes can run; the function itself stays as it is.

    ``weight`` is light, middle, heavy or auto (learned from measured run times). ``timeout`` (seconds) and ``memory``
    (bytes) bound one run in its worker. ``split(shares, *args, **kwargs)`` returns a list of argument tuples, at most
    one for each share of the work (``shares`` are fractions that sum to 1), and ``merge(results)`` puts their results
    together, in order. ``fallback="fog"`` lets a heavy task run in the fog while there is no cloud.

    Raises TaskDefinitionError for options that contradict each other, and for a name that is taken.
    """
    if function is None:
        return lambda decorated: _declare(decorated, options)
    return _declare(function, options)


def _declare(function: F, options: dict[str, Any]) -> F:
    name = options.pop("name", None) or function.__name__
    spec = TaskSpec(name=name, function=function, **options)
    _check(spec)
    other = registry.get(name)
    if other is not None and not _same_source(other.function, function):
        raise TaskDefinitionError(
            f"two tasks are named {name!r}: {_place(other.function)} and {_place(function)}; "
            f'give one of them another name with @task(name="...")'
        )
    registry[name] = spec
    return function


def _check(spec: TaskSpec) -> None:
    problem = None
    if not 0 < len(spec.name) <= limits.NAME_LENGTH or not spec.name.isprintable():
        problem = f"a name has 1 to {limits.NAME_LENGTH} printable characters"
    elif spec.name.startswith(RESERVED):
        problem = f"names that begin with {RESERVED!r} are the nodes' own: choose another"
    elif spec.weight not in WEIGHTS:
        problem = f"weight is one of {', '.join(WEIGHTS)}, not {spec.weight!r}"
    elif inspect.iscoroutinefunction(spec.function) or inspect.isasyncgenfunction(spec.function):
        problem = "a task is an ordinary function: one made with async def returns no result by itself"
    elif (spec.split is None) != (spec.merge is None):
        problem = "split and merge come together"
    elif spec.fallback not in (None, "fog"):
        problem = f'fallback is "fog" or None, not {spec.fallback!r}'
    elif spec.timeout is not None and not spec.timeout > 0:
        problem = f"timeout is a number of seconds above 0, not {spec.timeout!r}"
    elif spec.memory is not None and not spec.memory > 0:
        problem = f"memory is a number of bytes above 0, not {spec.memory!r}"
    if problem:
        raise TaskDefinitionError(f"@task {spec.name!r}: {problem}")


def _same_source(one: Callable[..., Any], other: Callable[..., Any]) -> bool:
    # A module that is reloaded, or run as a script and imported too, declares its tasks twice; on other lines, if
    # somebody wrote in it meanwhile. A node imports it once.
    if _importing and one.__module__ == other.__module__ and _line(one) != _line(other):
        return False
    return _where(one).rpartition(".")[2] == _where(other).rpartition(".")[2] and (
        inspect.getsourcefile(one) == inspect.getsourcefile(other)
    )


def _line(function: Callable[..., Any]) -> int:
    return getattr(getattr(inspect.unwrap(function), "__code__", None), "co_firstlineno", 0)


def _place(function: Callable[..., Any]) -> str:
    return f"{_where(function)} on line {_line(function)}"


def _where(function: Callable[..., Any]) -> str:
    return f"{function.__module__}.{getattr(function, '__qualname__', '?')}"


def load(modules: Iterable[str]) -> dict[str, TaskSpec]:
    """Import task modules by name, the working directory included, and return every task declared so far.

    Raises ConfigError when a module cannot be imported, and for more tasks than a node can announce.
    """
    global _importing
    here = str(Path.cwd())
    if here not in sys.path and "" not in sys.path:
        sys.path.insert(0, here)
    for module in modules:
        try:
            _importing = True
            importlib.import_module(module)
        except Exception as error:
            problem = f"cannot import the task module {module!r}: {type(error).__name__}: {error}"
            raise ConfigError(problem + _hint(module, error, here)) from error
        finally:
            _importing = False
    if len(registry) > limits.TASKS:
        raise ConfigError(
            f"the task modules declare {len(registry)} tasks, and a node announces {limits.TASKS} at the most: "
            f"give some of the modules to another node"
        )
    return dict(registry)


def _hint(module: str, error: Exception, here: str) -> str:
    if module.endswith(".py"):
        from_there = ", from its folder" if "/" in module else ""
        return f"; give it as Python names it: {Path(module).stem}{from_there}"
    missing = isinstance(error, ModuleNotFoundError) and error.name == module.partition(".")[0]
    return f"; is it in this folder, {here}, or installed?" if missing else ""


def progress(fraction: float) -> None:
    """Tell the caller how far the running task is, from 0.0 to 1.0. Outside a task it does nothing."""
    report = _report.get()
    if report is not None:
        report(min(1.0, max(0.0, float(fraction))))


class reporting:  # noqa: N801 - used as a function; one that is a generator takes four times as long
    """Within this context, :func:`progress` calls ``report``."""

    def __init__(self, report: Callable[[float], None]) -> None:
        self._to = report

    def __enter__(self) -> None:
        self._token = _report.set(self._to)

    def __exit__(self, *_: object) -> None:
        _report.reset(self._token)


def perform(
    kind: str, name: str, bodies: tuple[Body, ...], shares: tuple[float, ...] = (), join: Join = b"".join
) -> Any:
    """Do one job in this process: what every executor's worker calls.

    ``run`` takes the CBOR of ``[args, kwargs]`` and returns the CBOR of the result; ``split`` takes the same and
    returns a tuple of them, at most one for each share; ``merge`` takes the CBOR results of the parts and returns the
    CBOR of the whole; ``step`` takes the CBOR of ``[args, kwargs]`` and that of a session's state, and returns the CBOR
    of ``[new state, result]``, each as the bytes of its own CBOR. ``join`` puts an encoding together from its pieces.

    Raises TaskRefused for what was never run, and whatever the task raised otherwise.
    """
    spec = registry.get(name)
    if spec is None:
        raise TaskRefused("unknown-task", f"no task {name!r} here; there are {_some(registry)}")
    if kind == "merge" and spec.merge is not None:
        return _encode_result(spec.merge([values.decode(body) for body in bodies]), join)
    if kind == "step":
        return _step(spec, *bodies)
    args, kwargs = _arguments(spec, bodies[0])
    if kind == "split" and spec.split is not None:
        parts = list(spec.split(list(shares), *args, **kwargs))
        if len(parts) > len(shares):
            raise TaskDefinitionError(f"split returned {len(parts)} parts for {len(shares)} shares")
        return tuple([_encode_part(part, join) for part in parts])
    if kind != "run":
        raise TaskRefused("bad-arguments", f"task {name!r} declares no split and merge")
    return _encode_result(spec.function(*args, **kwargs), join)


def _step(spec: TaskSpec, body: Body, state: Body) -> Body:
    args, kwargs = _arguments(spec, body, {"state": values.decode(state)})
    match spec.function(*args, **kwargs):
        case (new_state, result):
            return _encode_result([_encode_result(new_state, b"".join), _encode_result(result, b"".join)], b"".join)
    raise TypeError(f"{spec.name}: the task of a session's step must return (state, result)")


def _some(names: Iterable[str]) -> str:
    known = sorted(names)
    return ", ".join(known[:8]) + (", ..." if len(known) > 8 else "") if known else "none"


def _arguments(spec: TaskSpec, body: Body, more: dict[str, Any] | None = None) -> tuple[list[Any], dict[str, Any]]:
    try:
        match values.decode(body):
            case [list() as args, dict() as kwargs] if not kwargs or all(isinstance(key, str) for key in kwargs):
                if more:
                    kwargs |= more
                if kwargs or len(args) not in spec.fitting:
                    spec.parameters.bind(*args, **kwargs)
                return args, kwargs
    except WireError as error:
        raise TaskRefused("bad-arguments", f"{spec.name}: the arguments: {error}") from error
    except TypeError as error:
        raise TaskRefused("bad-arguments", f"{spec.name}{spec.signature}: {error}") from error
    raise TaskRefused("bad-arguments", f"{spec.name}: arguments must be [list, map with text keys]")


def _encode_part(part: Any, join: Join) -> Body:
    """A part is a tuple of arguments, or ``(args, kwargs)`` when its last two are a tuple and a dict."""
    match part:
        case (tuple(args), dict(kwargs)):
            return join(values.encode_in_pieces([list(args), kwargs]))
        case tuple(args) | list(args):
            return join(values.encode_in_pieces([list(args), {}]))
    raise TaskDefinitionError(f"split must return tuples of arguments, not {type(part).__name__}")


def _encode_result(result: Any, join: Join) -> Body:
    pieces = values.encode_in_pieces(result)
    if type(result) not in values.SCALARS:
        values.check_readable(result, pieces)
    if len(pieces) == 1 and len(pieces[0]) <= _ONE_PIECE:
        return pieces[0]
    size = sum(map(len, pieces))
    if size > limits.BODY_SIZE:
        raise TooLarge(f"the result has {size} bytes, the limit is {limits.BODY_SIZE}")
    return join(pieces)


def describe(error: BaseException) -> tuple[str, str, str]:
    """Return an exception as (type name, message, traceback text), each cut to the wire's limits.

    The traceback begins at the task's own frames and keeps its end, where the cause is. Never raises: an exception
    whose own ``__str__`` raises is described too.
    """
    frames = first = error.__traceback__
    while first is not None:
        if first.tb_frame.f_globals.get("__name__") == __name__:
            frames = first.tb_next or frames  # the last frame of this module is the one that called the task
        first = first.tb_next
    lines = traceback.format_exception(type(error), error, frames)
    try:
        message = str(error)
    except Exception as second:  # noqa: BLE001 - whatever a task's own exception does
        message = f"<its message cannot be shown: {type(second).__name__}>"
    name = plain(type(error).__qualname__, limits.NAME_LENGTH)
    return name, plain(message), _encodable("".join(lines))[-limits.TRACEBACK_LENGTH :]


def refusal(refused: TaskRefused) -> tuple[str, str, float | None]:
    """Return a refusal as (reason, message cut to the wire's limit, seconds to wait).

    Raises TaskDefinitionError for one that the wire cannot carry.
    """
    reason: Any = refused.reason  # which a task may have set to anything
    seconds = refused.retry_after
    if not isinstance(reason, str) or not topics.is_id(reason):
        problem = f"the reason has 1 to {limits.ID_LENGTH} of a-z, 0-9 and '-', and is not {reason!r:.80}"
    elif seconds is not None and not 0 <= seconds * 1000 <= limits.DURATION:
        problem = f"retry_after is a number of seconds, 0 or more, or None, and not {seconds!r:.80}"
    else:
        return str(reason), plain(str(refused.message)), None if seconds is None else float(seconds)
    raise TaskDefinitionError(f"the task refuses in a way that nobody can be told: {problem}")


def plain(text: str, most: int = limits.TEXT_LENGTH) -> str:
    """The beginning of a text, ``most`` characters, as UTF-8 can carry it."""
    return _encodable(text[:most])[:most]


def _encodable(text: str) -> str:
    # Names of files that are not UTF-8 come to Python as lone surrogates.
    return text.encode("utf-8", "backslashreplace").decode()
