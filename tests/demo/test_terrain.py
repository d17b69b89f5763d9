"""The demo: its tasks compute what their methods say, however they are split; its pictures are pictures."""

from __future__ import annotations

import io
import itertools
import math
import struct
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

from fogsdk import tasks
from fogsdk.demo import elevation, pictures, terrain
from fogsdk.demo.terrain import bands, hillshade, point, stack, viewshed
from fogsdk.wire import values

Floats = NDArray[np.float64]

seeds = st.integers(0, 2**32 - 1)
shares_of_work = st.lists(st.floats(1e-9, 1.0), min_size=1, max_size=12).map(
    lambda weights: [weight / sum(weights) for weight in weights]
)


def rough(rows: int, columns: int, seed: int) -> Floats:
    return np.random.default_rng(seed).normal(300.0, 40.0, (rows, columns))


def plane(east: float, north: float, dx: float, dy: float, rows: int = 3, columns: int = 3) -> Floats:
    """A plane that rises by so many metres per metre towards the east and the north."""
    down, right = np.mgrid[:rows, :columns]
    level: Floats = 100.0 + east * dx * right - north * dy * down
    return level


@pytest.fixture(scope="module")
def ground() -> elevation.Elevation:
    return elevation.load()


# The light task.


@given(st.floats(-2, 2), st.floats(-2, 2), st.floats(1, 200), st.floats(1, 200))
def test_horn_finds_the_slope_and_aspect_of_any_plane(east: float, north: float, dx: float, dy: float) -> None:
    found = point(plane(east, north, dx, dy), dx, dy)
    steepness = math.hypot(east, north)
    assert found["elevation"] == pytest.approx(100.0 + east * dx - north * dy)
    assert found["slope"] == pytest.approx(math.degrees(math.atan(steepness)), abs=1e-6)
    if steepness > 1e-3:
        assert found["aspect"] is not None
        turned = math.radians(found["aspect"]) - math.atan2(-east, -north)
        assert math.cos(turned) == pytest.approx(1.0)


@pytest.mark.parametrize(
    ("east", "north", "aspect"),
    [(0, -1, 0), (-1, -1, 45), (-1, 0, 90), (0, 1, 180), (1, 0, 270), (1, -1, 315)],
)
def test_aspect_is_where_the_slope_faces_clockwise_from_north(east: int, north: int, aspect: int) -> None:
    assert point(plane(east, north, 30, 30), 30, 30)["aspect"] == pytest.approx(aspect)


def test_level_ground_has_no_aspect() -> None:
    assert point([5] * 9, 30, 30) == {"elevation": 5.0, "slope": 0.0, "aspect": None}


def test_horn_weighs_the_nearer_neighbours_twice() -> None:
    """Worked by hand: (c + 2f + i - a - 2d - g) / 8 dx."""
    found = point([1, 2, 4, 1, 2, 8, 1, 2, 16], 10, 1e9)
    assert found["slope"] == pytest.approx(math.degrees(math.atan((4 + 16 + 16 - 4) / 80)))


@pytest.mark.parametrize("window", [[1, 2, 3], [[1, 2], [3, 4]], [1.0] * 8 + [math.nan]])
def test_a_window_that_is_not_nine_finite_numbers_is_refused(window: list[float]) -> None:
    with pytest.raises(ValueError, match=r"window|finite"):
        point(window, 30, 30)


@pytest.mark.parametrize(("dx", "dy"), [(0, 30), (30, -1), (math.nan, 30)])
def test_cells_without_a_size_are_refused(dx: float, dy: float) -> None:
    with pytest.raises(ValueError, match="size of a cell"):
        point([1] * 9, dx, dy)


# The middle task.


@given(shares_of_work, st.integers(1, 30), st.integers(1, 9), seeds)
def test_the_merged_bands_are_the_whole_bit_for_bit(shares: list[float], rows: int, columns: int, seed: int) -> None:
    dem = rough(rows, columns, seed)
    parts = bands(shares, dem, 30.0, 40.0, azimuth=200.0, altitude=30.0)
    assert len(parts) == min(len(shares), rows)
    merged = stack([hillshade(*args, **kwargs) for args, kwargs in parts])
    np.testing.assert_array_equal(merged, hillshade(dem, 30.0, 40.0, azimuth=200.0, altitude=30.0))


@given(shares_of_work, shares_of_work, seeds)
def test_a_band_can_be_split_again(shares: list[float], again: list[float], seed: int) -> None:
    dem = rough(17, 5, seed)
    merged = []
    for args, kwargs in bands(shares, dem, 30.0, 40.0):
        merged.append(stack([hillshade(*a, **k) for a, k in bands(again, *args, **kwargs)]))
    np.testing.assert_array_equal(stack(merged), hillshade(dem, 30.0, 40.0))


def test_bands_are_as_high_as_the_shares_say_and_never_empty() -> None:
    parts = bands([0.5, 1e-12, 0.3, 0.2], np.zeros((100, 4)), 30.0, 30.0)
    heights = [len(args[0]) - kwargs["above"] - kwargs["below"] for args, kwargs in parts]
    assert heights == [49, 1, 30, 20]


def test_more_shares_than_rows_make_a_band_of_each_row() -> None:
    parts = bands([0.1] * 10, np.zeros((3, 4)), 30.0, 30.0)
    assert [kwargs["above"] + kwargs["below"] for _, kwargs in parts] == [1, 2, 1]


def test_split_and_merge_work_across_the_wire(ground: elevation.Elevation) -> None:
    """What the workers do: arguments, bands and results all pass through CBOR."""
    body = values.encode([[ground.metres, ground.dx, ground.dy], {"azimuth": 90.0}])
    parts = tasks.perform("split", "hillshade", (body,), (0.6, 0.3, 0.1))
    results = tuple(tasks.perform("run", "hillshade", (part,)) for part in parts)
    merged = values.decode(tasks.perform("merge", "hillshade", results))
    assert merged.dtype == np.uint8
    np.testing.assert_array_equal(merged, hillshade(ground.metres, ground.dx, ground.dy, azimuth=90.0))


def test_shade_is_the_cosine_between_the_sun_and_the_ground() -> None:
    level = hillshade(np.zeros((4, 4)), 30, 30, altitude=20.0)
    facing = hillshade(plane(-1, 0, 30, 30, 4, 5), 30, 30, azimuth=90.0, altitude=45.0)
    averted = hillshade(plane(1.1, 0, 30, 30, 4, 5), 30, 30, azimuth=90.0, altitude=45.0)
    assert (level == round(255 * math.sin(math.radians(20)))).all()
    assert (facing == 255).all()  # the edges too: beyond them the ground goes on as it came
    assert (averted == 0).all()


@pytest.mark.parametrize("dem", [[1, 2, 3], [[]], [[1.0, math.inf]]])
def test_what_is_no_model_is_refused(dem: list[float]) -> None:
    with pytest.raises(ValueError, match="dem"):
        hillshade(dem, 30, 30)


# The heavy task.


def reference(
    dem: Floats, dx: float, dy: float, observer: tuple[int, int], height: float, target: float, bend: float
) -> NDArray[np.uint8]:
    """R3 as its definition reads, one line of sight at a time."""
    eye = dem[observer] + height

    def slope(row: float, column: float, above: float) -> float:
        top, left = int(row), int(column)
        below, right = min(top + 1, len(dem) - 1), min(left + 1, len(dem[0]) - 1)
        down, across = row - top, column - left
        north = dem[top, left] * (1 - across) + dem[top, right] * across
        south = dem[below, left] * (1 - across) + dem[below, right] * across
        distance = math.hypot((row - observer[0]) * dy, (column - observer[1]) * dx)
        level = north * (1 - down) + south * down + above
        return float(level - bend * distance**2 - eye) / distance

    seen = np.ones(dem.shape, dtype=np.uint8)
    for cell in np.ndindex(dem.shape):
        rows, columns = cell[0] - observer[0], cell[1] - observer[1]
        crossings = {j / abs(rows) for j in range(1, abs(rows))}
        crossings |= {k / abs(columns) for k in range(1, abs(columns))}
        on_the_way = [slope(observer[0] + t * rows, observer[1] + t * columns, 0.0) for t in crossings]
        if on_the_way:
            seen[cell] = slope(cell[0], cell[1], target) >= max(on_the_way)
    return seen


@settings(max_examples=60)
@given(
    st.tuples(st.integers(1, 11), st.integers(1, 11), seeds),
    st.tuples(st.floats(0, 1, exclude_max=True), st.floats(0, 1, exclude_max=True)),
    st.sampled_from([0.0, 2.0, 30.0]),
    st.booleans(),
)
def test_viewshed_agrees_with_the_definition_of_r3(
    model: tuple[int, int, int], where: tuple[float, float], target: float, curvature: bool
) -> None:
    dem = rough(*model)
    observer = (int(where[0] * model[0]), int(where[1] * model[1]))
    # Cells so large that the curvature matters on so small a model.
    dx, dy = 1000.0, 1700.0
    bend = (1 - terrain.REFRACTION) / (2 * terrain.EARTH_RADIUS) if curvature else 0.0
    seen = viewshed(dem, dx, dy, observer, 1.8, target, curvature)
    np.testing.assert_array_equal(seen, reference(dem, dx, dy, observer, 1.8, target, bend))


@given(seeds, st.integers(0, 8), st.integers(0, 6))
def test_a_mirrored_or_turned_model_gives_the_mirrored_or_turned_view(seed: int, row: int, column: int) -> None:
    dem = rough(9, 7, seed)
    seen = viewshed(dem, 30, 40, (row, column))
    np.testing.assert_array_equal(viewshed(dem[::-1], 30, 40, (8 - row, column)), seen[::-1])
    np.testing.assert_array_equal(viewshed(dem[:, ::-1], 30, 40, (row, 6 - column)), seen[:, ::-1])
    np.testing.assert_array_equal(viewshed(dem.T, 40, 30, (column, row)), seen.T)


@settings(max_examples=10)
@given(seeds)
def test_whom_you_see_sees_you(seed: int) -> None:
    """Two people of one height see each other or do not, over a curved earth too."""
    dem = rough(5, 6, seed)
    views = {cell: viewshed(dem, 900, 700, cell, height=1.8, target=1.8) for cell in np.ndindex(dem.shape)}
    for one, other in itertools.combinations(views, 2):
        assert views[one][other] == views[other][one]


def test_on_flat_ground_everything_is_seen() -> None:
    seen = viewshed(np.full((20, 31), 250, dtype=np.int16), 30, 30, (3, 29), curvature=False)
    assert seen.dtype == np.uint8
    assert (seen == 1).all()


def test_a_wall_hides_what_is_behind_it_and_nothing_else() -> None:
    dem = np.zeros((15, 21))
    dem[:, 10] = 20.0
    seen = viewshed(dem, 10, 10, (7, 4), curvature=False)
    assert (seen[:, :11] == 1).all()
    assert (seen[:, 11:] == 0).all()


def test_a_tower_behind_a_wall_is_seen_once_it_is_high_enough() -> None:
    """The eye at 2 m, a wall of 8 m at 60 m: the line over it is at 14 m at twice the distance."""
    dem = np.zeros((1, 20))
    dem[0, 6] = 8.0
    assert viewshed(dem, 10, 10, (0, 0), height=2.0, target=13.9, curvature=False)[0, 12] == 0
    assert viewshed(dem, 10, 10, (0, 0), height=2.0, target=14.1, curvature=False)[0, 12] == 1


def test_the_observer_sees_its_own_cell_and_its_neighbours_from_the_deepest_pit() -> None:
    dem = np.full((7, 7), 100.0)
    dem[3, 3] = 0.0
    seen = viewshed(dem, 30, 30, (3, 3))
    assert (seen[2:5, 2:5] == 1).all()
    assert seen.sum() == 9


def test_the_sea_ends_at_the_horizon() -> None:
    """With refraction it is at sqrt(2 R h / (1 - k)): 5.1 km for an eye at 1.8 m."""
    seen = viewshed(np.zeros((1, 120)), 100, 100, (0, 0))
    horizon = math.sqrt(2 * 6_371_008.8 * 1.8 / (1 - 0.13))
    assert seen.sum() * 100 == pytest.approx(horizon, abs=150)
    assert (seen[0, : seen.sum()] == 1).all()


@pytest.mark.parametrize("observer", [(-1, 0), (0, 5), (5, 0)])
def test_an_observer_outside_the_model_is_refused(observer: tuple[int, int]) -> None:
    with pytest.raises(ValueError, match="outside the model"):
        viewshed(np.zeros((5, 5)), 30, 30, observer)


def test_viewshed_tells_how_far_it_is() -> None:
    told: list[float] = []
    with tasks.reporting(told.append):
        viewshed(rough(40, 90, 1), 30, 30, (20, 0))
    assert len(told) > 5
    assert told == sorted(told)
    assert 0 < told[0] < 0.1
    assert told[-1] > 0.9


def test_each_weight_has_a_task() -> None:
    assert {name: tasks.registry[name].weight for name in ("point", "hillshade", "viewshed")} == {
        "point": "light",
        "hillshade": "middle",
        "viewshed": "heavy",
    }
    assert tasks.registry["viewshed"].fallback == "fog"


# The ground.


def test_towns_and_summits_are_where_maps_have_them(ground: elevation.Elevation) -> None:
    assert ground.metres.shape == (344, 403)
    assert ground.place(*elevation.observers(ground.metres, 1)[0]) == pytest.approx((36.199, -84.231), abs=0.002)
    assert ground.metres[139, 275] == 327
    assert ground.place(139, 275) == pytest.approx((36.330, -84.184), abs=0.001)
    assert (ground.dx, ground.dy) == pytest.approx((74.7, 92.7), abs=0.1)


def test_the_walk_is_even_whole_and_the_same_each_time(ground: elevation.Elevation) -> None:
    track = elevation.walked_track(ground.metres, ground.dx, ground.dy, points=500)
    np.testing.assert_array_equal(track, elevation.walked_track(ground.metres, ground.dx, ground.dy, points=500))
    steps = np.hypot(*(np.diff(track, axis=0) * (ground.dy, ground.dx)).T)
    assert track.shape == (500, 2)
    assert steps.max() < 1.01 * np.median(steps)
    assert (track >= 0).all()
    assert (track <= (343, 402)).all()
    assert (track[0, 1], track[-1, 1]) == (0, 402)
    summit = elevation.observers(ground.metres, 1)[0]
    assert np.hypot(*(track - summit).T).min() < 1


def test_the_walk_takes_the_pass_through_a_ridge() -> None:
    dem = np.zeros((40, 60))
    dem[:, 20] = 800.0
    dem[31, 20] = 10.0
    dem[5, 40] = 900.0
    track = elevation.walked_track(dem, 100.0, 100.0)
    crossing = track[np.abs(track[:, 1] - 20).argmin()]
    assert crossing[0] == pytest.approx(31, abs=2)


@given(st.floats(1, 5), st.floats(1, 7), st.floats(-1, 1), st.floats(-1, 1))
def test_a_window_between_cells_is_interpolated(row: float, column: float, east: float, north: float) -> None:
    dem = plane(east, north, 30, 40, rows=7, columns=9)
    found = point(elevation.window(dem, row, column), 30, 40)
    assert found["elevation"] == pytest.approx(100 + east * 30 * column - north * 40 * row)
    assert found["slope"] == pytest.approx(math.degrees(math.atan(math.hypot(east, north))), abs=1e-6)


def test_a_window_at_the_edge_is_moved_inwards() -> None:
    dem = rough(4, 5, 3)
    np.testing.assert_array_equal(elevation.window(dem, 0, 0), dem[:3, :3])
    np.testing.assert_array_equal(elevation.window(dem, 3, 4), dem[1:, 2:])
    np.testing.assert_array_equal(elevation.window(dem[:3, :3], 2, 2), dem[:3, :3])


def test_observers_stand_on_summits_apart_from_each_other(ground: elevation.Elevation) -> None:
    cells = elevation.observers(ground.metres, 6)
    assert len(cells) == 6
    for row, column in cells:
        assert ground.metres[row, column] == ground.metres[row - 3 : row + 4, column - 3 : column + 4].max()
    assert min(math.dist(one, other) for one, other in itertools.combinations(cells, 2)) > 60


def test_a_model_without_enough_summits_says_so() -> None:
    with pytest.raises(ValueError, match="1 summits, fewer than the 2"):
        elevation.observers(-np.hypot(*np.mgrid[-9:10, -9:10]), 2)


# The pictures.


def is_picture(png: io.BytesIO, width: int, height: int) -> bool:
    """A PNG of about that size, with enough colours to have something on it."""
    data = png.getvalue()
    size = struct.unpack(">II", data[16:24])
    near = all(abs(actual - wanted) < 300 for actual, wanted in zip(size, (width, height), strict=True))
    colours = Image.open(png).convert("RGB").resize((300, 300)).getcolors(300 * 300) or []
    return data.startswith(b"\x89PNG\r\n\x1a\n") and near and len(colours) > 100


def test_the_pictures_are_drawn(ground: elevation.Elevation) -> None:
    track = elevation.walked_track(ground.metres, ground.dx, ground.dy, points=200)
    slopes = [point(elevation.window(ground.metres, *at), ground.dx, ground.dy)["slope"] or 0.0 for at in track]
    observers = elevation.observers(ground.metres, 3)
    shade = hillshade(ground.metres, ground.dx, ground.dy)
    walk, views, latency = io.BytesIO(), io.BytesIO(), io.BytesIO()
    pictures.hillshade_picture(walk, ground, shade, track, slopes, observers)
    masks = [np.eye(344, 403, k=50 * number, dtype=np.uint8) for number in range(3)]
    pictures.viewsheds_picture(views, ground, shade, observers, masks)
    pictures.latency_picture(latency, {"light": [1.0, 2.0, 3.5], "heavy": [2500.0]})
    assert is_picture(walk, 1400, 1750)
    assert is_picture(views, 1400, 1550)
    assert is_picture(latency, 1500, 840)


def test_nodes_need_numpy_alone_and_nobody_gets_pyplot() -> None:
    program = (
        "import sys, fogsdk.demo.terrain; assert 'matplotlib' not in sys.modules;"
        "import fogsdk.demo.pictures, fogsdk.demo.elevation as e; e.load();"
        "assert 'matplotlib.pyplot' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", program], check=True, timeout=30)
