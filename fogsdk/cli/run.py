"""``fog run``: runs one task and writes its result."""

from __future__ import annotations

import argparse
import contextlib
import sys
from collections.abc import Iterator
from concurrent.futures import wait
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fogsdk.cli import values
from fogsdk.cli.options import add_common, complete_files, connect, seconds, whole_number
from fogsdk.cli.output import note, terminal, write_json
from fogsdk.errors import ConfigError, DeadlineExceeded, FogError, TaskFailed, TaskRefused
from fogsdk.tasks import WEIGHTS

if TYPE_CHECKING:
    from fogsdk.device.future import FogFuture, Trace

HELP = "run a task and write its result"
MORE = f"""{values.HELP}

examples:
  fog run mean '[1, 2, 3]'
  fog run classify @photo.jpg --kw top=3 --deadline 2 --trace
  fog run smooth @field.npy --output smooth.npy
  sensor | fog run mean @-"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of this command."""
    add_call(parser)
    parser.add_argument("--trace", action="store_true", help="say on stderr where it ran, and why there")
    add_output(parser)
    add_common(parser)


def add_call(parser: argparse.ArgumentParser) -> None:
    """The options that say what to run."""
    parser.add_argument("name", metavar="NAME", help="the task")
    parser.add_argument("args", metavar="ARG", nargs="*", default=[], help="its arguments, see below")
    parser.add_argument(
        "--kw", metavar="KEY=ARG", action="append", default=[], type=_pair, help="an argument by its name"
    )
    parser.add_argument("--deadline", metavar="SECONDS", type=seconds, help="time within which the result is of use")
    parser.add_argument(
        "--priority",
        metavar="N",
        type=_priority,
        default=0,
        help="-100 to 100: higher leaves a queue first (default: 0)",
    )
    parser.add_argument("--weight", choices=WEIGHTS, help="override what the task declares")


def add_output(parser: argparse.ArgumentParser) -> None:
    """The option that says where the result goes."""
    output = "write the result to a file: .json, .cbor, .npy, or bytes and text as they are"
    complete_files(parser.add_argument("--output", metavar="FILE", type=Path, help=output))


def _pair(text: str) -> tuple[str, str]:
    key, equals, value = text.partition("=")
    if not equals or not key:
        raise argparse.ArgumentTypeError(f"must be KEY=ARG, not {text!r}")
    return key, value


def _priority(text: str) -> int:
    return whole_number(text, -100, 100)


def read_call(args: argparse.Namespace, **more: Any) -> tuple[list[Any], dict[str, Any]]:
    """What to call the SDK with: the task's arguments, and its keywords with the options, ``more`` of them included.

    Raises ConfigError for a keyword that is named like an option.
    """
    keywords = {key: values.argument(text) for key, text in args.kw}
    options = {"deadline": args.deadline, "priority": args.priority, "weight": args.weight, **more}
    if keywords.keys() & options.keys():
        raise ConfigError(f"a task's argument cannot be named {', '.join(options)}")
    return [values.argument(text) for text in args.args], {**options, **keywords}


def run(args: argparse.Namespace) -> int:
    """Run the task; its outcome is the exit code."""
    check_output(args)
    arguments, keywords = read_call(args)
    with connect(args) as fog:
        future = fog.submit(args.name, *arguments, **keywords)
        try:
            with _progress(future):
                wait([future])  # Ctrl-C finds this thread at nothing: result() may read from the connection itself
                value = future.result()
        except KeyboardInterrupt:
            future.cancel()
            raise
        except FogError as error:
            _report(args, future, describe_error(error))
            raise
        _report(args, future, deliver(args, value))
    return 0


def check_output(args: argparse.Namespace) -> None:
    """Raises ConfigError where the result could not go where it is wanted: nothing is run for that."""
    if args.output:
        values.check_writable(args.output)


def deliver(args: argparse.Namespace, value: Any) -> dict[str, Any]:
    """Write a result to where it is wanted; returns what to say of it in JSON."""
    if args.output:
        values.write_file(args.output, value)
    elif not args.json:
        print(values.readable(value))
    return {"outcome": "result", "value": None if args.output or not args.json else values.plain(value)}


def _report(args: argparse.Namespace, future: FogFuture, outcome: dict[str, Any]) -> None:
    trace = future.trace
    if args.trace and trace is not None:
        note(str(trace))
    if args.json:
        write_json({"id": future.id, "task": future.name, **outcome, "trace": trace and _describe_trace(trace)})


def describe_error(error: FogError) -> dict[str, Any]:
    """What became of a task that has no result, in JSON."""
    match error:
        case TaskFailed():
            details = {"type": error.type, "message": error.message, "traceback": error.traceback}
            return {"outcome": "failed", **details}
        case TaskRefused():
            details = {"reason": error.reason, "message": error.message}
            return {"outcome": "refused", **details, "retry_after": error.retry_after}
        case DeadlineExceeded():
            return {"outcome": "deadline-exceeded", "message": str(error)}
    return {"outcome": "unreadable", "message": str(error)}


def _describe_trace(trace: Trace) -> dict[str, Any]:
    return {
        "hops": [asdict(hop) for hop in trace.hops],
        "total_ms": trace.total,
        "queued_ms": trace.queued,
        "ran_ms": trace.ran,
        "travelled_ms": trace.travelled,
    }


@contextlib.contextmanager
def _progress(future: FogFuture) -> Iterator[None]:
    """A bar on stderr for as long as the task runs; on a terminal only."""
    console = terminal(sys.stderr)
    if console is None:
        yield
        return
    from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=console, transient=True) as progress:
        bar = progress.add_task(future.name, total=None)  # it only moves to and fro until the task says how far it is
        future.on_progress(lambda fraction: progress.update(bar, total=1.0, completed=fraction))
        yield
