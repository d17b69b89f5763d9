"""The ``fog`` command: finds the sub-command, runs it, and turns what went wrong into an exit code."""

from __future__ import annotations

import argparse
import importlib
import os
import sys
from collections.abc import Sequence
from pathlib import Path

import fogsdk
from fogsdk.cli import chaos, completion, doctor, fetch, invite, load, nodes, post, run, sim, tasks, unquarantine, watch
from fogsdk.cli.output import note
from fogsdk.errors import (
    ConfigError,
    ConnectionFailed,
    DeadlineExceeded,
    FogError,
    TaskFailed,
    TaskRefused,
    not_installed,
)

EXIT_CODES = """exit codes:
  0    all went well
  1    a task failed, or a check found something wrong
  2    wrong use: an option, a file, a setting
  3    the task was refused: no node would run it
  4    the deadline passed
  5    no broker could be reached, or it did not accept the login
  130  interrupted with Ctrl-C"""

_CODES: dict[type[FogError], int] = {
    TaskFailed: 1,
    ConfigError: 2,
    TaskRefused: 3,
    DeadlineExceeded: 4,
    ConnectionFailed: 5,
}
_COMMANDS = {
    "run": run,
    "post": post,
    "fetch": fetch,
    "nodes": nodes,
    "tasks": tasks,
    "unquarantine": unquarantine,
    "watch": watch,
    "load": load,
    "chaos": chaos,
    "doctor": doctor,
    "invite": invite,
    "sim": sim,
    "completion": completion,
}
_DEMO = "a fog on this computer, with a broker, nodes and a device: see it survive"


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; returns its exit code, one of EXIT_CODES."""
    words = list(sys.argv[1:] if argv is None else argv)
    if sys.stdout is None:  # it was closed: who did so wants no output
        sys.stdout = Path(os.devnull).open("w", encoding="utf-8")  # noqa: SIM115 - it is open until the end
    try:
        return _run(words)
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        _drop_output()  # who read it wants no more of it
        return 0
    except FogError as error:
        note(f"fog: {error}")
        return next((code for kind, code in _CODES.items() if isinstance(error, kind)), 1)
    except OSError as error:  # files that it was told are seen to where they are used: it is the output
        _drop_output()
        note(f"fog: cannot write the output: {error}")
        return 2
    except ModuleNotFoundError as error:
        if (error.name or "fogsdk").partition(".")[0] == "fogsdk":
            raise
        note(f"fog: {not_installed('this', 'node', error)}")
        return 2


def _drop_output() -> None:
    """Python would complain again when it flushes at its end."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _run(words: list[str]) -> int:
    parser, commands = build_parser(demo=words[:1] == ["demo"])
    if not words:
        parser.print_help(sys.stderr)
        return 2
    if words[0] not in commands:
        parser.parse_args(words)  # --help, --version, or a mistake: it ends here
        return 2
    # Not through the outer parser: within it, options could not stand between a task and its arguments.
    args = commands[words[0]].parse_intermixed_args(words[1:])
    code: int = args.command(args)
    sys.stdout.flush()
    return code


def build_parser(demo: bool) -> tuple[argparse.ArgumentParser, dict[str, argparse.ArgumentParser]]:
    """The whole command line, and the parser of each command.

    ``demo`` says whether to import the demo, with all that it needs, for its options. Raises ConfigError if
    some of that is missing.
    """
    parser = argparse.ArgumentParser(
        "fog",
        description="Run tasks on the computers around you, and see what becomes of them.",
        epilog=f"`fog COMMAND --help` tells more.\n\n{EXIT_CODES}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"fog {fogsdk.__version__}")
    inner = parser.add_subparsers(metavar="COMMAND", title="commands")
    commands = {}
    for name, module in _COMMANDS.items():
        command = commands[name] = _command(inner, name, module.HELP, getattr(module, "MORE", ""))
        module.add_arguments(command)
        command.set_defaults(command=module.run)
    commands["demo"] = _command(inner, "demo", _DEMO, "")
    if demo:
        _add_demo(commands["demo"])
    return parser, commands


def _command(
    inner: argparse._SubParsersAction[argparse.ArgumentParser], name: str, text: str, more: str
) -> argparse.ArgumentParser:
    return inner.add_parser(
        name,
        help=text,
        description=f"{text[0].upper()}{text[1:]}.",
        epilog=f"{more}\n\n{EXIT_CODES}" if more else EXIT_CODES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )


def _add_demo(parser: argparse.ArgumentParser) -> None:
    try:
        demo = importlib.import_module("fogsdk.demo.main")
    except ImportError as error:
        raise not_installed("fog demo", "demo", error) from error
    demo.add_arguments(parser)
    parser.set_defaults(command=demo.run)


if __name__ == "__main__":
    sys.exit(main())
