"""The demo's ground: a real elevation model, a walk over it, and the summits to look around from.

Needs matplotlib for the model alone, which it ships as sample data: 344 x 403 cells of 3 arc seconds around
Jacksboro, Tennessee, an extract of the elevations that the Shuttle Radar Topography Mission measured.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fogsdk.demo.terrain import EARTH_RADIUS

Floats = NDArray[np.float64]
Cell = tuple[int, int]

ATTRIBUTION = "Elevation: Shuttle Radar Topography Mission (NASA), 3″ extract shipped with Matplotlib"

_WALKERS_GRID = 100  # cells along the shorter side of the grid that a walk is planned on


@dataclass(frozen=True, eq=False)
class Elevation:
    """An elevation model and where on the earth it lies.

    ``metres`` are the elevations, row 0 in the north and column 0 in the west; ``dx`` and ``dy`` the size of
    a cell in metres; ``west``, ``east``, ``south``, ``north`` the outer edges in degrees.
    """

    metres: NDArray[np.int16]
    dx: float
    dy: float
    west: float
    east: float
    south: float
    north: float

    def place(self, row: float, column: float) -> tuple[float, float]:
        """Return the (latitude, longitude) of a cell's centre, or of a point between centres, in degrees."""
        rows, columns = self.metres.shape
        latitude = self.north - (row + 0.5) * (self.north - self.south) / rows
        return latitude, self.west + (column + 0.5) * (self.east - self.west) / columns


def load() -> Elevation:
    """Return the model around Jacksboro. Raises ModuleNotFoundError without matplotlib."""
    from matplotlib.cbook import get_sample_data

    sample: Any = get_sample_data("jacksboro_fault_dem.npz")
    with sample:
        metres = sample["elevation"]
        west, north, step_x, step_y = (float(sample[name]) for name in ("xmin", "ymax", "dx", "dy"))
    rows, columns = metres.shape
    # The file's ymin lies as far north of ymax as it should lie south of it. With the northern edge at ymax,
    # Jacksboro and the summit of Cross Mountain are where they are on maps.
    south = north - rows * step_y
    degree = math.radians(1) * EARTH_RADIUS
    dx = step_x * degree * math.cos(math.radians((north + south) / 2))
    return Elevation(metres, dx, step_y * degree, west, west + columns * step_x, south, north)


def window(dem: NDArray[Any], row: float, column: float) -> Floats:
    """Return the 3 x 3 elevations around a position, interpolated between cells: what the point task takes.

    A position so near the edge that the window would reach beyond it is moved inwards.
    """
    rows, columns = dem.shape
    row, column = min(max(row, 1.0), rows - 2.0), min(max(column, 1.0), columns - 2.0)
    top, left = int(row) - 1, int(column) - 1
    down, right = row % 1, column % 1
    # At the far edge the fourth row or column is missing; its weight is 0.
    cells = np.pad(dem[top : top + 4, left : left + 4].astype(np.float64), ((0, 1), (0, 1)), mode="edge")
    across = cells[:, :3] * (1 - right) + cells[:, 1:4] * right
    middle: Floats = across[:3] * (1 - down) + across[1:4] * down
    return middle


def walked_track(dem: NDArray[Any], dx: float, dy: float, points: int = 1000) -> Floats:
    """Return a walk over the model: ``points`` positions (row, column), equally far apart on the map.

    It enters where the western edge is lowest, climbs the highest summit and leaves where the eastern edge
    is lowest. Both legs are the quickest for a walker by Tobler's hiking function (W. Tobler, "Three
    presentations on geographical analysis and modeling", 1993). The same model gives the same walk.
    """
    stride = max(1, min(dem.shape) // _WALKERS_GRID)
    grid = dem[::stride, ::stride].astype(np.float64)
    enter, leave = (int(grid[:, 0].argmin()), 0), (int(grid[:, -1].argmin()), grid.shape[1] - 1)
    top = np.unravel_index(dem.argmax(), dem.shape)
    nearby = (int(top[0]) // stride, int(top[1]) // stride)
    size = (dx * stride, dy * stride)
    ascent, descent = _quickest(grid, size, enter, nearby), _quickest(grid, size, nearby, leave)
    up = _smooth(np.vstack([np.array(ascent) * stride, top]))
    down = _smooth(np.vstack([top, np.array(descent) * stride]))
    return _evenly(np.vstack([up, down[1:]]), dx, dy, points)


def observers(dem: NDArray[Any], count: int) -> list[Cell]:
    """Return the cells (row, column) of ``count`` summits, the highest first, spread over the model.

    Raises ValueError for a model that has not as many.
    """
    summits = sorted(_summits(dem), key=lambda cell: (-dem[cell], cell))
    apart = 0.8 * math.sqrt(dem.size / max(count, 1))
    while apart >= 1:
        chosen: list[Cell] = []
        for summit in summits:
            if len(chosen) < count and all(math.dist(summit, other) >= apart for other in chosen):
                chosen.append(summit)
        if len(chosen) == count:
            return chosen
        apart *= 0.9
    raise ValueError(f"the model has {len(summits)} summits, fewer than the {count} asked for")


def _summits(dem: NDArray[Any], radius: int = 3) -> list[Cell]:
    """Cells that no other cell within ``radius`` rows and columns overtops, off the edge."""
    side = 2 * radius + 1
    if min(dem.shape) < side:
        return []
    around = np.lib.stride_tricks.sliding_window_view(dem, (side, side)).max(axis=(2, 3))
    found = np.argwhere(dem[radius:-radius, radius:-radius] == around) + radius
    return [(int(row), int(column)) for row, column in found]


def _quickest(grid: Floats, size: tuple[float, float], start: Cell, goal: Cell) -> list[Cell]:
    """Dijkstra's shortest path by walking time, from cell to any of its eight neighbours."""
    heights = grid.tolist()
    best, came, heap = {start: 0.0}, {start: start}, [(0.0, start)]
    while heap:
        spent, cell = heapq.heappop(heap)
        if cell == goal:
            break
        if spent > best[cell]:
            continue  # reached quicker by now
        for step, distance in _neighbours(cell, grid.shape, size):
            rise = heights[step[0]][step[1]] - heights[cell[0]][cell[1]]
            arrival = spent + distance * math.exp(3.5 * abs(rise / distance + 0.05))
            if arrival < best.get(step, math.inf):
                best[step], came[step] = arrival, cell
                heapq.heappush(heap, (arrival, step))
    path = [goal]
    while path[-1] != start:
        path.append(came[path[-1]])
    return path[::-1]


def _neighbours(cell: Cell, shape: tuple[int, ...], size: tuple[float, float]) -> Iterator[tuple[Cell, float]]:
    for down in (-1, 0, 1):
        for right in (-1, 0, 1):
            row, column = cell[0] + down, cell[1] + right
            if (down or right) and 0 <= row < shape[0] and 0 <= column < shape[1]:
                yield (row, column), math.hypot(right * size[0], down * size[1])


def _smooth(path: Floats, reach: int = 2) -> Floats:
    """Round the corners of a path: the mean of each point and its neighbours; the ends stay."""
    padded = np.pad(path, ((reach, reach), (0, 0)), mode="reflect", reflect_type="odd")
    mean: Floats = np.lib.stride_tricks.sliding_window_view(padded, 2 * reach + 1, axis=0).mean(axis=2)
    return mean


def _evenly(path: Floats, dx: float, dy: float, points: int) -> Floats:
    """Resample a path to points that are equally far apart."""
    steps = np.diff(path, axis=0) * (dy, dx)
    walked = np.concatenate([[0.0], np.cumsum(np.hypot(steps[:, 0], steps[:, 1]))])
    at = np.linspace(0.0, walked[-1], points)
    return np.column_stack([np.interp(at, walked, path[:, axis]) for axis in (0, 1)])
