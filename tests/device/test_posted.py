"""Receipts, and how long posted tasks are to be kept: what is understood, and what is not."""

from __future__ import annotations

import json
import pickle

import pytest

from fogsdk import Receipt
from fogsdk.device.posted import build_post, check_receipt, keep_ms, read_receipt
from fogsdk.errors import WireError

RECEIPT = Receipt("phone/0f3a", 2, ("n1", "n2"), 3600.0)


def test_a_receipt_can_be_kept_as_text_and_pickled() -> None:
    assert pickle.loads(pickle.dumps(RECEIPT)) == RECEIPT  # noqa: S301
    assert json.loads(json.dumps(str(RECEIPT))) == "phone/0f3a"
    assert check_receipt(RECEIPT) == check_receipt("phone/0f3a\n") == "phone/0f3a"


@pytest.mark.parametrize("text", ["", "phone", "phone/", "/0f3a", "phone/0f/3a", "Phone/0f3a", "phone 0f3a"])
def test_what_is_no_receipt_is_told_at_once(text: str) -> None:
    with pytest.raises(ValueError, match=r"str\(receipt\)"):
        check_receipt(text)


@pytest.mark.parametrize(
    ("keep", "milliseconds"),
    [(5, 5000), (0.5, 500), ("90s", 90_000), ("15m", 900_000), ("1h", 3_600_000), ("7d", 604_800_000), ("30", 30_000)],
)
def test_the_time_to_keep_a_task_is_seconds_or_text(keep: float | str, milliseconds: int) -> None:
    assert keep_ms(keep) == milliseconds


@pytest.mark.parametrize("keep", [0, -1, "", "soon", "1 week", "1h30m", "-1h", float("inf"), float("nan"), "99999999d"])
def test_any_other_time_is_refused_with_what_it_may_be(keep: float | str) -> None:
    with pytest.raises(ValueError, match='"90s", "15m", "1h" or "7d"'):
        keep_ms(keep)


@pytest.mark.parametrize("answer", [None, [], {"receipt": 1}, {"receipt": "a/b", "copies": "2", "nodes": []}])
def test_an_answer_that_is_no_receipt_is_an_error_of_the_wire(answer: object) -> None:
    with pytest.raises(WireError, match="not a receipt"):
        read_receipt(answer, 1000)
    assert read_receipt({"receipt": "phone/0f3a", "copies": 2, "nodes": ["n1", "n2"]}, 3_600_000) == RECEIPT


def test_nobody_can_guess_the_id_of_a_posted_task() -> None:
    """It is the right to fetch: 128 random bits."""
    ids = {build_post("count", (), {}, 1, None).id for _ in range(100)}
    assert len(ids) == 100
    assert {len(id) for id in ids} == {32}
