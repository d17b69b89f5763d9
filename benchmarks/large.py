"""How fast large data goes there and back: a raw-socket MQTT echo beside fogsdk.

    python -m benchmarks.large [--mib 1,4,15,64] [--rounds 3]

Prints a table (Markdown). What fogsdk does not take, since it is over its limit, is shown as refused.
"""

from __future__ import annotations

import argparse
import random
import time
from statistics import median

from benchmarks.harness import processes
from benchmarks.harness.contender import Contender
from benchmarks.harness.report import figures
from benchmarks.harness.services import Services
from benchmarks.peers.fog_mqtt import FogMqtt
from benchmarks.peers.raw_mqtt import RawMqtt
from fogsdk.errors import TaskRefused

MIB = 2**20


def main() -> None:
    """Measure every size with both, in turns."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--mib", type=lambda text: [int(size) for size in text.split(",")], default=[1, 4, 15, 64])
    parser.add_argument("--rounds", type=int, default=3)
    args = parser.parse_args()
    processes.adopt()
    try:
        rows = _measure(args.mib, args.rounds)
    finally:
        processes.end_descendants()
    print("| MiB there and back | raw-socket MQTT echo, ms | MB/s | fogsdk, ms | MB/s | ratio of the MB/s |")
    print("|---|---|---|---|---|---|")
    print("\n".join(rows))


def _measure(sizes: list[int], rounds: int) -> list[str]:
    with Services() as services:
        services.start_broker("mosquitto")
        raw, fog = RawMqtt(), FogMqtt()
        raw.start(services)
        fog.start(services)
        rows = [_row(size, raw, fog, rounds) for size in sizes]
        fog.stop()
        return rows


def _row(mib: int, raw: Contender, fog: Contender, rounds: int) -> str:
    data = random.Random(mib).randbytes(mib * MIB)
    taken: dict[Contender, list[float]] = {raw: [], fog: []}
    for _ in range(1 + rounds):
        for contender in list(taken):
            begin = time.perf_counter()
            try:
                same = contender.submit("echo", data).result() == data
            except TaskRefused:
                del taken[contender]
                continue
            taken[contender].append(time.perf_counter() - begin)
            assert same, "the echo differs"
    # The first round warms up.
    rates = {each: len(data) / 1e6 / median(seconds[1:]) for each, seconds in taken.items()}
    cells = [cell for each in (raw, fog) for cell in _cells(len(data) / 1e6, rates.get(each))]
    ratio = figures(rates[fog] / rates[raw]) if fog in rates else "-"
    return f"| {mib} | {' | '.join(cells)} | {ratio} |"


def _cells(megabytes: float, rate: float | None) -> tuple[str, str]:
    return ("refused", "-") if rate is None else (figures(megabytes / rate * 1000), figures(rate))


if __name__ == "__main__":
    main()
