"""What benchmarks/antifragile.py found, as a page and as a plot."""

from __future__ import annotations

import argparse
import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from benchmarks.machine import machine, today


class Answer(NamedTuple):
    """One user's task: when it was handed in, how long it took (both in seconds), whether the user learns, and
    who did what for it."""

    at: float
    took: float
    learns: bool
    nodes: tuple[str, ...]
    hedged: bool


class Window(NamedTuple):
    """What users saw during one fault."""

    victim: str
    begin: float
    killed: float
    end: float
    answers: list[Answer]

    def of(self, learns: bool) -> list[Answer]:
        """The answers to those who learn, or to the others."""
        return [answer for answer in self.answers if answer.learns == learns]

    def p99(self, learns: bool = True) -> float:
        """The 99th percentile of how long they waited, in seconds."""
        return percentile([answer.took for answer in self.of(learns)], 99)


def percentile(values: Sequence[float], percent: int) -> float:
    """The percentile of the nearest rank."""
    return sorted(values)[-(-len(values) * percent // 100) - 1]


HEAD = """# A fault that comes again

Three nodes, {users} users who hand in a light task every {every:g} s each, and a fault that comes once in {period:g} s:
one node answers 300 ms late for {slow:g} s, is killed, and is started again {dead:g} s later. Each user has a
connection of their own and learns alone. All times are in milliseconds, from handing a task in to its result. In the
last two columns are {users} other users, at the same time, who learn mean times alone: nothing from faults or from the
spread of latencies, and no task of theirs is hedged.

![How long each task took; the faults are shaded](antifragile.png)

| fault | tasks | median | p99 | worst | answered by that node | hedged | means alone: p99 | answered by that node |
|---|---|---|---|---|---|---|---|---|"""

TAIL = """
The p99 of users during the last fault is {ratio:.0%} of that during the first; the goal is 50 % at most. With means
alone it is {control:.0%}.

With no fault at all, {count} tasks with learning and as many without, in turns of {turn}: the medians are {learned:.3f}
and {plain:.3f}, a ratio of {cost:.3f}. The goal is 3 % at most.

Made on {day} by `python -m benchmarks.antifragile --period {period:g} --repeats {repeats}` ({machine}).
"""


def page(args: argparse.Namespace, windows: Sequence[Window], learned: Sequence[float], plain: Sequence[float]) -> str:
    """The page that the numbers are published on."""
    period = args.period
    head = HEAD.format(users=args.users, every=period / 30, period=period, slow=period / 3, dead=period / 6)
    tail = TAIL.format(
        ratio=windows[-1].p99() / windows[0].p99(),
        control=windows[-1].p99(False) / windows[0].p99(False),
        count=len(learned),
        turn=len(learned) // args.rounds,
        learned=1000 * statistics.median(learned),
        plain=1000 * statistics.median(plain),
        cost=statistics.median(learned) / statistics.median(plain),
        day=today(),
        period=period,
        repeats=args.repeats,
        machine=machine(),
    )
    return "\n".join([head, *(row(number, window) for number, window in enumerate(windows, start=1)), tail])


def row(number: int, window: Window) -> str:
    """One row of the table."""
    answers = window.of(True)
    times = [answer.took for answer in answers]
    there, there_too = (
        sum(answer.nodes[:1] == (window.victim,) for answer in window.of(learns)) for learns in (True, False)
    )
    hedged = sum(answer.hedged for answer in answers)
    milliseconds = [f"{1000 * value:.1f}" for value in (statistics.median(times), window.p99(), max(times))]
    control = f"{1000 * window.p99(False):.1f}"
    return f"| {' | '.join(map(str, [number, len(times), *milliseconds, there, hedged, control, there_too]))} |"


def plot(target: Path, answers: Sequence[Answer], windows: Sequence[Window]) -> None:
    """Draw how long every task of those who learn took, and the p99 of each fault."""
    answers = [answer for answer in answers if answer.learns]
    figure = Figure(figsize=(10, 4), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    start = min(answer.at for answer in answers)
    axes.scatter(
        [answer.at - start for answer in answers],
        [1000 * answer.took for answer in answers],
        s=2,
        color="#0072B2",
        alpha=0.4,
        linewidths=0,
        label="one task",
    )
    for number, window in enumerate(windows):
        begin, killed, end = (moment - start for moment in (window.begin, window.killed, window.end))
        hidden = "_" if number else ""  # the legend names each once
        axes.axvspan(begin, killed, color="#E69F00", alpha=0.25, linewidth=0, label=f"{hidden}a node answers late")
        axes.axvspan(killed, end, color="#D55E00", alpha=0.35, linewidth=0, label=f"{hidden}it is dead")
        axes.hlines(1000 * window.p99(), begin, end, color="#22262b", linewidth=2, label=f"{hidden}p99 of the fault")
    axes.set_yscale("log")
    axes.set_xlabel("seconds")
    axes.set_ylabel("milliseconds until the result")
    axes.set_title("The same fault, again and again", loc="left")
    axes.legend(loc="upper right", ncols=4, fontsize=8, frameon=False)
    axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(target, dpi=120)
