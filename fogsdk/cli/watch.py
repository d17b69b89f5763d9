"""``fog watch``: the tasks of a site, live."""

from __future__ import annotations

import argparse
import datetime
import secrets
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from fogsdk.cli.observer import Heard, Observer
from fogsdk.cli.options import add_common, observe
from fogsdk.cli.output import clean, draw, milliseconds, note, terminal, write_json, write_line
from fogsdk.cli.sightings import Sighting, Sightings
from fogsdk.errors import ConnectionFailed
from fogsdk.wire import topics
from fogsdk.wire.messages import Ask

HELP = "show the tasks of the site as they move, and why each ran where it did"
MORE = """One line for each step of a task: when, id, name, sender, node, state, the time
since it was first seen, and with its outcome the reason of each placement. End
it with Ctrl-C.

A broker with an access list shows other senders' tasks only to a login that may
read fog/v1/<site>/#."""

ECHO_WITHIN = 2.0
"""Seconds in which a message of our own must come back, or the broker hides the traffic from us."""
REDRAW = 0.1
"""Seconds between two drawings of the live view."""
RECENT = 60.0
"""Seconds without news after which the live view leaves a task out."""

Show = Callable[[Sighting], None]

_HIDDEN = """fog: {broker} hides other senders' tasks from {sender!r}: its access list lets it read its own.
With `topic read fog/v1/{site}/#` for this login in the list, they are shown."""
_COLUMNS = ("id", "task", "sender", "node", "state", ">time", "")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of this command."""
    add_common(parser)


def run(args: argparse.Namespace) -> int:
    """Watch until interrupted."""
    sightings = Sightings()
    connected = False
    with _display(args.json, sightings) as (show, refresh):
        while True:
            try:
                with observe(args) as observer:
                    connected, args.site = True, observer.site  # and that one it stays
                    for heard in _traffic(observer, refresh):
                        sighting = sightings.take(heard)
                        if sighting is not None:
                            show(sighting)
            except ConnectionFailed as error:
                if not connected:
                    raise
                note(f"fog: {error}; trying again")


def _traffic(observer: Observer, refresh: Callable[[], None]) -> Iterator[Heard]:
    """All that is heard of tasks; says so where the broker hides it."""
    site = observer.site
    observer.subscribe(topics.task(site, "+"), topics.any_task(site), topics.reply(site, "+"))
    probe = f"watch-{secrets.token_hex(4)}"
    # For a node that cannot be: nobody answers it, but whoever may read the tasks of others hears it.
    observer.send(topics.task(site, probe, observer.sender), Ask(probe))
    note(f"watching site {site!r} at {observer.broker}")
    echo_by: float | None = time.monotonic() + ECHO_WITHIN
    while True:
        for heard in observer.listen(REDRAW):
            if heard.at.node == probe:
                echo_by = None
            yield heard
        if echo_by is not None and time.monotonic() > echo_by:
            echo_by = None
            note(_HIDDEN.format(broker=observer.broker, sender=observer.sender, site=site))
        refresh()


@contextmanager
def _display(as_json: bool, sightings: Sightings) -> Iterator[tuple[Show, Callable[[], None]]]:
    """How to show a step of a task, and what to call now and then."""
    console = None if as_json else terminal(sys.stdout)
    if console is None:
        yield (_show_json if as_json else _show_line), lambda: None
        return
    from rich.live import Live
    from rich.text import Text

    with Live(console=console, transient=True, auto_refresh=False) as live:

        def show(sighting: Sighting) -> None:
            if sighting.settled:
                console.print(Text(clean(_line(sighting)), style="" if sighting.state == "done" else "red"))

        def refresh() -> None:
            oldest = time.perf_counter() - RECENT
            moving = [each for each in sightings.tasks.values() if each.heard > oldest]
            room = max(1, console.height - 4)
            live.update(draw(_COLUMNS, [_row(each) for each in moving[-room:]]) if moving else "", refresh=True)

        yield show, refresh


def _show_json(sighting: Sighting) -> None:
    write_json({"at": _now().isoformat(timespec="milliseconds"), **sighting.describe()})


def _show_line(sighting: Sighting) -> None:
    write_line(_line(sighting))


def _now() -> datetime.datetime:
    return datetime.datetime.now().astimezone()


def _row(sighting: Sighting) -> list[str]:
    name = sighting.name if sighting.part is None else f"{sighting.name} part {sighting.part}"
    reasons = "; ".join(filter(None, [sighting.detail, *sighting.why]))
    time_taken = milliseconds(sighting.milliseconds)
    return [sighting.id, name, sighting.sender, sighting.node, sighting.state, time_taken, reasons]


def _line(sighting: Sighting) -> str:
    id, name, sender, node, state, taken, reasons = _row(sighting)
    at = _now().strftime("%H:%M:%S.%f")[:-3]
    way = f"{sender} -> {node or '?'}"
    return f"{at}  {id:<12} {name:<14} {way:<28} {state:<10} {taken:>8}  {reasons}".rstrip()
