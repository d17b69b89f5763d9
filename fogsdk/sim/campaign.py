"""A campaign: many seeds, each a small fog of its own under a storm of its own, and every guarantee checked.

    python -m fogsdk.sim.campaign --seeds 200 --tasks 5000 --jobs 2 --limit 10m

A seed that breaks a guarantee is printed with the command that runs it again.
"""

from __future__ import annotations

import argparse
import contextlib
import gc
import multiprocessing
import random
import sys
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from dataclasses import dataclass, field, replace

from fogsdk.core.placement import POLICIES
from fogsdk.node.config_kinds import Seconds, kind_of
from fogsdk.sim.agenda import MILLISECOND, SECOND
from fogsdk.sim.plan import KINDS, Fault, Plan
from fogsdk.sim.scenario import Scenario
from fogsdk.sim.storm import DOWN
from fogsdk.sim.world import World

VIRTUAL_SECONDS = 40.0
CODEC_EVERY = 10
"""Of so many seeds one has every message encoded and decoded on its way."""
GRACE = 600.0
"""Seconds for all that is open when the storm is over: a node left alone with the work of five is slow, which loses
nothing."""
QUIET = 20.0
"""Seconds after the last outcome in which all that is left must end by itself."""
MIX = {"tiny": 0.04, "light": 0.85, "middle": 0.05, "split": 0.02, "heavy": 0.02, "broken": 0.01, "deadly": 0.01}
POSTS = 200.0
"""Posted tasks a minute."""
SESSIONS = 4
AIMED = (2 * SECOND, 9 * SECOND)
"""How long a node stays dead that was killed in the moment of a promise, if it returns at all."""

_OFTEN = {"worker-death": 30.0, "crash": 6.0, "power": 2.0, "restart": 3.0, "freeze": 6.0, "broker-crash": 2.0}
_SOMETIMES = 4.0
_AT_ONCE = (0, 0)
_LATE = {"slow": 30, "delay": 400}
_LASTS = (200 * MILLISECOND, 10 * SECOND)


@dataclass
class Verdict:
    """What came of one seed."""

    seed: int
    tasks: int = 0
    faults: Counter[str] = field(default_factory=Counter)
    broken: Counter[str] = field(default_factory=Counter)
    stories: list[str] = field(default_factory=list)
    hash: str = ""


def scenario(seed: int, tasks: int) -> Scenario:
    """The fog of a seed, and its storm: sizes, rates and strengths are drawn."""
    chance = random.Random(f"{seed} campaign")
    devices = chance.randint(3, 8)
    return Scenario(
        nodes=chance.randint(5, 8),
        devices=devices,
        brokers=chance.randint(1, 3),
        seconds=VIRTUAL_SECONDS,
        seed=seed,
        policy=chance.choice(["predictive", *sorted(POLICIES)]),
        workers=chance.randint(1, 3),
        rate=tasks / devices / VIRTUAL_SECONDS * 60,
        mix=MIX,
        posts=POSTS / devices,
        sessions=SESSIONS,
        faults=_storm(chance),
        codec=seed % CODEC_EVERY == 0,
        grace=GRACE,
        quiet=QUIET,
    )


def _storm(chance: random.Random) -> Plan:
    """One of three: anything at any time; one node down at a time; nodes killed in the moment of a promise."""
    faults = tuple(_fault(kind, chance) for kind in KINDS)
    style = chance.choice(["wild", "single", "aimed"])
    if style != "aimed":
        return Plan(faults, nodes_down=1 if style == "single" else None)
    harmless = tuple(fault for fault in faults if fault.kind not in DOWN)
    promises = ("step", "receipt")
    aimed = tuple(Fault(kind="crash", target="node-*", per_minute=6, lasts=AIMED, aimed=each) for each in promises)
    at = int(chance.uniform(5, VIRTUAL_SECONDS - 10) * SECOND)
    for_good = tuple(replace(fault, per_minute=0, at=(at,), lasts=_AT_ONCE, returns=False) for fault in aimed)
    return Plan((*harmless, *aimed, *for_good), nodes_down=1)


def _fault(kind: str, chance: random.Random) -> Fault:
    targets = {"broker-crash": "broker-*", "cloud-away": "bridge", "worker-death": "node-*", "slow": "node-*"}
    longest = chance.randint(*_LASTS)
    return Fault(
        kind=kind,
        target=targets.get(kind, chance.choice(["node-*", "node-*", "*"])),
        per_minute=chance.uniform(0, 2 * _OFTEN.get(kind, _SOMETIMES)),
        lasts=(min(_LASTS[0], longest), longest),
        together=chance.choice([1, 1, 2, 4]),
        chance=chance.choice([0.02, 0.1, 0.3]),
        delay=(0, chance.randint(1, _LATE[kind]) * MILLISECOND) if kind in _LATE else (0, 0),
        factor=chance.uniform(1, 8),
        direction=chance.choice(["in", "out"]),
        brokers=chance.choice(["*", "*", "broker-1"]),
    )


def judge(seed: int, tasks: int, codec: bool | None = None) -> Verdict:
    """Run one seed to its end. A core that raises is a broken guarantee too."""
    setting = scenario(seed, tasks)
    world = World(setting if codec is None else replace(setting, codec=codec))
    gc.disable()
    try:
        world.run()
    except Exception:  # noqa: BLE001 - whatever it is, the other seeds go on
        world.oracle.break_("raised", f"at {world.agenda.now / SECOND:.3f} s: {traceback.format_exc()}")
    finally:
        gc.enable()
    faults = Counter(episode.kind for episode in world.storm.episodes)
    oracle = world.oracle
    return Verdict(seed, len(oracle.records), faults, oracle.broken, oracle.told, world.trace.digest())


# ---------------------------------------------------------------- many of them


def campaign(seeds: Sequence[int], tasks: int, jobs: int, limit: float) -> Iterator[Verdict]:
    """Judge seeds on so many processes; those that have not begun within ``limit`` seconds are left out."""
    ends = time.monotonic() + limit
    left = iter(seeds)
    with ProcessPoolExecutor(jobs, multiprocessing.get_context("spawn")) as pool:
        running: dict[Future[Verdict], None] = {}
        while True:
            while len(running) < jobs and time.monotonic() < ends and (seed := next(left, None)) is not None:
                running[pool.submit(judge, seed, tasks)] = None
            if not running:
                return
            for done in wait(running, return_when=FIRST_COMPLETED).done:
                del running[done]
                yield done.result()


def main(argv: Sequence[str] | None = None) -> int:
    """Run a campaign; returns 0 when every seed was run and no guarantee was broken."""
    args = _arguments().parse_args(argv)
    seeds = [args.seed] if args.seed is not None else list(range(1, args.seeds + 1))
    started = time.monotonic()
    tasks, bad, faults = 0, [], Counter[str]()
    judged = 0
    with _progress(len(seeds)) as advance:
        for verdict in campaign(seeds, args.tasks, min(args.jobs, len(seeds)), args.limit):
            judged += 1
            tasks += verdict.tasks
            faults += verdict.faults
            advance()
            if verdict.broken:
                bad.append(verdict.seed)
                _tell(verdict, args.tasks)
    took = time.monotonic() - started
    print(f"{tasks} tasks over {judged} seeds under {faults.total()} faults in {took:.0f} s: {len(bad)} seeds failed")
    print("faults: " + ", ".join(f"{count} {kind}" for kind, count in sorted(faults.items())))
    if judged < len(seeds):
        left = len(seeds) - judged
        print(f"{left} seeds had not begun when the time was over: give it more (--limit), or more --jobs")
    return 1 if bad or judged < len(seeds) else 0


def _arguments() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("python -m fogsdk.sim.campaign", description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=200, metavar="N", help="how many: 1 to N (default: 200)")
    parser.add_argument("--seed", type=int, metavar="N", help="this one alone")
    parser.add_argument("--tasks", type=int, default=5000, metavar="N", help="of each seed (default: 5000)")
    parser.add_argument("--jobs", type=int, default=2, metavar="N", help="processes (default: 2)")
    parser.add_argument(
        "--limit", type=kind_of(Seconds).parse, default=600.0, metavar="TIME", help="begin no seed after it (10m)"
    )
    return parser


def _tell(verdict: Verdict, tasks: int) -> None:
    counts = ", ".join(f"{count} {guarantee}" for guarantee, count in verdict.broken.items())
    print(f"seed {verdict.seed}: {counts}; run it again: ", end="")
    print(f"python -m fogsdk.sim.campaign --seed {verdict.seed} --tasks {tasks}")
    for story in verdict.stories:
        print(f"  {story}")
    sys.stdout.flush()


@contextlib.contextmanager
def _progress(whole: int) -> Iterator[Callable[[], None]]:
    """A bar on stderr, on a terminal only."""
    from rich.console import Console
    from rich.progress import Progress

    with Progress(console=Console(stderr=True), transient=True, disable=not sys.stderr.isatty()) as progress:
        bar = progress.add_task("seeds", total=whole)
        yield lambda: progress.advance(bar)


if __name__ == "__main__":
    sys.exit(main())
