"""Whether a fault that comes again costs users less, and whether learning costs anything while there is no fault.

    python -m benchmarks.antifragile [--period 60] [--repeats 10] [--document docs/antifragile.md]

Three nodes as processes on this computer. Once in each period one of them answers slowly (what it sends is held back
300 ms by the proxy between it and the broker) for a third of the period, is then killed (SIGKILL), and is started again
after another sixth. Users hand in light tasks all the time: each has a connection of their own, and so learns alone. As
many others, who learn nothing from failures (benchmarks/unlearned.py), do the same at the same time, to tell what the
learning is good for.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path

from rich.progress import Progress

from benchmarks.antifragile_page import Answer, Window, page, plot
from benchmarks.unlearned import unlearned
from fogsdk import Fog, FogFuture
from tests.e2e.site import Site, wait_for_nodes
from tests.network.delay import Proxy
from tests.support.ports import free_port

NODES = ("n1", "n2", "n3")
VICTIM = "n1"
SLOW = 0.3
"""Seconds for which the victim's answers are held back."""
PATIENCE = 30.0
ROUND = 20
"""Tasks in a row in the comparison without a fault."""


class Users:
    """Hand in light tasks in turn, each user one every ``every`` seconds, from a thread of their own. With each user's
    connection comes whether it learns."""

    def __init__(self, fogs: Sequence[tuple[Fog, bool]], every: float) -> None:
        self.answers: list[Answer] = []
        self._fogs, self._every = fogs, every
        self._futures: list[FogFuture] = []
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> Users:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def finish(self) -> None:
        """Wait until every task is answered, and check that each was, rightly."""
        for number, future in enumerate(self._futures):
            assert future.result(PATIENCE) == number + 1
        while len(self.answers) < len(self._futures):
            time.sleep(0.01)

    def _run(self) -> None:
        due = time.monotonic()
        for number, (fog, learns) in enumerate(itertools.cycle(self._fogs)):
            if self._stop.wait(max(0.0, due - time.monotonic())):
                return
            due += self._every / len(self._fogs)
            begun = time.monotonic()
            future = fog.submit("increment", number)
            self._futures.append(future)
            future.add_done_callback(partial(self._note, begun, learns))

    def _note(self, begun: float, learns: bool, future: FogFuture) -> None:
        took = time.monotonic() - begun
        hops = future.trace.hops if future.trace else ()
        hedged = any(hop.action == "hedged" for hop in hops)
        self.answers.append(Answer(begun, took, learns, tuple(hop.node for hop in hops), hedged))


# ------------------------------------------------------------ the fault, again and again


def start_behind_proxy(site: Site, node: str) -> tuple[Proxy, Callable[[], None]]:
    """Start a node that reaches its broker through a proxy of its own, which runs on a thread until this program ends;
    returns the proxy, and what starts the node again."""
    proxy, port = Proxy("127.0.0.1", site.broker.port), free_port()
    ready = threading.Event()
    loop = partial(asyncio.run, proxy.serve("127.0.0.1", port, ready.set))
    threading.Thread(target=loop, daemon=True).start()
    ready.wait(PATIENCE)

    def start() -> None:
        site.nodes[node] = site.launch("--node", node, "--brokers", f"mqtt://127.0.0.1:{port}", node=node)
        with site.connect() as fog:
            wait_for_nodes(fog, node)

    start()
    return proxy, start


def repeat_fault(
    site: Site, args: argparse.Namespace, tell: Callable[[str], None]
) -> tuple[list[Answer], list[Window]]:
    """Let the fault happen in each period while users go on; returns all answers, and those of each fault."""
    proxies = {node: start_behind_proxy(site, node) for node in NODES}  # all of them, so that none is farther away
    proxy, start_victim = proxies[VICTIM]
    spans = []
    with ExitStack() as stack:
        fogs = []
        for number in range(args.users):
            for learns in (True, False):
                fog = stack.enter_context(site.connect(name=f"user-{number}-{'new' if learns else 'old'}"))
                if not learns:
                    unlearned(fog)
                wait_for_nodes(fog, *NODES)
                fogs.append((fog, learns))
        users = stack.enter_context(Users(fogs, args.period / 30))
        for number in range(args.repeats):
            tell(f"fault {number + 1}: before")
            time.sleep(args.period / 2)
            tell(f"fault {number + 1}: slow")
            begin, proxy.there = time.monotonic(), SLOW
            time.sleep(args.period / 3)
            tell(f"fault {number + 1}: dead")
            site.nodes[VICTIM].kill()
            killed, proxy.there = time.monotonic(), 0.0
            time.sleep(args.period / 6)
            spans.append((begin, killed, time.monotonic()))
            start_victim()
        users.finish()
    windows = [
        Window(VICTIM, begin, killed, end, [answer for answer in users.answers if begin <= answer.at < end])
        for begin, killed, end in spans
    ]
    for window in windows:
        check_fault(window)
    return users.answers, windows


def check_fault(window: Window) -> None:
    """Fail where the fault did not happen as the page says: the victim answered in time, or while it was dead."""
    prompt = [answer for answer in window.answers if answer.nodes[:1] == (VICTIM,) and answer.took < SLOW]
    if prompt:
        raise RuntimeError(f"{len(prompt)} answers of {VICTIM} came in time though they were held back: no such fault")


# ------------------------------------------------------------ no fault


def compare(site: Site, rounds: int, advance: Callable[[], None]) -> tuple[list[float], list[float]]:
    """The seconds that tasks take with learning and without, in turns, on nodes that have no fault."""
    learned: list[float] = []
    plain: list[float] = []
    with site.connect() as fog, site.connect() as other:
        unlearned(other)
        for each in (fog, other):
            wait_for_nodes(each, *NODES)
        turns = [(fog, learned), (other, plain)]
        for _ in range(rounds):
            for device, times in turns:
                for number in range(ROUND):
                    begun = time.perf_counter()
                    device.run("increment", number)
                    times.append(time.perf_counter() - begun)
            turns.reverse()
            advance()
    return learned, plain


def main(argv: Sequence[str] | None = None) -> None:
    """Measure both, and write the page and the plot."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--period", type=float, default=60.0, help="seconds from one fault to the next")
    parser.add_argument("--repeats", type=int, default=10)
    parser.add_argument("--users", type=int, default=60, help="with learning, and as many without")
    parser.add_argument("--rounds", type=int, default=200, help="of the comparison without a fault")
    parser.add_argument("--document", type=Path, help="the page; the plot gets its name, with .png")
    args = parser.parse_args(argv)
    with tempfile.TemporaryDirectory() as folder, Progress() as progress:
        site = Site(Path(folder))
        try:
            bar = progress.add_task("the fault", total=3 * args.repeats)
            answers, windows = repeat_fault(site, args, lambda what: progress.update(bar, advance=1, description=what))
            bar = progress.add_task("with learning and without", total=args.rounds)
            learned, plain = compare(site, args.rounds, lambda: progress.advance(bar))
        finally:
            site.close()
    text = page(args, windows, learned, plain)
    print(text)
    if args.document:
        args.document.write_text(text)
        plot(args.document.with_suffix(".png"), answers, windows)


if __name__ == "__main__":
    main()
