"""What the commands write: tables and lines for people, JSON for programs.

Results go to stdout, everything else to stderr. rich draws on a terminal; into files and pipes goes plain
text, which is not cut to any width.
"""

from __future__ import annotations

import contextlib
import json
import sys
from collections.abc import Callable, Iterator, Sequence
from typing import IO, TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

Row = Sequence[str]
Columns = Sequence[str]
"""Titles; one that begins with ``>`` is of numbers, set to the right."""


def note(text: str) -> None:
    """Say something that is no result."""
    print(clean(text, keep="\n\t"), file=sys.stderr, flush=True)


def clean(text: str, keep: str = "") -> str:
    """What came over the network as it can be shown: a terminal obeys some characters."""
    return "".join(char if char.isprintable() or char in keep else "\N{REPLACEMENT CHARACTER}" for char in text)


def write_json(document: Any) -> None:
    """Write one JSON document, on one line."""
    print(json.dumps(document, ensure_ascii=False), flush=True)


def write_line(text: str) -> None:
    """Write one line of a result."""
    print(clean(text), flush=True)


def terminal(stream: IO[str]) -> Console | None:
    """A console for ``stream``, None where that is no terminal or rich is not installed."""
    if not stream.isatty():
        return None
    try:
        from rich.console import Console
    except ImportError:
        _lament_rich()
        return None
    return Console(file=stream, highlight=False, markup=False, emoji=False)


_lamented = False


def _lament_rich() -> None:
    global _lamented
    if not _lamented:
        _lamented = True
        note('fog: rich is not installed, so this is plain text; for tables: pip install "fogsdk[node]"')


def write_table(columns: Columns, rows: Sequence[Row]) -> None:
    """Write a table to stdout."""
    console = terminal(sys.stdout)
    if console is not None:
        console.print(draw(columns, rows))
        return
    for line in align(columns, rows):
        write_line(line)


def draw(columns: Columns, rows: Sequence[Row]) -> Table:
    """A table for a terminal."""
    from rich import box
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0), header_style="bold")
    for title in columns:
        heading, number = title.lstrip(">"), title.startswith(">")
        justify: Literal["left", "right"] = "right" if number else "left"
        table.add_column(heading, justify=justify, overflow="fold", min_width=len(heading), no_wrap=number)
    for row in rows:
        table.add_row(*(Text(clean(cell), style=_STYLES.get(cell, "")) for cell in row))
    return table


_STYLES = {
    "there": "green",
    "done": "green",
    "ok": "green",
    "draining": "yellow",
    "silent": "yellow",
    "note": "yellow",
    "gone": "red",
    "failed": "red",
    "refused": "red",
    "wrong": "bold red",
}
"""Colours of the words that tell how something is."""


def align(columns: Columns, rows: Sequence[Row]) -> list[str]:
    """A table as plain text."""
    table = [
        [title.lstrip(">").upper() for title in columns],
        *([clean(cell) for cell in row] for row in rows),
    ]
    widths = [max(len(row[index]) for row in table) for index in range(len(columns))]
    lines = []
    for row in table:
        cells = [
            cell.rjust(width) if title.startswith(">") else cell.ljust(width)
            for cell, width, title in zip(row, widths, columns, strict=True)
        ]
        lines.append("  ".join(cells).rstrip())
    return lines


@contextlib.contextmanager
def live_table(columns: Columns) -> Iterator[Callable[[Sequence[Row]], None]]:
    """A table on stderr that is drawn anew with each call, and gone at the end; on a terminal only."""
    console = terminal(sys.stderr)
    if console is None:
        yield lambda _rows: None
        return
    from rich.live import Live

    with Live(console=console, transient=True, auto_refresh=False) as live:
        yield lambda rows: live.update(draw(columns, rows), refresh=True)


def milliseconds(value: float | None) -> str:
    """A duration in milliseconds for people."""
    if value is None:
        return "-"
    if value < 10:
        return f"{value:.1f} ms"
    return f"{value:.0f} ms" if value < 10_000 else f"{value / 1000:.1f} s"


def percent(fraction: float | None) -> str:
    """A fraction for people."""
    return "-" if fraction is None else f"{fraction * 100:.0f} %"
