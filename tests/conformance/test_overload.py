"""What a node says that can take no more, and what comes of that over each way in."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conformance.conftest import OpenSite
from tests.conformance.link import Link, Order
from tests.e2e.journal import Journal
from tests.support.waiting import eventually

WORKERS = 2
AT_ONCE = 6  # of one sender, where ten have room


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OpenSite]:
    """A node that holds few tasks."""
    with OpenSite(tmp_path_factory.mktemp("site")) as site:
        site.open("--queue-limit", "10")
        yield site


def test_what_a_full_node_cannot_take_is_refused_with_a_time_to_try_again(
    site: OpenSite, link: Link, journal: Journal, tmp_path: Path
) -> None:
    """Nothing is lost silently. Who only asks is refused; the SDK tries again, until the task has its result."""
    gate = tmp_path / "gate"
    taken = [link.hand_in(Order("hold", (journal.path, str(n), str(gate)), priority=5)) for n in range(WORKERS)]
    eventually(lambda: len(journal.begun()) == WORKERS)
    taken += [link.hand_in(Order("hold", (journal.path, f"w{n}", str(gate)))) for n in range(AT_ONCE - WORKERS)]
    eventually(lambda: site.queued() == AT_ONCE - WORKERS)
    late = link.hand_in(Order("increment", (41,)))
    if link.persists:
        gate.touch()
        assert late.outcome().value == 42
    else:
        refused = late.outcome()
        assert (refused.kind, refused.reason) == ("refused", "overloaded")
        assert refused.retry_after is not None
        assert refused.retry_after > 0
        gate.touch()
    assert {call.outcome().kind for call in taken} == {"result"}
