"""``fog unquarantine``: run tasks again that killed workers."""

from __future__ import annotations

import argparse
import time

from fogsdk.cli.options import add_common, connect
from fogsdk.cli.output import note, write_json, write_line
from fogsdk.device.future import FogFuture
from fogsdk.errors import FogError

HELP = "run tasks again that killed workers"
MORE = """A task whose workers died three times is in quarantine: first with the same
arguments alone, then, after three different ones, altogether. It ends by itself
after 10 minutes, after twice as long the next time. `fog nodes` shows what is in
quarantine where."""

CALL = "fog.unquarantine"
SECONDS = 0.6
"""Time to hear which nodes are there: brokers send at once what nodes announced."""
PATIENCE = 5.0
"""Seconds that a node has for its answer."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of this command."""
    parser.add_argument("name", nargs="?", default="", metavar="NAME", help="the task (default: all that are)")
    parser.add_argument("--node", metavar="ID", help="only on this node (default: on every one that is there)")
    add_common(parser)


def run(args: argparse.Namespace) -> int:
    """Ask the nodes, and show what each of them lifted."""
    with connect(args) as fog:
        if not args.node:
            time.sleep(SECONDS)
        nodes = [args.node] if args.node else sorted(fog.nodes())
        asked = {node: fog.submit(CALL, args.name, node=node, deadline=PATIENCE) for node in nodes}
        answers = {node: _answer(future) for node, future in asked.items()}
    lifted = {node: answer for node, answer in answers.items() if isinstance(answer, list)}
    if args.json:
        write_json({"lifted": lifted, "failed": {node: str(answers[node]) for node in answers if node not in lifted}})
    else:
        for node, tasks in lifted.items():
            for task in tasks:
                write_line(f"{task} may run on {node} again")
    for node, answer in answers.items():
        if node not in lifted:
            note(f"{node} did not do it: {answer}")
    if lifted and not any(lifted.values()):
        note(f"{args.name or 'nothing'} was {'not ' if args.name else ''}in quarantine")
    if not answers:
        note(f"no node is there on site {fog.site!r}; `fog doctor` tells more")
    return 0 if len(lifted) == len(answers) else 1


def _answer(future: FogFuture) -> list[str] | FogError:
    try:
        return [str(each) for each in future.result()]
    except FogError as error:
        return error
