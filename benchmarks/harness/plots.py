"""One picture for each work: how long one call takes, and how many are done in a second."""

from __future__ import annotations

from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.peers import Peer

_COLOURS = {"floor": "#9aa5b1", "fogsdk": "#d9480f", "peer": "#3b6ea5"}


def draw(folder: Path, work: str, title: str, peers: list[Peer], found: dict[str, list[dict[str, Any]]]) -> str:
    """Draw it into the folder; returns the file's name."""
    import matplotlib as mpl

    mpl.use("Agg")
    import matplotlib.pyplot as plt

    mpl.rcParams["svg.hashsalt"] = work  # the same picture for the same numbers
    figure, axes = plt.subplots(1, 2, figsize=(11, 0.6 + 0.34 * len(peers)), sharey=True, layout="constrained")
    for axis, key, scale, label in (
        (axes[0], "p50", 1000, "one call after the other: median (line to p99), ms"),
        (axes[1], "per_second", 1, "many at once: calls per second"),
    ):
        values = [median(each[work][key] for each in found[peer.module]) * scale for peer in peers]
        axis.barh([peer.title for peer in peers], values, color=[_COLOURS[peer.kind] for peer in peers])
        axis.set(xscale="log", xlabel=label)
        axis.grid(axis="x", alpha=0.3)
        axis.set_axisbelow(True)
    for row, peer in enumerate(peers):
        low, high = (median(each[work][key] for each in found[peer.module]) * 1000 for key in ("p50", "p99"))
        axes[0].plot([low, high], [row, row], color="black", linewidth=1)
    axes[0].invert_yaxis()
    figure.suptitle(title)
    name = f"performance-{work}.svg"
    folder.mkdir(exist_ok=True)
    figure.savefig(folder / name, metadata={"Date": None})
    plt.close(figure)
    return name
