"""``fog demo``: the main job on a real elevation model, with real processes, one of which is killed in the middle."""

from __future__ import annotations

import argparse
import asyncio
import logging
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from fogsdk.errors import ConfigError, FogError, not_installed

if TYPE_CHECKING:
    from rich.console import Console

    from fogsdk.demo.site import DemoSite
    from fogsdk.demo.story import Story
    from fogsdk.device.fog import Fog


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the demo's options."""
    parser.add_argument(
        "--output",
        type=Path,
        default=Path("fog-demo"),
        metavar="DIR",
        help="where the pictures go (default: %(default)s)",
    )


def run(args: argparse.Namespace) -> int:
    """Run the demo; 0 when every result is there and agrees with the one computed in this process.

    Raises ConfigError where what it needs is not installed, and where the pictures cannot go where they are to.
    """
    logging.basicConfig(level=logging.ERROR)
    try:
        import matplotlib  # noqa: F401 - only to say early that it is missing
        import rich  # noqa: F401
    except ImportError as error:
        raise not_installed("fog demo", "demo", error) from error
    try:
        args.output.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(
            f"the pictures cannot go to {args.output}: {error.strerror}; name another folder with --output"
        ) from error
    try:
        with tempfile.TemporaryDirectory(prefix="fog-demo-") as folder:
            return asyncio.run(_run(args.output, Path(folder)))
    except FogError as error:
        print(f"fog demo: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130


async def _run(output: Path, folder: Path) -> int:
    from rich.console import Console

    from fogsdk.demo import story as stories
    from fogsdk.demo.site import NODES, open_site
    from fogsdk.device.fog import connect

    console = Console()
    began = time.monotonic()
    console.print("Starting a fog site, a core site with a Dask cluster, and the bridge between them ...")
    async with open_site(folder, console.print) as demo:
        story = stories.prepare()
        loop = asyncio.get_running_loop()
        fog = await loop.run_in_executor(None, lambda: connect(demo.urls, site=demo.site))
        try:
            await stories.wait_until_ready(fog, demo)
            found = [node for node in NODES if node in demo.found]
            console.print(f"ready after {time.monotonic() - began:.1f} s; found by mDNS: {', '.join(found)}")
            await _tell(story, fog, demo, console)
        finally:
            await loop.run_in_executor(None, fog.close)
    return _report(story, output, console, began)


async def _tell(story: Story, fog: Fog, demo: DemoSite, console: Console) -> None:
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    from fogsdk.demo import story as stories

    columns = (
        TextColumn("{task.description:<26}"),
        BarColumn(),
        TextColumn("{task.percentage:>3.0f} %"),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=console) as bars:
        numbers = {work.weight: bars.add_task(f"{work.weight:<6} {work.title}", total=1.0) for work in story.works}
        await stories.tell(story, fog, demo, lambda weight, done: bars.update(numbers[weight], completed=done))
    console.print(f"{story.victim} was killed with SIGKILL in the middle of it. All in {story.seconds:.1f} s.")


def _report(story: Story, output: Path, console: Console, began: float) -> int:
    from rich.table import Table

    from fogsdk.demo import story as stories

    table = Table(title="What became of the tasks")
    for title in ("class", "tasks", "where they ran", "p50 ms", "p95 ms", "handed out again", "lost"):
        table.add_column(title, justify="left" if title in ("class", "where they ran") else "right")
    for work in story.works:
        where = ", ".join(f"{node} {count}" for node, count in work.nodes.items())
        times = list(work.latencies.values())
        row = [len(work.futures), where, f"{_percentile(times, 50):.1f}", f"{_percentile(times, 95):.1f}"]
        table.add_row(f"{work.weight}: {work.title}", *map(str, row), str(work.handed_out_again), str(work.lost))
    console.print(table)
    lost = sum(work.lost for work in story.works)
    for work in story.works:
        for error in {str(f.exception()) for f in work.futures if f.done() and not f.cancelled() and f.exception()}:
            console.print(f"[red]{work.title}: {error}")
    wrong = stories.check(story)
    console.print(
        "every result agrees with the one computed in this process"
        if not wrong
        else f"[red]wrong: {', '.join(wrong[:10])}"
    )
    if not lost:
        for path in _draw(story, output):
            console.print(f"picture: {path}")
    console.print(f"{lost} lost, {len(wrong)} wrong, {time.monotonic() - began:.1f} s in all")
    return 1 if lost or wrong else 0


def _percentile(times: Sequence[float], percent: int) -> float:
    if len(times) < 2:
        return times[0] if times else float("nan")
    return statistics.quantiles(times, n=100, method="inclusive")[percent - 1]


def _draw(story: Story, output: Path) -> list[Path]:
    from fogsdk.demo import pictures

    paths = [output / name for name in ("hillshade.png", "viewsheds.png", "latency.png")]
    shade = story.middle.results()[0]
    slopes = [result["slope"] for result in story.light.results()]
    pictures.hillshade_picture(paths[0], story.ground, shade, story.track, slopes, story.observers)
    pictures.viewsheds_picture(paths[1], story.ground, shade, story.observers, story.heavy.results())
    pictures.latency_picture(paths[2], {work.weight: list(work.latencies.values()) for work in story.works})
    return paths
