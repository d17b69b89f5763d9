"""Pictures of a run: how long answers took and how many there were, over time, with its faults shaded."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine

from fogsdk.sim.agenda import MILLISECOND, SECOND
from fogsdk.sim.series import percentile
from fogsdk.sim.storm import Episode
from fogsdk.sim.world import World

MOST_ZOOMS = 40
"""Pictures of single faults at the most: the first of each kind, then the others in their order."""
AROUND = 10 * SECOND
"""Microseconds shown before and after a fault."""
DPI = 110

_BINS, _IN_A_BIN = 200, 30  # moments in a picture, and answers in each, at the least
_INSTANT = 50 * MILLISECOND  # a fault that takes no time is drawn as if it took this
_INK, _FAINT, _PAPER, _SHADE = "#2b2b2b", "#77736a", "#fbfaf7", "#b0562b"
_SHARES = (("p50", 0.50, "#2a7f9e"), ("p95", 0.95, "#e0a030"), ("p99", 0.99, "#b03a5b"))

Answer = tuple[int, int]
"""When a task was answered, and when it was handed in."""


def draw(world: World, folder: Path) -> list[Path]:
    """Draw a run that has ended into a folder, which is made: the whole of it, and a picture around each fault."""
    folder.mkdir(parents=True, exist_ok=True)
    answers = sorted((record.settled, record.at) for record in world.oracle.records.values() if record.outcome)
    episodes = world.storm.episodes
    whole = folder / "run.png"
    _picture(whole, "The whole run", answers, episodes, episodes, 0, world.work_ends)
    drawn = [whole]
    for number in _zoomed(episodes):
        episode = episodes[number]
        begin, end = max(0, episode.begin - AROUND), episode.end + AROUND
        near = [other for other in episodes if other.end > begin and other.begin < end]
        drawn.append(folder / f"fault-{number + 1:03}-{episode.kind}.png")
        _picture(drawn[-1], _title(episode), answers, near, [episode], begin, end)
    return drawn


def _title(episode: Episode) -> str:
    first, more = episode.targets[0], len(episode.targets) - 1
    return f"{episode.kind}: {first} and {more} more" if more > 1 else f"{episode.kind}: {', '.join(episode.targets)}"


def _zoomed(episodes: Sequence[Episode]) -> list[int]:
    firsts = {episode.kind: number for number, episode in reversed(list(enumerate(episodes)))}
    order = dict.fromkeys([*sorted(firsts.values()), *range(len(episodes))])
    return sorted(list(order)[:MOST_ZOOMS])


def _picture(
    path: Path,
    title: str,
    answers: Sequence[Answer],
    episodes: Sequence[Episode],
    shaded: Sequence[Episode],
    begin: int,
    end: int,
) -> None:
    """Latency above, throughput below it, and under both a row for each kind of fault. ``shaded`` are the faults that
    the picture is about."""
    kinds = list(dict.fromkeys(episode.kind for episode in episodes))
    rows = 0.35 + 0.13 * len(kinds)
    layout = ConstrainedLayoutEngine(w_pad=0.16, h_pad=0.08)
    figure = Figure(figsize=(11.0, 5.6 + rows), facecolor=_PAPER, layout=layout)
    FigureCanvasAgg(figure)
    latency, count, faults = figure.subplots(3, 1, sharex=True, height_ratios=[3.2, 1.6, rows])
    inside = answers[bisect_left(answers, (begin, 0)) : bisect_left(answers, (end, 0))]
    width = max((end - begin) // _BINS, _IN_A_BIN * (end - begin) // max(len(inside), 1), 50 * MILLISECOND)
    bins: list[list[float]] = [[] for _ in range(-(-(end - begin) // width))]
    for settled, at in inside:
        bins[(settled - begin) // width].append((settled - at) / MILLISECOND)
    times = [(begin + (index + 0.5) * width) / SECOND for index in range(len(bins))]
    _latencies(latency, times, bins)
    count.step(times, [len(each) * SECOND / width for each in bins], where="mid", color=_INK, linewidth=1.2)
    count.set_ylabel("answers a second", color=_FAINT)
    count.set_ylim(bottom=0)
    for low, high in _together(shaded):
        latency.axvspan(low, high, color=_SHADE, alpha=0.13, linewidth=0)
        count.axvspan(low, high, color=_SHADE, alpha=0.13, linewidth=0)
    _rows(faults, kinds, episodes)
    faults.set_xlabel("seconds", color=_FAINT)
    faults.set_xlim(begin / SECOND, end / SECOND)
    latency.set_title(title, loc="left", fontsize=15, weight="bold", color=_INK)
    for axes in (latency, count, faults):
        _plain(axes)
    figure.savefig(path, format="png", dpi=DPI)


def _latencies(axes: Axes, times: Sequence[float], bins: Sequence[Sequence[float]]) -> None:
    """Percentiles of the answers of each moment; where there were none, there is a gap."""
    ordered = [sorted(each) for each in bins]
    for name, share, colour in _SHARES:
        values = [percentile(each, share) or float("nan") for each in ordered]
        axes.plot(times, values, color=colour, linewidth=1.5, label=name)
    axes.set_yscale("log")
    axes.set_ylabel("milliseconds to the answer", color=_FAINT)
    axes.grid(color="#e2dfd8")
    axes.legend(loc="upper right", ncols=3, frameon=False, fontsize=9, labelcolor=_INK)


def _together(episodes: Sequence[Episode]) -> list[tuple[float, float]]:
    """The times, in seconds, at which any of these was on."""
    spans: list[tuple[float, float]] = []
    for episode in sorted(episodes, key=lambda each: each.begin):
        low, high = episode.begin / SECOND, max(episode.end, episode.begin + _INSTANT) / SECOND
        if spans and low <= spans[-1][1]:
            spans[-1] = (spans[-1][0], max(high, spans[-1][1]))
        else:
            spans.append((low, high))
    return spans


def _rows(axes: Axes, kinds: Sequence[str], episodes: Sequence[Episode]) -> None:
    for row, kind in enumerate(kinds):
        own = [episode for episode in episodes if episode.kind == kind]
        bars = [(each.begin / SECOND, max(each.end - each.begin, _INSTANT) / SECOND) for each in own]
        axes.broken_barh(bars, (row - 0.35, 0.7), color=_SHADE, alpha=0.55, linewidth=0)
    axes.set_yticks(range(len(kinds)), kinds)
    axes.set_ylim(len(kinds) - 0.4, -0.6)


def _plain(axes: Axes) -> None:
    for spine in axes.spines.values():
        spine.set_visible(False)
    axes.tick_params(which="both", length=0, labelsize=9, colors=_FAINT)
