"""The demo's tasks: terrain analysis, one task of each weight.

=========  ========================================================  ========================================
light      :func:`point`: the slope and aspect under a walker        nine numbers in, three out
middle     :func:`hillshade`: the shaded relief of a whole model     split into bands, merged bit for bit
heavy      :func:`viewshed`: all that an observer can see            seconds of one core, reports its progress
=========  ========================================================  ========================================

A model is a two-dimensional array of elevations in metres: row 0 in the north, column 0 in the west, cells
``dx`` metres wide (west to east) and ``dy`` metres high (north to south). A node that serves these tasks
needs numpy.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fogsdk.tasks import progress, task

Floats = NDArray[np.float64]
Mask = NDArray[np.uint8]

EARTH_RADIUS = 6_371_008.8
"""Mean radius of the earth in metres (IUGG)."""

REFRACTION = 0.13
"""Gauss's coefficient: light bends along with 13 % of the earth's curvature."""

_RINGS_PER_REPORT = 8  # some fifty progress reports for a viewshed of the demo's model


@task(weight="light")
def point(window: ArrayLike, dx: float, dy: float) -> dict[str, float | None]:
    """Elevation, slope and aspect in the middle of a window of 3 x 3 elevations.

    ``window`` holds nine elevations in metres, row by row from the north-west, nested or flat. Returns
    ``elevation`` (metres), ``slope`` (degrees) and ``aspect``, the direction that the slope faces (degrees
    clockwise from north; None on level ground). Raises ValueError for anything but nine finite numbers.

    Source: B. K. P. Horn, "Hill shading and the reflectance map", Proceedings of the IEEE 69 (1), 1981.
    """
    cells = np.asarray(window, dtype=np.float64)
    if cells.size != 9:
        raise ValueError(f"window must hold 3 x 3 elevations, not {cells.size}")
    cells = _model(cells.reshape(3, 3), dx, dy)
    east, north = (float(gradient[0, 0]) for gradient in _horn(cells, dx, dy))
    steepness = math.hypot(east, north)
    return {
        "elevation": float(cells[1, 1]),
        "slope": math.degrees(math.atan(steepness)),
        "aspect": math.degrees(math.atan2(-east, -north)) % 360 if steepness else None,
    }


def bands(
    shares: Sequence[float],
    dem: ArrayLike,
    dx: float,
    dy: float,
    azimuth: float = 315.0,
    altitude: float = 45.0,
    above: int = 0,
    below: int = 0,
) -> list[tuple[tuple[Any, ...], dict[str, Any]]]:
    """Split a :func:`hillshade` into bands of rows, as high as the shares say.

    Every band carries the row above it and the row below it, where there are any: Horn's method looks at all
    eight neighbours of a cell. Every share gets one row at least. Where there are more shares than rows,
    only as many bands as there are rows are returned, and the last shares get none.
    """
    cells = _model(dem, dx, dy, keep_type=True)
    first, rows = above, len(cells) - above - below
    count = min(len(shares), rows)
    spare = rows - count
    ends = first + np.arange(1, count + 1) + np.rint(spare * np.cumsum(shares)[:count]).astype(int)
    ends[-1] = first + rows
    parts = []
    for start, end in pairwise([first, *ends]):
        top, bottom = max(start - 1, 0), min(end + 1, len(cells))
        halo = {"above": int(start - top), "below": int(bottom - end)}
        parts.append(((cells[top:bottom], dx, dy), {"azimuth": azimuth, "altitude": altitude, **halo}))
    return parts


def stack(results: Sequence[Mask]) -> Mask:
    """Merge the shaded bands of :func:`bands`, in their order, into the whole relief."""
    return np.concatenate(results)


@task(weight="middle", split=bands, merge=stack)
def hillshade(
    dem: ArrayLike,
    dx: float,
    dy: float,
    azimuth: float = 315.0,
    altitude: float = 45.0,
    above: int = 0,
    below: int = 0,
) -> Mask:
    """Shaded relief of a model under a sun at ``azimuth`` (degrees from north) and ``altitude`` (degrees).

    ``above`` and ``below`` count rows at either end that are there only as neighbours and are left out of the
    result. Returns one byte per cell, from 0 (in shade) to 255 (facing the sun). What is done to each cell is
    addition, multiplication, division and square root alone, which IEEE 754 defines to the last bit, so that
    every split gives the same bytes.

    Source: B. K. P. Horn, "Hill shading and the reflectance map", Proceedings of the IEEE 69 (1), 1981.
    """
    cells = _model(dem, dx, dy)
    # Beyond the edge the ground goes on as it came: 2 * edge - inside.
    east, north = _horn(np.pad(cells, 1, mode="reflect", reflect_type="odd"), dx, dy)
    heading, height = math.radians(azimuth), math.radians(altitude)
    sun_east = math.sin(heading) * math.cos(height)
    sun_north = math.cos(heading) * math.cos(height)
    # The cosine of the angle between the sun and the ground's normal (-east, -north, 1).
    steepness = np.sqrt(1.0 + east * east + north * north)
    light = (math.sin(height) - sun_east * east - sun_north * north) / steepness
    shade = np.rint(255.0 * np.maximum(light, 0.0)).astype(np.uint8)
    return shade[above : len(shade) - below]


@task(weight="heavy", timeout=600, fallback="fog")
def viewshed(
    dem: ArrayLike,
    dx: float,
    dy: float,
    observer: Sequence[int],
    height: float = 1.8,
    target: float = 0.0,
    curvature: bool = True,
) -> Mask:
    """Which cells of a model an observer sees.

    ``observer`` is a (row, column); the eye is ``height`` metres above the ground there, and looks for
    something ``target`` metres above the ground of each cell. ``curvature`` lowers what is far away by the
    earth's curvature, less the usual refraction of light. Returns 1 for cells in sight and 0 for others; the
    observer's own cell is in sight. Raises ValueError for an observer outside the model.

    The method is R3, the exact one: a line of sight from the eye to every single cell, held against the
    ground wherever the line crosses a row or a column of the grid, with the elevation there interpolated
    between the two cells beside it.

    Source: W. R. Franklin, C. K. Ray, "Higher isn't necessarily better: visibility algorithms and
    experiments", Advances in GIS Research: Sixth International Symposium on Spatial Data Handling, 1994.
    """
    cells = _model(dem, dx, dy)
    row, column = (int(index) for index in observer)
    if not (0 <= row < cells.shape[0] and 0 <= column < cells.shape[1]):
        raise ValueError(f"observer ({row}, {column}) is outside the model, whose shape is {cells.shape}")
    ground = cells - (cells[row, column] + height)
    bend = (1.0 - REFRACTION) / (2.0 * EARTH_RADIUS) if curvature else 0.0
    seen = np.zeros(cells.shape, dtype=np.uint8)
    seen[row, column] = 1
    octants = []
    for down in (slice(row, None), slice(row, None, -1)):
        for across in (slice(column, None), slice(column, None, -1)):
            ahead, out = ground[down, across], seen[down, across]
            octants.append(_Octant(ahead, out, dx, dy, target, bend))
            octants.append(_Octant(ahead.T, out.T, dy, dx, target, bend))
    last = max(octant.width for octant in octants) - 1
    for ring in range(1, last + 1):
        for octant in octants:
            if ring < octant.width:
                octant.look(ring)
        if ring % _RINGS_PER_REPORT == 0:
            progress((ring / last) ** 2)  # a ring has as many more cells as it is wider
    return seen


class _Octant:
    """An eighth of the view, turned so that the eye is at (0, 0) and looks at cells (d, n), 0 <= d <= n."""

    def __init__(self, ground: Floats, seen: Mask, dx: float, dy: float, target: float, bend: float) -> None:
        self._seen, self._dx, self._dy, self._target, self._bend = seen, dx, dy, target, bend
        self._height, self.width = ground.shape
        # One more row, so that the row after a crossing in the last row exists; its weight is 0.
        self._ground = np.pad(ground, ((0, 1), (0, 0)), mode="edge").ravel()
        # The rows that the lines to d = 2, 3, 4 ... cross: 1; 1, 2; 1, 2, 3; ... The same for each ring.
        targets = np.arange(2, min(self._height, self.width))
        self._ends = np.repeat(targets, targets - 1)
        self._starts = (targets - 2) * (targets - 1) // 2
        self._rows = np.arange(len(self._ends)) - np.repeat(self._starts, targets - 1) + 1
        self._row_parts = self._rows / self._ends

    def look(self, ring: int) -> None:
        """Decide for the cells of column ``ring``."""
        offsets = np.arange(min(ring + 1, self._height))
        # How far the earth's curvature has lowered each target.
        drop = self._bend * ((ring * self._dx) ** 2 + (offsets * self._dy) ** 2)
        horizon = np.full(len(offsets), -np.inf)
        if ring > 1:
            horizon = self._over_columns(ring, offsets, drop)
        if len(offsets) > 2:
            horizon[2:] = np.maximum(horizon[2:], self._over_rows(ring, drop))
        rise = self._ground[offsets * self.width + ring] + self._target - drop
        self._seen[: len(offsets), ring] = rise >= horizon

    # Both return, for each line of sight, how high above the eye its end has to be to clear the ground on
    # the way. At a part t of its length the earth has dropped by drop * t**2, and ground as high as h there
    # asks for (h - drop * t**2) / t at the end.

    def _over_columns(self, ring: int, offsets: NDArray[np.intp], drop: Floats) -> Floats:
        columns = np.arange(1, ring)
        rows = offsets[:, None] * columns / ring
        whole = rows.astype(np.intp)
        index = whole * self.width + columns
        height = self._between(index, index + self.width, rows - whole)
        part = columns / ring
        highest: Floats = (height / part - drop[:, None] * part).max(axis=1)
        return highest

    def _over_rows(self, ring: int, drop: Floats) -> Floats:
        count = len(drop) - 2
        crossings = count * (count + 1) // 2
        rows, part = self._rows[:crossings], self._row_parts[:crossings]
        columns = ring * rows / self._ends[:crossings]
        whole = columns.astype(np.intp)
        index = rows * self.width + whole
        height = self._between(index, index + 1, columns - whole)
        need = height / part - np.repeat(drop[2:], np.arange(1, count + 1)) * part
        highest: Floats = np.maximum.reduceat(need, self._starts[:count])
        return highest

    def _between(self, one: NDArray[np.intp], other: NDArray[np.intp], weight: Floats) -> Floats:
        from_one: Floats = self._ground.take(one)
        return from_one + weight * (self._ground.take(other) - from_one)


def _model(dem: ArrayLike, dx: float, dy: float, keep_type: bool = False) -> NDArray[Any]:
    """Return the model as an array of floats, or of its own type; ValueError where it is none."""
    cells = np.asarray(dem, dtype=None if keep_type else np.float64)
    if cells.ndim != 2 or cells.size == 0:
        raise ValueError(f"dem must be a two-dimensional array of elevations, not one of shape {cells.shape}")
    if not np.isfinite(cells).all():
        raise ValueError("dem holds elevations that are not finite; fill the gaps first")
    if not (dx > 0 and dy > 0):
        raise ValueError(f"dx and dy are the size of a cell in metres, above 0, not {dx} and {dy}")
    return cells


def _horn(cells: Floats, dx: float, dy: float) -> tuple[Floats, Floats]:
    """Rise per metre towards the east and the north of all cells but the outermost."""
    down = cells[:-2] + 2.0 * cells[1:-1] + cells[2:]
    across = cells[:, :-2] + 2.0 * cells[:, 1:-1] + cells[:, 2:]
    return (down[:, 2:] - down[:, :-2]) / (8.0 * dx), (across[:-2] - across[2:]) / (8.0 * dy)
