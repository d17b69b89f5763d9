"""Posted tasks: kept by two nodes' disks, they outlive their poster and any one node, and run once where that shows."""

from __future__ import annotations

from pathlib import Path

import pytest

from fogsdk import DeadlineExceeded, Fog, FogFuture, Receipt, TaskFailed, TaskRefused
from tests.e2e.journal import Journal
from tests.e2e.site import Site, StartSite, wait_for_nodes
from tests.support.processes import Processes
from tests.support.waiting import eventually

PATIENCE = 20.0  # seconds


@pytest.fixture
def two(start_site: StartSite) -> Site:
    """A site of two nodes that keep."""
    return start_site("n1", "n2")


def connect(site: Site, *nodes: str) -> Fog:
    """A device that sees the nodes, all of them if not told otherwise."""
    fog = site.connect()
    wait_for_nodes(fog, *(nodes or site.nodes))
    return fog


def refused(fog: Fog, receipt: Receipt | str) -> str:
    """The reason for which a receipt is worth nothing, "" if it is still worth something."""
    try:
        fog.fetch(receipt, PATIENCE, forget=False)
    except TaskRefused as error:
        return error.reason
    except TaskFailed:
        pass
    return ""


def occupy(fog: Fog, site: Site, journal: Journal, gate: Path) -> list[FogFuture]:
    """Keep every worker of the site busy until there is a file ``gate``."""
    futures = [fog.submit("hold", journal.path, "blocker", str(gate)) for _ in range(2 * len(site.nodes))]
    eventually(lambda: len(journal.begun("blocker")) >= 2 * len(site.nodes), what="every worker at work")
    return futures


# ---------------------------------------------------------------- what it is for


def test_any_device_fetches_the_result_once(two: Site, journal: Journal) -> None:
    with connect(two) as poster, connect(two) as other:
        receipt = poster.post("work", journal.path, "posted", 0.1)
        assert (receipt.copies, sorted(receipt.nodes), receipt.keep) == (2, ["n1", "n2"], 3600.0)
        assert receipt.id.startswith(f"{poster.name}/")
        assert other.fetch(str(receipt), PATIENCE, forget=False) == "posted"
        assert poster.fetch(receipt, PATIENCE) == "posted"
        eventually(lambda: refused(other, receipt) == "unknown-receipt")
    assert len(journal.begun("posted")) == 1


def test_what_a_task_raised_is_kept_like_a_result(two: Site) -> None:
    with connect(two) as fog:
        receipt = fog.post("fail", "no such thing")
        with pytest.raises(TaskFailed, match="LookupError: no such thing"):
            fog.fetch(receipt, PATIENCE)
        eventually(lambda: refused(fog, receipt) == "unknown-receipt")


def test_a_fetch_that_gives_up_loses_nothing(two: Site, journal: Journal, tmp_path: Path) -> None:
    with connect(two) as fog:
        receipt = fog.post("hold", journal.path, "held", str(tmp_path / "gate"))
        with pytest.raises(DeadlineExceeded):
            fog.fetch(receipt, 0.5)
        (tmp_path / "gate").touch()
        assert fog.fetch(receipt, PATIENCE) == "held"
    assert len(journal.begun("held")) == 1


def test_the_result_is_there_when_the_poster_was_killed(two: Site, journal: Journal, processes: Processes) -> None:
    code = f"""
import fogsdk, threading
fog = fogsdk.connect({two.urls!r})
print("receipt", fog.post("work", {journal.path!r}, "posted", 0.5), flush=True)
threading.Event().wait()
"""
    poster = processes.start_python("-c", code)
    poster.wait_for("\n")
    poster.kill()
    with connect(two) as fog:
        assert fog.fetch(poster.output.split()[1], PATIENCE) == "posted"


def test_an_unknown_receipt_is_refused_and_told_why(two: Site) -> None:
    with connect(two) as fog, pytest.raises(TaskRefused, match="fetched before, its keep ran out"):
        fog.fetch(f"phone/{'0' * 32}", PATIENCE)


def test_a_result_is_kept_no_longer_than_asked(two: Site) -> None:
    with connect(two) as fog:
        receipt = fog.post("increment", 1, keep="1s")
        assert fog.fetch(receipt, PATIENCE, forget=False) == 2
        eventually(lambda: refused(fog, receipt) == "unknown-receipt")


def test_a_task_that_is_forgotten_before_it_ran_does_not_run(two: Site, journal: Journal, tmp_path: Path) -> None:
    with connect(two) as fog:
        blockers = occupy(fog, two, journal, tmp_path / "gate")
        receipt = fog.post("work", journal.path, "forgotten", 0.0)
        fog.forget(receipt)
        eventually(lambda: refused(fog, receipt) == "unknown-receipt")
        (tmp_path / "gate").touch()
        assert [each.result(PATIENCE) for each in blockers] == ["blocker"] * 4
    assert not journal.begun("forgotten")


# ---------------------------------------------------------------- nodes die


def test_the_home_is_killed_before_the_task_ran(two: Site, journal: Journal, tmp_path: Path) -> None:
    """The guardian runs it, and runs it twice if the home had handed it to that neighbour already."""
    gate = tmp_path / "gate"
    with connect(two) as fog, connect(two) as other:
        occupy(fog, two, journal, gate)
        receipt = fog.post("work", journal.path, "posted", 0.0)
        two.nodes[receipt.nodes[0]].kill()
        assert not journal.begun("posted")
        gate.touch()
        assert other.fetch(receipt, PATIENCE) == "posted"
    assert {entry.node for entry in journal.begun("posted")} == {receipt.nodes[1]}
    assert len(journal.begun("posted")) <= 2


@pytest.mark.parametrize("which", ["home", "guardian"])
def test_a_node_is_killed_when_the_result_is_there_and_comes_back(two: Site, journal: Journal, which: str) -> None:
    """Both agree then, and the task does not run a second time."""
    with connect(two) as fog:
        receipt = fog.post("work", journal.path, "posted", 0.0)
        assert fog.fetch(receipt, PATIENCE, forget=False) == "posted"
        killed, other = receipt.nodes if which == "home" else reversed(receipt.nodes)
        two.nodes[killed].kill()
        eventually(lambda: fog.nodes().keys() == {other})
        assert fog.fetch(receipt, PATIENCE, forget=False) == "posted"
        two.start(killed)
        wait_for_nodes(fog, killed)
        assert fog.fetch(receipt, PATIENCE, forget=False) == "posted"
        two.nodes[other].kill()  # now the first one is alone with what it knows
        eventually(lambda: fog.nodes().keys() == {killed})
        assert fog.fetch(receipt, PATIENCE, forget=False) == "posted"
    assert len(journal.begun("posted")) == 1


def test_the_home_dies_at_work_and_is_there_again_when_the_guardian_has_the_result(
    two: Site, journal: Journal, tmp_path: Path
) -> None:
    """It finds out that the task is done, and does not run it again."""
    with connect(two) as fog:
        blockers = [fog.post("hold", journal.path, f"held-{number}", str(tmp_path / "gate")) for number in range(4)]
        eventually(lambda: len(journal.begun()) == 4, what="all at work")
        two.nodes["n1"].kill()
        (tmp_path / "gate").touch()
        assert [fog.fetch(each, PATIENCE, forget=False) for each in blockers] == [f"held-{n}" for n in range(4)]
        runs = len(journal.begun())
        two.start("n1")
        wait_for_nodes(fog, "n1")
        assert [fog.fetch(each, PATIENCE) for each in blockers] == [f"held-{number}" for number in range(4)]
    assert len(journal.begun()) == runs


def test_every_node_is_killed_and_started_again(two: Site, journal: Journal, tmp_path: Path) -> None:
    """What was not done runs then; what was done does not."""
    with connect(two) as fog:
        done = fog.post("work", journal.path, "done", 0.0)
        assert fog.fetch(done, PATIENCE, forget=False) == "done"
        open_ = fog.post("hold", journal.path, "open", str(tmp_path / "gate"))
        eventually(lambda: journal.begun("open"))
        for node in two.nodes.values():
            node.kill()
        two.start("n1", "n2")
        (tmp_path / "gate").touch()
        assert fog.fetch(open_, PATIENCE) == "open"
        assert fog.fetch(done, PATIENCE) == "done"
    assert len(journal.begun("done")) == 1


def test_a_node_alone_goes_on_with_what_it_had(start_site: StartSite, journal: Journal, tmp_path: Path) -> None:
    site = start_site("n1")
    with connect(site) as fog:
        receipts = [fog.post("hold", journal.path, f"held-{number}", str(tmp_path / "gate")) for number in range(5)]
        site.nodes["n1"].kill()
        site.start("n1")
        (tmp_path / "gate").touch()
        assert [fog.fetch(each, PATIENCE) for each in receipts] == [f"held-{number}" for number in range(5)]


# ---------------------------------------------------------------- too few nodes


def test_where_one_node_keeps_the_receipt_says_so_and_two_copies_are_refused(start_site: StartSite) -> None:
    site = start_site("n1")
    with connect(site) as fog:
        receipt = fog.post("increment", 1)
        assert (receipt.copies, receipt.nodes) == (1, ("n1",))
        assert fog.fetch(receipt, PATIENCE) == 2
        with pytest.raises(TaskRefused) as error:
            fog.post("increment", 1, copies=2)
        assert error.value.reason == "too-few-nodes"
        site.start("n2", flags=["--no-keep-journal"])
        wait_for_nodes(fog, "n2")
        assert fog.post("increment", 1).nodes == ("n1",)


def test_where_no_node_keeps_a_post_is_refused(start_site: StartSite) -> None:
    site = start_site()
    site.start("n1", flags=["--no-keep-journal"])
    with connect(site) as fog, pytest.raises(TaskRefused) as error:
        fog.post("increment", 1, timeout=PATIENCE)
    assert error.value.reason == "no-journal"


def test_where_a_node_cannot_write_by_default_it_says_so_in_one_line_and_keeps_nothing(
    start_site: StartSite, tmp_path: Path
) -> None:
    (tmp_path / "state").touch()  # where the folder of its state would be
    site = start_site("n1")
    with connect(site) as fog:
        assert not fog.nodes()["n1"].keeps
        assert fog.run("increment", 1) == 2
    [line] = [line for line in site.nodes["n1"].output.splitlines() if "keeps no posted tasks" in line]
    assert "keep_journal = false" in line


def test_where_a_node_cannot_write_as_told_or_another_has_its_journal_it_does_not_start(
    start_site: StartSite, tmp_path: Path
) -> None:
    site = start_site("n1")
    flags = ("--brokers", site.broker.url, "--node")
    second = site.launch(*flags, "n1")
    assert second.wait() == 1
    assert "does a node n1 of site home run here already? Then give this one a name: --node n1-2" in second.output
    elsewhere = site.launch(*flags, "n2", "--journal", str(tmp_path / "missing" / "n2.journal"))
    assert elsewhere.wait() == 1
    assert "there is no folder" in elsewhere.output


@pytest.mark.parametrize("options", [{"copies": 3}, {"keep": "soon"}, {"weight": "huge"}, {"deadline": -1}])
def test_options_that_cannot_be_right_are_told_at_once(two: Site, options: dict[str, object]) -> None:
    with connect(two) as fog, pytest.raises(ValueError, match=next(iter(options))):
        fog.post("increment", 1, **options)  # type: ignore[arg-type]
