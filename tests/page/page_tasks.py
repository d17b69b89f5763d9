"""The tasks that the nodes of these tests, and of the pictures in the documents, offer: what people would try first."""

from __future__ import annotations

import functools
import io
import math
from typing import Any, Literal

import numpy as np
from PIL import Image, ImageFilter, ImageOps

from fogsdk import progress, task
from fogsdk.demo import elevation, terrain


@task
def sketch(photo: bytes, style: Literal["pencil", "edges", "poster"] = "pencil", size: int = 900) -> bytes:
    """Turn a photo into a drawing."""
    picture = ImageOps.exif_transpose(Image.open(io.BytesIO(photo))).convert("RGB")
    picture.thumbnail((size, size))
    grey = ImageOps.grayscale(picture)
    if style == "poster":
        drawn: Image.Image = ImageOps.posterize(picture, 2)
    elif style == "edges":
        drawn = ImageOps.invert(grey.filter(ImageFilter.FIND_EDGES))
    else:
        light = np.asarray(grey, dtype=np.float64)
        blurred = np.asarray(grey.filter(ImageFilter.GaussianBlur(6)), dtype=np.float64)
        dark = 255 * np.minimum(1, light / (blurred + 1)) ** 3
        drawn = Image.fromarray(dark.astype(np.uint8))
    out = io.BytesIO()
    drawn.save(out, "PNG")
    return out.getvalue()


@functools.cache
def _model() -> elevation.Elevation:
    return elevation.load()


@task(weight="light")
def ground(latitude: float, longitude: float) -> dict[str, float | None]:
    """Height, slope and aspect of the ground where you stand."""
    model = _model()
    rows, columns = model.metres.shape
    row = (model.north - latitude) / (model.north - model.south) * rows
    column = (longitude - model.west) / (model.east - model.west) * columns
    if not (0 <= row < rows and 0 <= column < columns):
        raise ValueError(f"{latitude}, {longitude} is not on the map of Jacksboro")
    found = terrain.point(elevation.window(model.metres, row, column), model.dx, model.dy)
    return {name: None if value is None else round(value, 1) for name, value in found.items()}


def _shares(shares: list[float], azimuth: float = 315.0, altitude: float = 45.0) -> list[Any]:
    bounds = [round(sum(shares[:count]) * 1000) / 1000 for count in range(len(shares) + 1)]
    return [((azimuth, altitude), {"part": (bounds[at], bounds[at + 1])}) for at in range(len(shares))]


@task(weight="middle", split=_shares, merge=np.concatenate)
def relief(azimuth: float = 315.0, altitude: float = 45.0, *, part: tuple[float, float] = (0.0, 1.0)) -> Any:
    """The mountains of Jacksboro with the sun where you want it."""
    model = _model()
    rows = len(model.metres)
    first, last = round(part[0] * rows), round(part[1] * rows)
    return terrain.hillshade(model.metres, model.dx, model.dy, azimuth, altitude)[first:last]


@task(weight="heavy", fallback="fog", timeout=120)
def primes_below(limit: int) -> int:
    """How many primes there are below a number."""
    count = 0
    for number in range(2, limit):
        count += all(number % factor for factor in range(2, math.isqrt(number) + 1))
        if number % 2000 == 0:
            progress(number / limit)
    return count


@task
def mean(values: list[float]) -> float:
    """The arithmetic mean of some numbers."""
    return sum(values) / len(values)
