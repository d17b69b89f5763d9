"""A node takes the processors that it is left by a container or a service with a quota, not all of the machine."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from fogsdk.node import processors
from fogsdk.node.processors import quotas


def tree(folder: Path, groups: str, **files: str) -> tuple[Path, Path]:
    """Control groups as Linux shows them: ``files`` are their limits, with __ for a slash and _ for a dot."""
    (folder / "groups").write_text(groups)
    for name, content in files.items():
        path = folder / "tree" / name.replace("__", "/").replace("cpu_", "cpu.")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
    return folder / "groups", folder / "tree"


@pytest.mark.parametrize(
    ("groups", "files", "found"),
    [
        ("0::/\n", {"cpu_max": "150000 100000\n"}, [1.5]),
        ("0::/\n", {"cpu_max": "max 100000\n"}, []),
        ("0::/a/b\n", {"a__b__cpu_max": "max 100000\n", "a__cpu_max": "50000 100000\n"}, [0.5]),
        ("0::/of/the/host\n", {"cpu_max": "200000 100000\n"}, [2.0]),
        (
            "4:cpu,cpuacct:/a\n0::/\n",
            {"cpu__a__cpu_cfs_quota_us": "300000\n", "cpu__a__cpu_cfs_period_us": "100000\n"},
            [3.0],
        ),
        ("1:cpu:/\n", {"cpu__cpu_cfs_quota_us": "-1\n", "cpu__cpu_cfs_period_us": "100000\n"}, []),
        ("1:memory:/a\n", {}, []),
        ("0::/\n", {"cpu_max": "no number\n"}, []),
    ],
)
def test_the_quotas_of_a_group_and_of_those_above_it(
    tmp_path: Path, groups: str, files: dict[str, str], found: list[float]
) -> None:
    assert list(quotas(*tree(tmp_path, groups, **files))) == found


def test_where_there_are_no_control_groups_there_is_no_quota(tmp_path: Path) -> None:
    assert list(quotas(tmp_path / "none", tmp_path)) == []


def test_names_that_are_no_text_are_left_out(tmp_path: Path) -> None:
    (tmp_path / "groups").write_bytes(b"0::/\xff\n")
    assert list(quotas(tmp_path / "groups", tmp_path)) == []


@pytest.mark.parametrize(("quota", "left"), [(0.2, 1), (1.4, 1), (1000.0, None)])
def test_a_quota_leaves_at_least_one_and_never_more_than_there_are(
    monkeypatch: pytest.MonkeyPatch, quota: float, left: int | None
) -> None:
    monkeypatch.setattr(processors, "quotas", lambda: iter([quota]))
    assert processors.processors() == (left or len(os.sched_getaffinity(0)))


@pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="there is one processor")
@pytest.mark.parametrize(("quota", "several"), [(1.9, False), (2.0, True)])
def test_a_part_of_a_second_processor_does_not_make_several(
    monkeypatch: pytest.MonkeyPatch, quota: float, several: bool
) -> None:
    monkeypatch.setattr(processors, "quotas", lambda: iter([quota]))
    assert processors.several() is several
