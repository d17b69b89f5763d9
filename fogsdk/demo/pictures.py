"""The demo's pictures: what the fog computed, as PNG files.

They are drawn with matplotlib's Agg canvas and its figure objects alone, which leaves the caller's own use of
matplotlib untouched. Every function takes a path or a binary file to write to.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from itertools import cycle
from typing import IO, Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.collections import LineCollection
from matplotlib.colors import LinearSegmentedColormap, Normalize, to_rgb
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.lines import Line2D
from matplotlib.patheffects import withStroke
from matplotlib.ticker import FuncFormatter, MultipleLocator
from numpy.typing import NDArray

from fogsdk.demo.elevation import ATTRIBUTION, Cell, Elevation
from fogsdk.demo.terrain import Mask

Target = str | os.PathLike[str] | IO[bytes]
Image = NDArray[np.float64]

DPI = 150

_INK, _FAINT, _PAPER = "#22262b", "#6a727b", "#fbfaf7"
# Okabe and Ito's colours, which people with colour-blindness can tell apart; the lightest last.
_COLOURS = ("#D55E00", "#0072B2", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#F0E442")
_LAND = LinearSegmentedColormap.from_list("land", ["#7fa87a", "#b9c48a", "#e3d7a3", "#cfae7c", "#a9866a", "#f3f0ec"])
_STEEP = LinearSegmentedColormap.from_list("steep", ["#ffe08a", "#f58b3c", "#c3263f", "#5c0f4f"])
_HALO = withStroke(linewidth=3, foreground="white")


def hillshade_picture(
    target: Target,
    ground: Elevation,
    shade: Mask,
    track: NDArray[np.float64],
    slopes: Sequence[float],
    observers: Sequence[Cell],
) -> None:
    """Draw the shaded relief with the walk and the observers on it, and the profile of the walk below.

    ``shade`` is the result of the hillshade task, ``track`` the positions (row, column) of the walk,
    ``slopes`` the slope in degrees at each of them, as the point task found it.
    """
    figure, (above, below) = _figure(9.4, 11.8, heights=(1.0, 0.2))
    _map(above, ground, _relief(ground, shade))
    heights = f"elevations from {ground.metres.min()} m (green) to {ground.metres.max()} m (white)"
    _title(above, "A walk over the Jacksboro fault", f"Hillshade by Horn's method; {heights}")
    steepness = Normalize(0, max(30.0, float(np.max(slopes))))
    longitude, latitude = _places(ground, track)
    line = np.column_stack([longitude, latitude])
    above.plot(longitude, latitude, color="white", linewidth=5, solid_capstyle="round", alpha=0.9)
    above.add_collection(_coloured(line, slopes, steepness, linewidth=2.8))
    for number, cell in enumerate(observers, start=1):
        _summit(above, ground, cell, number, _INK)
    coloured = _profile(below, ground, track, slopes, steepness)
    bar = figure.colorbar(coloured, ax=below, pad=0.01, aspect=9)
    bar.set_label("slope in degrees", color=_FAINT)
    bar.ax.tick_params(length=0, labelsize=9, colors=_FAINT)
    bar.outline.set_visible(False)
    key = Line2D([], [], marker="^", color=_INK, linestyle="", markersize=9, label="an observer on a summit")
    walk = Line2D([], [], color="#f58b3c", linewidth=3, label=f"a walk of {len(track)} points, coloured by slope")
    _legend(above, [walk, key], columns=2)
    _save_map(figure, target)


def viewsheds_picture(
    target: Target, ground: Elevation, shade: Mask, observers: Sequence[Cell], masks: Sequence[Mask]
) -> None:
    """Draw what each observer sees over the shaded relief: one colour each, mixed where several see a place.

    ``masks`` are the results of the viewshed task, in the order of the observers.
    """
    figure, (axes,) = _figure(9.4, 10.4, heights=(1.0,))
    grey = np.repeat(0.35 + 0.65 * (shade / 255.0)[:, :, None], 3, axis=2)
    colours = [colour for colour, _ in zip(cycle(_COLOURS), observers, strict=False)]
    _map(axes, ground, _tinted(grey, masks, colours))
    together = np.any(np.array(masks) != 0, axis=0).mean()
    subtitle = f"Together {together:.0%} of the model; colours mix where several see a place"
    _title(axes, f"What {len(observers)} observers see", subtitle)
    entries = []
    for number, (cell, mask, colour) in enumerate(zip(observers, masks, colours, strict=True), start=1):
        _summit(axes, ground, cell, number, colour)
        area = np.count_nonzero(mask) * ground.dx * ground.dy / 1e6
        label = f"{number}   {ground.metres[cell]} m, sees {area:.0f} km²"
        entries.append(Line2D([], [], marker="s", color=colour, linestyle="", markersize=11, label=label))
    _legend(axes, entries, columns=3)
    _save_map(figure, target)


def latency_picture(target: Target, latencies: Mapping[str, Sequence[float]]) -> None:
    """Draw, for each class of task, the share of results that were back within a time.

    ``latencies`` holds the milliseconds from submission to result, by the name of the class.
    """
    figure, (axes,) = _figure(10.0, 5.6, heights=(1.0,))
    lines: list[Line2D] = []
    for colour, (name, measured) in zip(cycle(_COLOURS), latencies.items(), strict=False):
        times = np.sort(np.asarray(measured, dtype=np.float64))
        part = np.arange(1, len(times) + 1) / len(times)
        middle, late = np.percentile(times, (50, 95), method="inverted_cdf")
        label = f"{name}   {len(times)} results, half within {_duration(middle)}, 95% within {_duration(late)}"
        steps = np.insert(times, 0, times[0]), np.insert(part, 0, 0.0)
        lines += axes.step(*steps, where="post", color=colour, linewidth=2.4, label=label)
        axes.plot([middle, late], [0.5, 0.95], "o", color=colour, markersize=7, markeredgecolor="white")
    _title(axes, "From submission to result", "How many results were back within a time, by class of task")
    axes.set_xscale("log")
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: _duration(value)))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:.0%}"))
    axes.set_ylim(0, 1.02)
    axes.grid(color="#e2dfd8")
    _plain(axes)
    _legend(axes, lines, columns=1)
    figure.savefig(target, format="png", dpi=DPI)


def _figure(width: float, height: float, heights: Sequence[float]) -> tuple[Figure, list[Axes]]:
    layout = ConstrainedLayoutEngine(w_pad=0.18, h_pad=0.14)
    figure = Figure(figsize=(width, height), facecolor=_PAPER, layout=layout)
    FigureCanvasAgg(figure)
    return figure, list(figure.subplots(len(heights), 1, squeeze=False, height_ratios=list(heights))[:, 0])


def _save_map(figure: Figure, target: Target) -> None:
    figure.supxlabel(ATTRIBUTION, x=0.99, ha="right", fontsize=8, color=_FAINT)
    figure.savefig(target, format="png", dpi=DPI)


def _relief(ground: Elevation, shade: Mask) -> Image:
    """Elevation as colour, lit by the shade."""
    low, high = np.percentile(ground.metres, (1, 99.8))
    tint = _LAND(Normalize(low, high)(ground.metres))[:, :, :3]
    lit: Image = np.clip(tint * (0.42 + 0.78 * shade[:, :, None] / 255.0), 0.0, 1.0)
    return lit


def _tinted(grey: Image, masks: Sequence[Mask], colours: Sequence[str]) -> Image:
    """Lay the mean colour of all who see a cell over the relief; what nobody sees stays grey."""
    weights = np.array(masks, dtype=np.float64)
    seen_by = weights.sum(axis=0)[:, :, None]
    mean = np.tensordot(weights, np.array([to_rgb(colour) for colour in colours]), axes=(0, 0)) / np.maximum(seen_by, 1)
    tinted: Image = np.where(seen_by > 0, grey * (0.25 + 0.75 * mean) * 0.45 + mean * 0.5, grey)
    return tinted


def _map(axes: Axes, ground: Elevation, image: Image) -> None:
    extent = (ground.west, ground.east, ground.south, ground.north)
    rows, columns = ground.metres.shape
    per_degree = (
        ground.dx * columns / (ground.east - ground.west),
        ground.dy * rows / (ground.north - ground.south),
    )
    axes.imshow(image, extent=extent, aspect=per_degree[1] / per_degree[0], interpolation="bilinear")
    axes.xaxis.set_major_locator(MultipleLocator(0.1))
    axes.yaxis.set_major_locator(MultipleLocator(0.1))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda degrees, _: f"{abs(degrees):.1f}° W"))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda degrees, _: f"{degrees:.1f}° N"))
    _plain(axes)
    _scale(axes, ground, per_degree[0])


def _scale(axes: Axes, ground: Elevation, metres_per_degree: float, kilometres: int = 5) -> None:
    """A bar of so many kilometres in the lower right corner, and an arrow to the north over it."""
    width = kilometres * 1000 / metres_per_degree / (ground.east - ground.west)
    place: dict[str, Any] = {"transform": axes.transAxes, "color": _INK, "path_effects": [_HALO]}
    axes.plot([0.97 - width, 0.97], [0.035, 0.035], linewidth=3, solid_capstyle="butt", **place)
    axes.text(0.97 - width / 2, 0.045, f"{kilometres} km", ha="center", va="bottom", fontsize=10, **place)
    axes.text(0.955, 0.11, "N\n", ha="center", va="center", fontsize=12, weight="bold", **place)
    arrow = {"arrowstyle": "-|>", "color": _INK, "linewidth": 2}
    axes.annotate("", (0.955, 0.115), (0.955, 0.08), xycoords="axes fraction", arrowprops=arrow)


def _summit(axes: Axes, ground: Elevation, cell: Cell, number: int, colour: str) -> None:
    latitude, longitude = ground.place(*cell)
    axes.plot(
        longitude,
        latitude,
        "^",
        color=colour,
        markersize=12,
        markeredgecolor="white",
        markeredgewidth=1.6,
        zorder=5,
    )
    # The label keeps away from the nearer side of the map.
    left = longitude > (ground.west + ground.east) / 2
    axes.annotate(
        f"{number}  {ground.metres[cell]} m",
        (longitude, latitude),
        xytext=(-11 if left else 11, 0),
        textcoords="offset points",
        ha="right" if left else "left",
        va="center",
        fontsize=10,
        weight="bold",
        color=_INK,
        path_effects=[_HALO],
        zorder=6,
    )


def _profile(
    axes: Axes, ground: Elevation, track: NDArray[np.float64], slopes: Sequence[float], steepness: Normalize
) -> LineCollection:
    """The elevations along the walk, coloured by slope."""
    steps = np.diff(track, axis=0) * (ground.dy, ground.dx)
    walked = np.concatenate([[0.0], np.cumsum(np.hypot(steps[:, 0], steps[:, 1]))]) / 1000
    rows, columns = np.rint(track).astype(int).T
    heights = ground.metres[rows, columns].astype(np.float64)
    line = np.column_stack([walked, heights])
    axes.fill_between(walked, heights, heights.min() - 60, color="#d9d4c7", linewidth=0)
    coloured = _coloured(line, slopes, steepness, linewidth=2.2)
    axes.add_collection(coloured)
    axes.set_xlim(0, walked[-1])
    axes.set_ylim(heights.min() - 60, heights.max() + 60)
    axes.set_xlabel(f"distance walked: {walked[-1]:.1f} km", color=_FAINT)
    axes.set_ylabel("elevation in metres", color=_FAINT)
    _plain(axes)
    return coloured


def _coloured(line: NDArray[np.float64], values: Sequence[float], norm: Normalize, linewidth: float) -> LineCollection:
    """A line whose pieces have the colours of the values at their beginnings."""
    pieces = np.stack([line[:-1], line[1:]], axis=1)
    collection = LineCollection(list(pieces), cmap=_STEEP, norm=norm, linewidth=linewidth, capstyle="round", zorder=4)
    collection.set_array(np.asarray(values, dtype=np.float64)[:-1])
    return collection


def _places(ground: Elevation, track: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    latitude, longitude = np.array([ground.place(row, column) for row, column in track]).T
    return longitude, latitude


def _title(axes: Axes, title: str, subtitle: str) -> None:
    axes.set_title(subtitle, loc="left", fontsize=10.5, color=_FAINT, pad=8)
    axes.annotate(
        title,
        (0, 1),
        xytext=(0, 26),
        xycoords="axes fraction",
        textcoords="offset points",
        fontsize=17,
        weight="bold",
        color=_INK,
    )


def _legend(axes: Axes, entries: Sequence[Line2D], columns: int) -> None:
    """Under the axes, where it hides nothing."""
    axes.legend(
        handles=list(entries),
        loc="upper left",
        bbox_to_anchor=(-0.01, -0.035),
        ncols=columns,
        frameon=False,
        fontsize=10,
        labelcolor=_INK,
    )


def _plain(axes: Axes) -> None:
    for spine in axes.spines.values():
        spine.set_visible(False)
    axes.tick_params(which="both", length=0, labelsize=9, colors=_FAINT)


def _duration(milliseconds: float) -> str:
    """Milliseconds with two digits that count, in the unit that people would use."""
    value, unit = (milliseconds / 1000, "s") if milliseconds >= 1000 else (milliseconds, "ms")
    return f"{float(f'{value:.2g}'):g} {unit}"
