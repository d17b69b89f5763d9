"""The page about scale: tables of medians with their spread and the ratio to the smallest size, goals, and a plot."""

from __future__ import annotations

from pathlib import Path
from statistics import median

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from benchmarks.harness.report import figures
from benchmarks.machine import machine, today
from benchmarks.scaling.sections import SECTIONS, SPEED_UP, Column, Found, Section

Rounds = dict[str, list[Found]]
"""What each round found, by size (JSON has only text for keys)."""

HEAD = """# Scale

What a task costs as a site grows. Made on {day} by `{command}` on {machine}. Medians of up to {rounds} interleaved
rounds, ± half the distance between the least and the most, and in brackets the ratio to the smallest size. CPU time is
that of all processes, device and broker included, without what they use when there is nothing to do.

A device's core runs the same lines for a task among ten nodes and among thousands. Where a time grows all the same, the
caches are cold: each of a thousand devices comes back to memory that a thousand others have pushed out of them, and the
less a task costs otherwise, the more that is in proportion.

![The cost of a task beside that at the smallest size]({picture})
"""


def write(page: Path, measured: dict[str, Rounds], command: str) -> None:
    """Write the page, and its plot beside it."""
    picture = page.with_suffix(".png")
    draw(picture, measured)
    most = max((len(found) for rounds in measured.values() for found in rounds.values()), default=0)
    head = HEAD.format(day=today(), command=command, machine=machine(), rounds=most, picture=picture.name)
    parts = [section(SECTIONS[name], rounds) for name, rounds in measured.items()]
    page.write_text("\n".join([head, goals(measured), *parts]))


def section(about: Section, rounds: Rounds) -> str:
    """One section with its table."""
    smallest = next(iter(rounds.values()), [])
    rows = [f"| {about.unit} | " + " | ".join(column.title for column in about.columns) + " |"]
    rows.append("|---" * (1 + len(about.columns)) + "|")
    for size, found in rounds.items():
        cells = [_cell(column, found, smallest) for column in about.columns]
        rows.append(f"| {int(size):,} | " + " | ".join(cells) + " |")
    table = "\n".join(rows)
    return f"## {about.title}\n\n{about.about}\n\n{table}\n"


def _cell(column: Column, found: list[Found], smallest: list[Found]) -> str:
    values = _values(found, column.key)
    if not values:
        return "refused"
    text = figures(median(values))
    if len(values) > 1:
        text += f" ± {figures((max(values) - min(values)) / 2)}"
    ratio = _ratio(column, found, smallest)
    return text if found is smallest or ratio is None else f"{text} ({ratio:.2f})"


def _values(found: list[Found], key: str) -> list[float]:
    return [each[key] for each in found if key in each]


def _ratio(column: Column, found: list[Found], smallest: list[Found]) -> float | None:
    values, first = _values(found, column.key), _values(smallest, column.key)
    return median(values) / median(first) if values and first and median(first) else None


def goals(measured: dict[str, Rounds]) -> str:
    """What is to be reached, and what was."""
    rows = ["| | found | goal | reached |", "|---|---|---|---|"]
    for name, rounds in measured.items():
        about, sizes = SECTIONS[name], list(rounds)
        for column in about.columns:
            ratio = _ratio(column, rounds[sizes[-1]], rounds[sizes[0]])
            if column.goal is not None and ratio is not None:
                many = "many at once: " if column.key.startswith("many") else ""
                what = f"{many}{column.title}, {int(sizes[-1]):,} {about.unit} to {int(sizes[0]):,}"
                rows.append(_goal(what, ratio, f"at most {column.goal:g}", ratio <= column.goal))
        if name == "shared":
            speed_up = median(_values(rounds[sizes[-1]], "speed_up"))
            what = f"speed-up of a shared task on {sizes[-1]} nodes"
            rows.append(_goal(what, speed_up, f"at least {SPEED_UP:g}", speed_up >= SPEED_UP))
    return "\n".join(rows) + "\n"


def _goal(what: str, found: float, goal: str, reached: bool) -> str:
    return f"| {what} | {found:.2f} | {goal} | {'yes' if reached else '**no**'} |"


def draw(path: Path, measured: dict[str, Rounds]) -> None:
    """The columns that have a goal, beside the smallest size, for each section that has some."""
    shown = {name: rounds for name, rounds in measured.items() if any(c.goal for c in SECTIONS[name].columns)}
    figure = Figure(figsize=(4.6 * max(1, len(shown)), 3.6), layout="constrained")
    FigureCanvasAgg(figure)
    for axis, (name, rounds) in zip(
        figure.subplots(1, max(1, len(shown)), squeeze=False)[0], shown.items(), strict=False
    ):
        about, sizes = SECTIONS[name], list(rounds)
        for column in (column for column in about.columns if column.goal is not None):
            ratios = [_ratio(column, rounds[size], rounds[sizes[0]]) or float("nan") for size in sizes]
            many = "many at once: " if column.key.startswith("many") else ""
            axis.plot([int(size) for size in sizes], ratios, marker="o", label=many + column.title)
            axis.axhline(column.goal, color="#9aa5b1", linestyle="--", linewidth=1)
        axis.set(xscale="log", ylim=(0, None), title=about.title, xlabel=about.unit, ylabel="beside the smallest size")
        axis.grid(alpha=0.3)
        axis.legend(fontsize="small")
    figure.savefig(path, dpi=110)
