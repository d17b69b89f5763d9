"""The campaign: thousands of tasks of all weights on real processes, while something fails every second.

    python -m tests.chaos.campaign [--tasks 20000] [--seconds 240] [--rate 1] [--seed N] [--logs FOLDER]

Nothing may be lost, come twice or be wrong, and every future must be settled. The exit code is 1 otherwise.
"""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import psutil

from tests.chaos.estate import Estate
from tests.chaos.faults import Faults
from tests.chaos.users import Asked, Users
from tests.support.processes import check_none_left

QUIET = 2.0
"""Seconds before the first failure."""
BAR = 40
SHOWN = 10


@dataclass
class Campaign:
    """What is to be done: ``tasks`` within ``seconds``, ``rate`` failures a second."""

    tasks: int
    seconds: float
    rate: float
    seed: int
    engine: str = "dask-local"

    def run(self, folder: Path, say: Callable[[str], None], show: Callable[[str], None]) -> list[str]:
        """Do it; returns what went wrong. ``say`` is told the report, ``show`` how it goes."""
        before = set(psutil.pids())
        estate = Estate(folder, self.engine)
        try:
            estate.start()
            problems = self._disturb(estate, say, show)
            problems += [f"{name} ended in disorder" for name in estate.stop()]
            problems += estate.complaints()
        finally:
            estate.close()
        check_none_left(before)
        return problems

    def _disturb(self, estate: Estate, say: Callable[[str], None], show: Callable[[str], None]) -> list[str]:
        start = time.monotonic()
        users = Users(estate.urls, self.seed, self.tasks, self.seconds)
        faults = Faults(estate, self.seed, self.rate, start + QUIET)

        def look() -> None:
            failed = f"{len(faults.done)} failures"
            show(_bar(users.answered, self.tasks) + f"  {failed}, {time.monotonic() - start:.0f} s")

        try:
            faults.start()
            users.run(start, look)
            faults.stop()
            users.wait(look)
            wrong = users.violations()
        finally:
            faults.close()
            users.close()
        say(f"\n{time.monotonic() - start:.0f} s, seed {self.seed}; what failed:")
        for what, count in faults.counts.most_common():
            say(f"  {count:4} times  {what}")
        say(f"  ({faults.unheard} orders were not heard by their nodes)\n\nwhat users saw:\n{users.table()}")
        hops = users.hops()
        say(f"longest gap in service: {users.longest_gap():.2f} s; tasks and parts ran {hops['ran']} times,")
        say(f"and were lost {hops['lost']} times with whoever had them; none of that reached a user.\n")
        users.write(estate.folder / "tasks.log")
        late = [f"only {len(users.asked)} of {self.tasks} tasks could be handed in"] * (len(users.asked) < self.tasks)
        return late + [self._explain(asked, faults) for asked in wrong]

    def _explain(self, asked: Asked, faults: Faults) -> str:
        """What is wrong with a task, and what failed around that time."""
        until = asked.until or float("inf")
        around = [fault for fault in faults.done if asked.since - 5 <= fault.at + QUIET <= until + 1]
        return "\n    ".join([str(asked), *map(str, around[:30])])


def _bar(done: int, of: int) -> str:
    full = BAR * done // max(1, of)
    return f"[{'#' * full}{'.' * (BAR - full)}] {done} of {of} tasks"


class Progress:
    """One line that is written anew on a terminal, and one every ten seconds elsewhere."""

    def __init__(self) -> None:
        self._terminal = sys.stderr.isatty()
        self._next = 0.0

    def show(self, text: str) -> None:
        now = time.monotonic()
        if now >= self._next:
            self._next = now + (0.2 if self._terminal else 10.0)
            print(
                f"\r{text}" if self._terminal else text, end="" if self._terminal else "\n", file=sys.stderr, flush=True
            )


def main() -> int:
    """Run it from the command line."""
    parser = argparse.ArgumentParser(
        "campaign", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--tasks", type=int, default=20_000)
    parser.add_argument("--seconds", type=float, default=240.0, help="in which they are handed in")
    parser.add_argument("--rate", type=float, default=1.0, help="failures a second")
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(2**32))
    parser.add_argument("--logs", type=Path, help="folder that keeps the logs")
    args = parser.parse_args()
    print(f"campaign: {args.tasks} tasks, seed {args.seed} (the same again with --seed {args.seed})", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        if args.logs:
            args.logs.mkdir(parents=True, exist_ok=True)
        campaign = Campaign(args.tasks, args.seconds, args.rate, args.seed)
        problems = campaign.run(args.logs or Path(folder), print, Progress().show)
    for problem in problems[:SHOWN]:
        print(f"WRONG: {problem}")
    print(f"{len(problems)} things went wrong" if problems else "0 lost, 0 delivered twice, 0 wrong, all settled")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
