"""``fog fetch``: gets the outcome of a posted task."""

from __future__ import annotations

import argparse
from typing import Any

from fogsdk.cli.options import add_common, connect, seconds
from fogsdk.cli.output import write_json
from fogsdk.cli.run import add_output, check_output, deliver, describe_error
from fogsdk.device.posted import check_receipt
from fogsdk.errors import FogError, TaskFailed

HELP = "wait for the result of a posted task and write it"
MORE = """examples:
  fog fetch phone/5b1c2a0f6d2f4c0a9e7b8d3c1f2e4a60
  fog fetch $receipt --wait 60 --output terrain.npy
  fog fetch $receipt --leave"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of this command."""
    parser.add_argument("receipt", metavar="RECEIPT", type=_receipt, help="what `fog post` wrote")
    parser.add_argument("--wait", metavar="SECONDS", type=seconds, help="time to wait for it (default: no limit)")
    parser.add_argument("--leave", action="store_true", help="leave it in the fog, to be fetched again")
    add_output(parser)
    add_common(parser)


def _receipt(text: str) -> str:
    try:
        return check_receipt(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def run(args: argparse.Namespace) -> int:
    """Fetch the outcome; it is the exit code, as with ``fog run``."""
    check_output(args)
    with connect(args) as fog:
        try:
            value = fog.fetch(args.receipt, args.wait, forget=False)
        except FogError as error:
            _report(args, describe_error(error))
            if isinstance(error, TaskFailed) and not args.leave:
                fog.forget(args.receipt)
            raise
        _report(args, deliver(args, value))
        if not args.leave:  # not before: it may have been impossible to write
            fog.forget(args.receipt)
    return 0


def _report(args: argparse.Namespace, outcome: dict[str, Any]) -> None:
    if args.json:
        write_json({"receipt": args.receipt, **outcome})
