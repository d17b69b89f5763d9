"""``fog post``: leaves a task with the fog and writes its receipt."""

from __future__ import annotations

import argparse
from dataclasses import asdict

from fogsdk.cli import values
from fogsdk.cli.options import add_common, connect, seconds
from fogsdk.cli.output import note, write_json, write_line
from fogsdk.cli.run import add_call, read_call
from fogsdk.device.posted import keep_ms

HELP = "leave a task with the fog, and write its receipt"
MORE = f"""it runs also when this computer is switched off, and when any one node dies; `fog fetch`
gets the result, from any computer of the site.

{values.HELP}

examples:
  fog post map_terrain @survey.npy --keep 7d
  receipt=$(fog post mean '[1, 2, 3]') && fog fetch $receipt"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of this command."""
    add_call(parser)
    keep = "how long task and outcome are kept: seconds, or 90s, 15m, 1h, 7d (default: 1h)"
    parser.add_argument("--keep", metavar="TIME", type=_keep, default="1h", help=keep)
    copies = "refuse where fewer nodes can keep it (default: two if there are two)"
    parser.add_argument("--copies", type=int, choices=(1, 2), help=copies)
    wait = "time to wait for the receipt (default: 30)"
    parser.add_argument("--wait", metavar="SECONDS", type=seconds, default=30.0, help=wait)
    add_common(parser)


def _keep(text: str) -> str:
    try:
        keep_ms(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None
    return text


def run(args: argparse.Namespace) -> int:
    """Post the task."""
    arguments, keywords = read_call(args, keep=args.keep, copies=args.copies, timeout=args.wait)
    with connect(args) as fog:
        receipt = fog.post(args.name, *arguments, **keywords)
    if args.json:
        write_json({**asdict(receipt), "task": args.name})
    else:
        write_line(str(receipt))
    if receipt.copies < 2:
        note(f"fog: kept by {', '.join(receipt.nodes)} alone: there is no second node to keep a copy")
    return 0
