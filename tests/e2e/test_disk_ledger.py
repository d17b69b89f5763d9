"""connect(ledger=...): what a device handed in outlives its program, and gets its one outcome, late as it may be."""

from __future__ import annotations

import re
import threading
import time
from collections import Counter
from pathlib import Path

import pytest

import fogsdk
from fogsdk import ConfigError, DeadlineExceeded, FogError, TaskRefused
from tests.e2e.journal import Journal
from tests.e2e.site import Site, StartSite
from tests.support.ports import free_port
from tests.support.processes import Processes, Program
from tests.support.waiting import eventually

# Recovers what is left, hands in further tasks, and says what it did, each thing when it is sure.
DEVICE = """
import os, sys, threading, fogsdk

url, ledger, log, first, count, seconds, how = sys.argv[1:]

def say(*words):  # a line in one piece, whichever thread it is from
    os.write(1, (" ".join(map(str, words)) + "\\n").encode())

def tell(future):
    if not future.cancelled():
        say("settled", future.id, future.exception() or future.result())

with fogsdk.connect(url, ledger=ledger) as fog:
    futures = list(fog.recovered)
    for future in futures:
        say("recovered", future.id, future.name)
        future.add_done_callback(tell)
    while how == "stream" and not fog.nodes():
        threading.Event().wait(0.01)
    for number in range(int(first), int(first) + int(count)):
        futures.append(fog.submit("work", log, f"task-{number}", float(seconds)))
        say("submitted", futures[-1].id)
        futures[-1].add_done_callback(tell)
    say("all is submitted")
    if how != "settle":
        threading.Event().wait()
    for future in futures:
        future.exception()
"""


class Device:
    """Starts the script above, again and again, with one ledger. ``url`` is where a broker may be."""

    def __init__(self, processes: Processes, url: str, folder: Path) -> None:
        self.ledger = folder / "tasks.db"
        self.journal = Journal(folder / "journal")
        self._processes = processes
        self._url = url

    def start(self, first: int = 0, count: int = 0, seconds: float = 0.0, how: str = "settle") -> Program:
        """Run the script: recover, submit ``count`` tasks from number ``first`` on, and "settle" everything, or "stay"
        for ever; to "stream" is to stay, and to wait for a node at first."""
        settings = map(str, (self._url, self.ledger, self.journal.path, first, count, seconds))
        return self._processes.start_python("-c", DEVICE, *settings, how)

    def finish(self) -> Program:
        """Run the script once more, for what is left."""
        program = self.start()
        assert program.wait(50) == 0, program.output
        return program


def ids(program: Program, what: str) -> list[str]:
    """The ids of the tasks with which a device says that it did something."""
    return re.findall(rf"^{what} (\S+)", program.output, re.MULTILINE)


@pytest.fixture
def empty_site(tmp_path: Path) -> Site:
    """A broker that is not running yet, and no node."""
    site = Site(tmp_path)
    site.broker.kill()
    return site


def test_what_was_submitted_with_no_broker_at_all_runs_once_it_is_there(
    empty_site: Site, processes: Processes, tmp_path: Path
) -> None:
    """The program that submitted it is killed before it ever had a connection; each result is delivered once."""
    site = empty_site
    device = Device(processes, site.broker.url, tmp_path)
    try:
        offline = device.start(0, 50, how="stay")
        offline.wait_for("all is submitted")
        offline.kill()
        again = device.start(50, 10, how="stay")
        again.wait_for("all is submitted")
        again.kill()
        submitted = ids(offline, "submitted") + ids(again, "submitted")
        assert ids(again, "recovered") == submitted[:50]
        site.broker.start()
        site.start("n1")
        online = device.finish()
        assert ids(online, "recovered") == submitted, "in the order in which they were submitted"
        assert sorted(ids(online, "settled")) == sorted(submitted)
        assert Counter(entry.name for entry in device.journal.ended()) == {f"task-{n}": 1 for n in range(60)}
        assert device.finish().output == "all is submitted\n"
    finally:
        site.close()


def test_a_device_killed_in_the_middle_of_a_stream_gets_every_result_after_all(
    start_site: StartSite, processes: Processes, tmp_path: Path
) -> None:
    """It is still submitting. Its node meets the tasks again, as those of the same sender, and runs none twice."""
    site = start_site("n1")
    device = Device(processes, site.broker.url, tmp_path)
    killed = device.start(0, 3000, seconds=0.005, how="stream")
    eventually(lambda: len(ids(killed, "settled")) >= 20, what="the first results")
    killed.kill()
    rest = device.finish()
    before, after = set(ids(killed, "settled")), set(ids(rest, "settled"))
    submitted = set(ids(killed, "submitted"))
    both = before & after
    print(f"submitted: {len(submitted)}, settled before: {len(before)}, after: {len(after)}, in both: {len(both)}")
    assert len(submitted) < 3000, "it was not killed in the middle"
    assert before | after >= submitted
    assert len(before | after) <= len(submitted) + 1, "it may have been killed before it could say so"
    assert len(both) <= 4, "only what was settled in its last moment is delivered again"
    assert after == set(ids(rest, "recovered"))
    runs = Counter(entry.name for entry in device.journal.ended())
    assert runs == {f"task-{number}": 1 for number in range(len(before | after))}


def test_a_device_that_closes_leaves_its_tasks_to_go_on(
    start_site: StartSite, processes: Processes, tmp_path: Path
) -> None:
    """Closing is no cancelling here: the task runs on, and its result is for the next program."""
    site = start_site("n1")
    ledger, journal = tmp_path / "tasks.db", Journal(tmp_path / "journal")
    with site.connect(ledger=ledger) as fog:
        name = fog.name
        future = fog.submit("work", journal.path, "long", 0.5)
        eventually(journal.begun)
    assert future.cancelled()
    with site.connect(ledger=ledger) as fog:
        assert fog.name == name
        [recovered] = fog.recovered
        assert recovered.id == future.id
        assert recovered.name == "work"
        assert recovered.result(5) == "long"
        assert recovered.trace is not None
        assert recovered.trace.nodes == ["n1"]
    assert len(journal.begun()) == 1
    with site.connect(ledger=ledger) as fog:
        assert fog.recovered == []


def offline(ledger: Path, **options: object) -> fogsdk.Fog:
    """A device that finds nobody."""
    return fogsdk.connect(f"mqtt://127.0.0.1:{free_port()}", ledger=ledger, **options)  # type: ignore[arg-type]


def test_connecting_with_a_ledger_does_not_wait_for_a_broker(tmp_path: Path) -> None:
    begun = time.monotonic()
    with offline(tmp_path / "tasks.db") as fog:
        assert time.monotonic() - begun < 1.0
        assert "reconnecting" in repr(fog)


def test_a_deadline_goes_on_while_no_program_runs(tmp_path: Path) -> None:
    ledger = tmp_path / "tasks.db"
    with offline(ledger) as fog:
        begun = time.monotonic()
        fog.submit("increment", 1, deadline=0.5)
        fog.submit("increment", 2, deadline=2.0)
    threading.Event().wait(0.7)  # how long nobody runs is the point here
    with offline(ledger) as fog:
        early, late = fog.recovered
        assert isinstance(early.exception(0.5), DeadlineExceeded)
        assert not late.done()
        assert isinstance(late.exception(5), DeadlineExceeded)
        assert 1.9 < time.monotonic() - begun < 2.7
    with offline(ledger) as fog:
        assert fog.recovered == []


def test_a_cancelled_task_is_not_found_again(tmp_path: Path) -> None:
    ledger = tmp_path / "tasks.db"
    with offline(ledger) as fog:
        futures = [fog.submit("increment", number) for number in range(4)]
        assert futures[1].cancel()
    with offline(ledger) as fog:
        assert [future.id for future in fog.recovered] == [futures[n].id for n in (0, 2, 3)]
        assert fog.recovered[0].cancel()
    with offline(ledger) as fog:
        assert [future.id for future in fog.recovered] == [futures[n].id for n in (2, 3)]


def test_ids_never_come_again(tmp_path: Path) -> None:
    """Not even those of tasks that are long settled: a node may still keep the outcome of one."""
    seen = []
    for _ in range(3):
        with offline(tmp_path / "tasks.db") as fog:
            futures = [fog.submit("increment", number) for number in range(3)]
            seen += [future.id for future in futures]
            for future in futures:
                future.cancel()
    assert len(set(seen)) == 9


def test_two_programs_cannot_share_a_ledger(processes: Processes, tmp_path: Path) -> None:
    device = Device(processes, f"mqtt://127.0.0.1:{free_port()}", tmp_path)
    first = device.start(0, 1, how="stay")
    first.wait_for("all is submitted")
    with pytest.raises(ConfigError, match=r"the ledger .*tasks\.db cannot be used: another process uses it"):
        offline(device.ledger)
    second = device.start(0, 1)
    assert second.wait() == 1
    assert "another process uses it" in second.output
    first.kill()
    with offline(device.ledger) as fog:
        assert len(fog.recovered) == 1


def test_one_program_cannot_open_a_ledger_twice(tmp_path: Path) -> None:
    with offline(tmp_path / "tasks.db"), pytest.raises(ConfigError, match="another process uses it"):
        offline(tmp_path / "tasks.db")


def test_a_ledger_with_tasks_belongs_to_its_device(tmp_path: Path) -> None:
    """Under another name its tasks would not be met again by the nodes that have them."""
    ledger = tmp_path / "tasks.db"
    with offline(ledger, name="phone") as fog:
        future = fog.submit("increment", 1)
    with pytest.raises(ConfigError, match="1 tasks of 'phone' for site 'home', and this is 'tablet'"):
        offline(ledger, name="tablet")
    with pytest.raises(ConfigError, match="this is 'phone' for site 'elsewhere'"):
        offline(ledger, site="elsewhere")
    with offline(ledger) as fog:
        assert fog.name == "phone"
        assert [each.id for each in fog.recovered] == [future.id]
        fog.recovered[0].cancel()
    with offline(ledger, name="tablet") as fog:
        assert fog.name == "tablet"


def test_a_file_that_is_no_ledger_is_left_alone(tmp_path: Path) -> None:
    notes = tmp_path / "notes.txt"
    notes.write_text("these are my notes, and none of your business\n" * 100)
    with pytest.raises(ConfigError, match=r"the ledger .*notes\.txt cannot be used"):
        offline(notes)
    assert notes.read_text().startswith("these are my notes")
    with pytest.raises(ConfigError, match="there is no folder"):
        offline(tmp_path / "nowhere" / "tasks.db")


def test_what_was_closed_takes_nothing_more(tmp_path: Path) -> None:
    with offline(tmp_path / "tasks.db") as fog:
        pass
    with pytest.raises(FogError, match="closed"):
        fog.submit("increment", 1)


FULL_DISK = """
import os, resource, sys, fogsdk

with fogsdk.connect(sys.argv[1], ledger=sys.argv[2]) as fog:
    kept = fog.submit("give_back", bytes(1000))
    _, most = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (os.path.getsize(sys.argv[2] + "-wal") + 4096, most))
    for number in range(3):
        try:
            fog.submit("give_back", bytes(100_000))
        except fogsdk.TaskRefused as error:
            print(error)
    resource.setrlimit(resource.RLIMIT_FSIZE, (most, most))
    print("kept", kept.id, fog.submit("give_back", bytes(100_000)).id)
"""


def test_a_full_disk_refuses_a_task_whole(processes: Processes, tmp_path: Path) -> None:
    """A clear error, nothing half submitted, what is there stays; with room again it goes on."""
    ledger = tmp_path / "tasks.db"
    device = processes.start_python("-c", FULL_DISK, f"mqtt://127.0.0.1:{free_port()}", str(ledger))
    assert device.wait() == 0, device.output
    assert len(re.findall(r"^overloaded: the ledger .*tasks\.db cannot be written: ", device.output, re.MULTILINE)) == 3
    kept = re.search(r"^kept (\S+) (\S+)$", device.output, re.MULTILINE)
    assert kept is not None
    with offline(ledger) as fog:
        assert [future.id for future in fog.recovered] == list(kept.groups())


def test_a_refusal_is_an_outcome_and_ends_in_the_ledger_too(start_site: StartSite, tmp_path: Path) -> None:
    site = start_site("n1")
    ledger = tmp_path / "tasks.db"
    with site.connect(ledger=ledger) as fog:
        with pytest.raises(TaskRefused, match="unknown-task"):
            fog.run("fly")
        assert list(fog.map("increment", range(10))) == list(range(1, 11))
    with site.connect(ledger=ledger) as fog:
        assert fog.recovered == []
