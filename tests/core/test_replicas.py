"""The records below posts and sessions: which of two versions counts, when one is stored, who takes whose place."""

from __future__ import annotations

from typing import Any

import pytest

from fogsdk.core.commands import Send, Write
from fogsdk.core.copies import AUDIT_EVERY, SEND_AGAIN
from fogsdk.core.identity import Identity
from fogsdk.core.membership import Directory
from fogsdk.core.partners import MOST_UNDER_WAY
from fogsdk.core.records import Record, Sought, Stored, Unwritten, Yielded, beats
from fogsdk.core.replicas import GUARDIAN_WITHIN, LAST_AGAIN, PASS_OVER, RECOVER_WITHIN, Replicas
from fogsdk.core.seeking import SEEK_WITHIN
from fogsdk.wire import codec
from fogsdk.wire.messages import Birth, Kept, Replica, Seek

HOUR = 3_600_000


class Table:
    """The records of node ``n0`` alone; what the others say is said by the test."""

    def __init__(self, others: tuple[str, ...] = ("n1", "n2")) -> None:
        self.now = 0
        self.directory = Directory()
        self.directory.link_up("a", 0)
        for node in ("n0", *others):
            self.come(node)
        self.replicas = Replicas(Identity("n0", "s", keeps=True), self.directory, lambda _key, first, _second: first)
        self.out: list[Any] = []

    def come(self, node: str) -> None:
        self.directory.hear("a", node, Birth(1, "fog", 1, keeps=True), self.now)

    def do(self, effects: list[Any]) -> list[Any]:
        """Note what comes of something, and return it."""
        self.out += effects
        return effects

    def create(self, key: str = "k", data: bytes = b"x", left: int = HOUR) -> Record:
        self.do(self.replicas.create(key, data, left, self.now))
        return self.replicas.store.records[key]

    def written(self) -> list[Any]:
        number = max((write.number for write in self.out if isinstance(write, Write)), default=0)
        return self.do(self.replicas.written(number))

    def keep(self, record: Record, **changes: Any) -> list[Any]:
        """The guardian says that it has a record."""
        said = Kept(record.key, record.guardian, record.home, record.guardian, record.progress, record.epoch, True)
        fields = {name: getattr(said, name) for name in said.__dataclass_fields__} | changes
        return self.do(self.replicas.kept(Kept(**fields), self.now))

    def stored(self, key: str = "k", **options: Any) -> Record:
        record = self.create(key, **options)
        self.written()
        self.keep(record)
        return record

    def pass_time(self, ms: int) -> list[Any]:
        out: list[Any] = []
        until = self.now + ms
        while (at := self.replicas.deadline()) is not None and at <= until:
            self.now = max(self.now, at)
            out += self.do(self.replicas.tick(self.now))
        self.now = until
        return out

    def guard(self, key: str = "k", home: str = "n1", progress: int = 0, data: bytes = b"x") -> Record:
        """A record whose guardian is n0."""
        self.do(self.replicas.heard(home, Replica(key, progress, 0, home, "n0", data, HOUR), self.now))
        self.written()
        return self.replicas.store.records[key]


def sent(effects: list[Any], kind: type = Replica) -> list[tuple[str, Any]]:
    """What was sent to whom."""
    return [
        (effect.topic.split("/")[4], effect.message)
        for effect in effects
        if isinstance(effect, Send) and isinstance(effect.message, kind)
    ]


def said(**changes: Any) -> Replica:
    fields: dict[str, Any] = {
        "key": "k",
        "progress": 3,
        "epoch": 1,
        "home": "n1",
        "guardian": "n2",
        "data": b"a",
        "left": HOUR,
    }
    return Replica(**(fields | changes))


# ---------------------------------------------------------------- which version counts

MINE: dict[str, Any] = {
    "key": "k",
    "progress": 3,
    "epoch": 1,
    "home": "n0",
    "guardian": "n1",
    "data": b"a",
    "expires": HOUR,
}


@pytest.mark.parametrize(
    ("theirs", "mine", "wins"),
    [
        ({"progress": 4, "epoch": 0}, {}, True),
        ({"progress": 2, "epoch": 9, "safe": True}, {}, False),
        ({"epoch": 2}, {"told": True}, True),
        ({"epoch": 1}, {"home": "n0"}, True),  # in the same epoch the higher node
        ({"epoch": 0}, {}, False),
        ({"epoch": 9, "data": b"b"}, {"told": True}, False),  # a wish gives way to what counts
        ({"epoch": 0, "data": b"b", "safe": True}, {}, True),
        ({"epoch": 9, "data": b"b"}, {"home": "n1"}, False),  # as its guardian this node has what it has
        ({"epoch": 2, "data": b"b"}, {}, True),  # of two wishes the later one
        ({"epoch": 2, "data": b"b", "safe": True}, {"told": True}, True),
        ({"epoch": 0, "data": b"b", "safe": True}, {"told": True}, False),
    ],
)
def test_of_two_versions_one_counts_more(theirs: dict[str, Any], mine: dict[str, Any], wins: bool) -> None:
    assert beats(said(**theirs), Record(**(MINE | mine)), "n0") is wins


# ---------------------------------------------------------------- storing


def test_a_version_is_stored_when_both_disks_have_it_in_whichever_order() -> None:
    for first in ("disk", "guardian"):
        table = Table()
        record = table.create()
        effects = [table.written(), table.keep(record)] if first == "disk" else [table.keep(record), table.written()]
        assert effects[0] == []
        assert effects[1] == [Stored("k")]
        assert table.keep(record) == [], "it is told once"


def test_with_no_other_keeper_the_own_disk_is_enough() -> None:
    table = Table(others=())
    table.create()
    assert table.written() == [Stored("k")]


def test_a_copy_that_is_not_acknowledged_is_sent_again_at_growing_intervals() -> None:
    table = Table(others=("n1",))
    table.create()
    times = []
    for _ in range(GUARDIAN_WITHIN - 1):
        times += [table.now] * len(sent(table.pass_time(1)))
    assert len(times) <= 4
    gaps = [after - before for before, after in zip([0, *times], times, strict=False)]
    assert gaps[0] >= SEND_AGAIN - 1
    assert gaps == sorted(gaps)
    assert all(gap <= LAST_AGAIN for gap in gaps)


def test_a_guardian_that_says_nothing_is_replaced_and_asked_again_later() -> None:
    table = Table()
    record = table.create()
    first = record.guardian
    table.written()
    table.pass_time(GUARDIAN_WITHIN + LAST_AGAIN)
    assert record.guardian not in ("", first)
    table.written()
    assert table.keep(record) == [Stored("k")]


def test_a_node_that_has_no_room_is_passed_over_but_one_that_only_lacks_it_is_not() -> None:
    table = Table()
    record = table.create()
    first = record.guardian
    table.keep(record, home="", guardian="", safe=False)
    assert record.guardian == first
    table.keep(record, home="", guardian="", safe=False, refuses=True)
    assert record.guardian not in ("", first)
    table.pass_time(PASS_OVER)
    assert first in table.replicas.others("k", table.now)


def test_what_nobody_guards_gets_a_guardian_as_soon_as_one_comes() -> None:
    table = Table(others=())
    record = table.create()
    table.written()
    table.come("n1")
    assert sent(table.do(table.replicas.node_came("n1", table.now)))[0][0] == "n1"
    assert record.guardian == "n1"
    assert record.epoch == 1


def test_copies_go_out_a_few_at_a_time() -> None:
    table = Table(others=("n1",))
    records = [table.create(f"k{index}") for index in range(2 * MOST_UNDER_WAY)]
    assert len(sent(table.out)) == MOST_UNDER_WAY
    assert len(sent(table.keep(records[0]))) == 1


def test_copies_that_wait_for_their_turn_are_not_forgotten_by_an_audit() -> None:
    """Which comes before the guardian has acknowledged any."""
    table = Table(others=("n1",))
    first = table.stored("first")
    table.do(table.replicas.erase("first", 0))
    table.keep(first)
    table.pass_time(AUDIT_EVERY - 1)
    table.out.clear()
    for number in range(MOST_UNDER_WAY + 10):
        table.create(f"k{number}")
    table.pass_time(2)
    for key in [message.key for _, message in sent(table.out)]:
        table.keep(table.replicas.store.records[key])
    assert len({message.key for _, message in sent(table.out)}) == MOST_UNDER_WAY + 10


def test_a_write_that_fails_is_told_and_one_for_another_node_refused() -> None:
    table = Table()
    table.create()
    assert Unwritten("k", "full") in table.replicas.write_failed(1, "full", 0)
    table.do(table.replicas.heard("n1", said(key="g", guardian="n0"), 0))
    [(_, answer)] = sent(table.do(table.replicas.write_failed(99, "full", 0)), Kept)
    assert (answer.refuses, table.replicas.get("g")) == (True, None)


# ---------------------------------------------------------------- as guardian


def test_a_guardian_answers_when_it_is_on_its_disk_and_again_when_asked_again() -> None:
    table = Table()
    copy = said(progress=0, epoch=0, guardian="n0")
    assert sent(table.do(table.replicas.heard("n1", copy, 0)), Kept) == []
    assert len(sent(table.written(), Kept)) == 1
    assert len(sent(table.do(table.replicas.heard("n1", copy, 0)), Kept)) == 1


def test_an_older_version_is_answered_with_the_newer_one() -> None:
    table = Table()
    table.guard(progress=2)
    [(_, answer)] = sent(table.replicas.heard("n2", said(progress=1, home="n2", guardian="n0"), 0))
    assert (answer.progress, answer.safe) == (2, True)


def test_a_guardian_that_is_no_longer_named_drops_its_copy() -> None:
    table = Table()
    table.guard()
    effects = table.replicas.heard("n2", said(progress=1, home="n2", guardian="n1", safe=True), 0)
    assert Yielded("k") in effects
    assert table.replicas.get("k") is None


def test_when_the_home_is_gone_the_others_are_asked_and_the_guardian_takes_over() -> None:
    table = Table()
    record = table.guard()
    table.directory.hear("a", "n1", Birth(1, "fog", 0, keeps=True), 0)
    effects = table.do(table.replicas.node_gone("n1", 0))
    assert [message for _, message in sent(effects, Seek)] == [Seek("k", 0, 0)]
    table.do(table.replicas.kept(Kept("k", "n2"), 0))
    assert (record.home, record.guardian, record.epoch, record.told) == ("n0", "n2", 1, False)
    table.written()
    assert table.keep(record) == [Stored("k")]


def test_a_guardian_does_not_take_over_what_another_node_has_in_a_later_version() -> None:
    table = Table()
    table.guard()
    table.replicas.node_gone("n1", 0)
    better = Kept("k", "n2", "n1", "n2", 1, 1, safe=True)
    effects = table.replicas.kept(better, 0) + table.pass_time(SEEK_WITHIN)
    assert table.replicas.get("k") is None
    assert [effect.best for effect in effects if isinstance(effect, Sought)] == [better]


def test_a_home_that_answers_stays_home() -> None:
    table = Table()
    record = table.guard()
    table.do(table.replicas.seek("k", 0))
    table.do(table.replicas.kept(Kept("k", "n1", "n1", "n0", 0, 0, safe=True), 0))
    assert record.home == "n1"


def test_a_home_that_answers_no_question_is_lost() -> None:
    table = Table(others=("n1",))
    record = table.guard()
    asked = 0
    while record.home == "n1":
        asked += len(sent(table.pass_time(AUDIT_EVERY), Seek))
        assert table.now < 60_000
    assert asked == 3
    assert record.home == "n0"


def test_a_home_that_answers_every_question_is_not() -> None:
    table = Table(others=("n1",))
    record = table.guard()
    for _ in range(20):
        for _, question in sent(table.pass_time(AUDIT_EVERY), Seek):
            table.do(table.replicas.kept(Kept(question.key, "n1", "n1", "n0", 0, 0, safe=True), table.now))
    assert record.home == "n1"


# ---------------------------------------------------------------- bounds and ends


def test_a_record_is_dropped_when_its_time_is_over() -> None:
    table = Table()
    table.stored(left=5000)
    effects = table.pass_time(5000)
    assert Yielded("k") in effects
    assert [write.data for write in effects if isinstance(write, Write)] == [None]
    assert table.replicas.get("k") is None


def test_an_erased_record_is_erased_at_the_guardian_too() -> None:
    table = Table()
    record = table.stored()
    assert sent(table.do(table.replicas.erase("k", 0)))[0][1].left == 0
    assert table.replicas.get("k") is None
    assert len(sent(table.pass_time(SEND_AGAIN))) == 1, "until it says so"
    table.keep(record, home="", guardian="", safe=False)
    assert not table.replicas.store.records


def test_an_erasure_that_the_disk_did_not_take_is_tried_again_until_it_does() -> None:
    table = Table(others=())
    table.create()
    table.written()
    table.create("other")
    table.written()
    [wipe] = [each for each in table.do(table.replicas.erase("k", 0)) if isinstance(each, Write)]
    for _ in range(3):
        [note] = table.do(table.replicas.write_failed(wipe.number, "the disk is full", table.now))
        assert "tried again" in note.text
        [wipe] = [each for each in table.pass_time(AUDIT_EVERY) if isinstance(each, Write)]
        assert (wipe.key, wipe.data) == ("k", None)
    table.written()
    assert not [each for each in table.pass_time(5 * AUDIT_EVERY) if isinstance(each, Write)]


def test_what_is_kept_again_under_its_key_is_not_erased_for_the_one_before_it() -> None:
    table = Table(others=())
    table.create()
    table.written()
    [wipe] = [each for each in table.do(table.replicas.erase("k", 0)) if isinstance(each, Write)]
    table.do(table.replicas.write_failed(wipe.number, "the disk is full", table.now))
    table.create()
    table.written()
    assert not [each for each in table.pass_time(5 * AUDIT_EVERY) if isinstance(each, Write)]


def test_beyond_its_room_a_node_keeps_nothing_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fogsdk.core.store.MOST_RECORDS", 1)
    table = Table()
    table.create()
    assert "1 records" in table.replicas.store.full(1)
    [(_, answer)] = sent(table.replicas.heard("n1", said(key="other", guardian="n0"), 0), Kept)
    assert (answer.home, answer.refuses) == ("", True)


def test_bytes_are_bounded_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fogsdk.core.store.MOST_RECORD_BYTES", 10)
    table = Table()
    table.stored(data=b"12345678")
    assert table.replicas.store.full(3)
    table.do(table.replicas.update("k", 1, b"1", 0))
    assert not table.replicas.store.full(3)


# ---------------------------------------------------------------- started again


def journal_of(table: Table) -> tuple[tuple[str, bytes], ...]:
    kept: dict[str, bytes] = {}
    for write in table.out:
        if isinstance(write, Write) and write.data is not None:
            kept[write.key] = write.data
    return tuple(kept.items())


def test_what_the_journal_holds_is_acted_on_when_the_other_node_has_answered() -> None:
    before = Table()
    guardian = before.stored().guardian
    table = Table(others=())
    table.do(table.replicas.recover(journal_of(before), 0))
    table.replicas.link_up(0)
    assert table.pass_time(100) == []
    table.come(guardian)
    table.do(table.replicas.node_came(guardian, table.now))
    assert table.keep(table.replicas.store.records["k"]) == [Stored("k")]


def test_what_the_journal_holds_is_acted_on_alone_when_nobody_comes() -> None:
    before = Table()
    before.stored()
    table = Table(others=())
    table.do(table.replicas.recover(journal_of(before), 0))
    table.replicas.link_up(0)
    table.pass_time(RECOVER_WITHIN - 1)
    assert not table.replicas.store.records["k"].told
    table.pass_time(1)
    assert table.written() == [Stored("k")]


def test_what_cannot_be_read_is_dropped_and_said() -> None:
    table = Table()
    good = codec.encode([said(home="n0", key="g")])
    effects = table.replicas.recover((("k", b"\xff"), ("x", good), ("g", good)), 0)
    assert list(table.replicas.store.records) == ["g"]
    assert [write.key for write in effects if isinstance(write, Write)] == ["k", "x"]


def test_one_who_hands_over_names_the_guardian_as_home() -> None:
    table = Table()
    record = table.stored()
    guardian = record.guardian
    effects = table.replicas.hand_over("k", 0)
    [(to, message)] = sent(effects)
    assert to == message.home == guardian
    assert (message.guardian, message.epoch, message.safe) == ("n0", 1, True)
    assert Yielded("k") in effects
