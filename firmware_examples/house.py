"""The tasks that these examples ask for. On a node: fognode --tasks house"""

from __future__ import annotations

from typing import Any

from fogsdk import task


@task(weight="light")
def report(sensor: str, celsius: float) -> dict[str, Any]:
    """Take a reading; say what to do until the next one, and how many seconds from now that is."""
    warm = celsius > 26
    return {"sensor": sensor, "fan": warm, "sleep": 60 if warm else 600}


@task(weight="light")
def forecast(readings: list[float], ahead: int = 1) -> float:
    """The value so many steps ahead, on the straight line that fits the readings best."""
    count = len(readings)
    middle, mean = (count - 1) / 2, sum(readings) / count
    spread = sum((at - middle) ** 2 for at in range(count))
    rise = sum((at - middle) * (value - mean) for at, value in enumerate(readings)) / spread if count > 1 else 0.0
    return round(mean + rise * (count - 1 + ahead - middle), 3)
