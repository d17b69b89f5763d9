"""What was found as a page: tables of medians with their spread, ratios, goals, and the plots."""

from __future__ import annotations

import datetime
import importlib.metadata
import platform
import re
import subprocess
from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.harness import works
from benchmarks.harness.rounds import Findings, Plan
from benchmarks.harness.services import program
from benchmarks.peers import PEERS, Peer

FOG, PAHO, PIPE, COMPOSED, CELERY = "fog_mqtt", "paho_echo", "pipe", "composed", "celery_redis"
KINDS = {"floor": "floor", "fogsdk": "**fogsdk**", "peer": "peer"}
Found = dict[str, list[dict[str, Any]]]


EXTRA = {
    "footprint": "A node that has nothing to do",
    "large": "Large data",
}


def write(folder: Path, peers: list[Peer], findings: Findings, plan: Plan, command: str, extra: dict[str, str]) -> None:
    """Write ``performance.md`` and its plots into the folder, and print it. ``extra`` are the tables of EXTRA."""
    from benchmarks.harness import plots

    measured = [peer for peer in peers if peer.module in findings.found]
    sections = [_head(plan, command)]
    for name, title in works.TITLES.items():
        shown = [peer for peer in measured if name in peer.works]
        if shown:
            picture = plots.draw(folder, name, title, shown, findings.found)
            sections += [f"## {title}\n", f"![{title}]({picture})\n", *_work(name, shown, findings.found), ""]
    sections += [*_goals(findings.found), *_costs(measured, findings.found)]
    for name, table in extra.items():
        sections += [f"## {EXTRA[name]}\n", f"By `python -m benchmarks.{name}`.\n", table]
    sections += [*_failures(findings), *_versions(measured)]
    page = folder / "performance.md"
    page.write_text("\n".join(sections).rstrip() + "\n")
    print(f"\n{page.read_text()}\nwritten to {folder.name}/{page.name}")


# ---------------------------------------------------------------- the parts of the page


def _head(plan: Plan, command: str) -> str:
    day = datetime.datetime.now(tz=datetime.timezone.utc).date()
    return f"""# Performance

fogsdk beside floors (the least that the way costs, made by hand) and peers (other ways to hand work to processes), all
on one computer: two workers, real brokers, loopback. One call after the other, then {plan.outstanding} outstanding.

Made on {day} by `{command}` on {machine()}.
Medians of {plan.rounds} interleaved rounds, {plan.seconds:g} s for each measurement; ± is half the distance
between the best and the worst round. Another computer has other times: take the ratios. What each contender is and how
it is tuned stands in its file in `benchmarks/peers/`. [scale.md](scale.md) shows what a task costs as a site grows, and
what sharing one gains.
"""


def _work(name: str, peers: list[Peer], found: Found) -> list[str]:
    rows = [
        "| | | p50, ms | p95, ms | p99, ms | p50 to fogsdk's | CPU, ms per call "
        "| many at once, per s | to fogsdk's | CPU, ms per call |"
    ]
    rows.append("|---" * 10 + "|")
    fog = found.get(FOG)
    for peer in peers:
        rounds = [each[name] for each in found[peer.module]]
        times = [_spread(rounds, key, 1000) for key in ("p50", "p95", "p99")]
        slower = _ratio(rounds, fog and [each[name] for each in fog], "p50")
        faster = _ratio(rounds, fog and [each[name] for each in fog], "per_second")
        alone, many = (_spread(rounds, key, 1000) for key in ("cpu_alone", "cpu"))
        cells = [peer.title, KINDS[peer.kind], *times, slower, alone, _spread(rounds, "per_second"), faster, many]
        rows.append(_row(cells))
    return rows


def _goals(found: Found) -> list[str]:
    """The ratios that fogsdk is built for. One whose contenders were not measured is left out."""
    best_p50 = min((_median(found, peer, "increment", "p50") for peer in _peers(found)), default=0.0)
    best_rate = max((_median(found, peer, "increment", "per_second") for peer in _peers(found)), default=0.0)

    def p50(name: str, work: str = "increment") -> float:
        return _median(found, name, work, "p50")

    def rate(name: str) -> float:
        return _median(found, name, "increment", "per_second")

    goals: list[tuple[str, Callable[[], float], str, float]] = [
        ("increment, p50: to paho echo + one pipe", lambda: p50(FOG) / (p50(PAHO) + p50(PIPE)), "at most", 1.5),
        ("increment, p50: to the composed floor", lambda: p50(FOG) / p50(COMPOSED), "at most", 2.0),
        ("increment: p99 to its own p50", lambda: _median(found, FOG, "increment", "p99") / p50(FOG), "at most", 4.0),
        ("increment, p50: to the best peer", lambda: p50(FOG) / best_p50, "at most", 0.25),
        ("increment, many at once: to the composed floor", lambda: rate(FOG) / rate(COMPOSED), "at least", 1.0),
        ("increment, many at once: to the best peer", lambda: rate(FOG) / best_rate, "at least", 4.0),
        ("increment, many at once: to Celery", lambda: rate(FOG) / rate(CELERY), "at least", 25.0),
        (
            "64 KiB echo, p50: to paho echo + one pipe",
            lambda: p50(FOG, "echo") / (p50(PAHO, "echo") + p50(PIPE, "echo")),
            "at most",
            1.5,
        ),
    ]
    rows = []
    for what, ratio, bound, goal in goals:
        try:
            value = ratio()
        except (KeyError, ZeroDivisionError):
            continue
        reached = value <= goal if bound == "at most" else value >= goal
        rows.append(_row([what, f"{value:.2f}", f"{bound} {goal:g}", "yes" if reached else "**no**"]))
    return ["## Goals\n", "| ratio of fogsdk | now | goal | reached |", "|---|---|---|---|", *rows, ""] if rows else []


def _peers(found: Found) -> list[str]:
    return [peer.module for peer in PEERS if peer.kind == "peer" and peer.module in found]


def _costs(peers: list[Peer], found: Found) -> list[str]:
    rows = ["## Start and memory\n", "| | first result after, s | processes | PSS in all, MB | each: RSS (PSS), MB |"]
    rows.append("|---|---|---|---|---|")
    for peer in peers:
        rounds = found[peer.module]
        last = rounds[-1]["memory"]
        total = median(sum(each["pss"] for each in one["memory"]) for one in rounds) / 1e6
        names = Counter(each["what"] for each in last)
        each = "; ".join(f"{_times(names[what])}{what} {_held(last, what)}" for what in names)
        rows.append(_row([peer.title, _spread(rounds, "first_result"), len(last), f"{total:.0f}", each]))
    after = "\nThe time to the first result counts from the start of the device's process, with everything still to be"
    return [*rows, f"{after} started:\nbroker, node, workers. Memory is that at the end, after all three works.\n"]


def _times(count: int) -> str:
    return f"{count} x " if count > 1 else ""


def _held(memory: list[dict[str, Any]], what: str) -> str:
    rss, pss = (median(each[key] for each in memory if each["what"] == what) / 1e6 for key in ("rss", "pss"))
    return f"{rss:.0f} ({pss:.0f})"


def _failures(findings: Findings) -> list[str]:
    titles = {peer.module: peer.title for peer in PEERS}
    lines = []
    for name, why in findings.failed.items():
        done = len(findings.found.get(name, []))
        lines.append(f"* {titles[name]}: {'not measured' if not done else f'{done} rounds only'}: {why}")
    return ["## What could not be measured\n", *lines, ""] if lines else []


def _versions(peers: list[Peer]) -> list[str]:
    names = [re.split(r"[\[ ]", package)[0] for peer in peers for package in peer.packages]
    told = [f"{name} {importlib.metadata.version(name)}" for name in dict.fromkeys([*names, "fogsdk", "cbor2"])]
    brokers = {peer.broker for peer in peers}
    if brokers & {"mosquitto", "own"}:
        told.append(f"mosquitto {_first_number(program('mosquitto'), '-h')}")
    if "redis" in brokers:
        told.append(f"Redis {_first_number(program('redis-server'), '--version')}")
    return ["## Versions\n", f"Python {platform.python_version()}, {', '.join(told)}."]


def _first_number(*command: str) -> str:
    said = subprocess.run(command, capture_output=True, text=True, check=False).stdout  # mosquitto -h ends with 3
    found = re.search(r"\d+\.\d+\.\d+", said)
    return found[0] if found else "of unknown version"


def machine() -> str:
    """This computer in words."""
    import psutil

    names = re.findall(r"^model name\s*: (.*)", _text("/proc/cpuinfo"), re.MULTILINE) or [platform.machine()]
    model = re.sub(r"\((R|TM)\)|@.*", "", names[0]).strip()
    memory = psutil.virtual_memory().total / 2**30
    system = f"{platform.system()} {platform.release().split('-')[0]}"
    return f"{psutil.cpu_count()} cores ({model}), {memory:.0f} GiB, {system}"


def _text(path: str) -> str:
    try:
        return Path(path).read_text()
    except OSError:
        return ""


# ---------------------------------------------------------------- numbers


def _median(found: Found, name: str, work: str, key: str) -> float:
    return float(median(each[work][key] for each in found[name]))


def _spread(rounds: list[dict[str, Any]], key: str, scale: float = 1) -> str:
    values = [each[key] * scale for each in rounds]
    return f"{figures(median(values))} ± {figures((max(values) - min(values)) / 2)}"


def _ratio(rounds: list[dict[str, Any]], fog: list[dict[str, Any]] | None, key: str) -> str:
    if not fog:
        return "-"
    return f"{median(each[key] for each in rounds) / median(each[key] for each in fog):.2f}"


def figures(value: float) -> str:
    """A number with as many figures as mean something."""
    return (
        f"{value:,.0f}"
        if value >= 100
        else f"{value:.1f}"
        if value >= 10
        else f"{value:.2f}"
        if value >= 0.1
        else f"{value:.3f}"
    )


def _row(cells: Iterable[Any]) -> str:
    return "| " + " | ".join(map(str, cells)) + " |"
