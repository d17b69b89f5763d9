"""What docs/scale.md is made by: it measures, and the page shows each size beside the smallest."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks import scale
from benchmarks.scaling import page, simulated
from benchmarks.scaling.sections import SECTIONS


def test_a_simulated_site_answers_every_task_also_where_most_nodes_are_followers() -> None:
    found = simulated.site(3 * simulated.IN_FULL)
    assert found["per_second"] > 0.9 * simulated.DEVICES * simulated.RATE / 60
    assert found["p50_ms"] < 20.0


@pytest.mark.timeout(180)  # it computes all the while: beside other work it takes several times as long
def test_a_run_of_one_section_writes_a_page_with_ratios_and_a_plot(tmp_path: Path) -> None:
    document = tmp_path / "scale.md"
    scale.main(["--quick", "--only", "simulated", "--document", str(document)])
    text = document.read_text()
    assert "| 100 | " in text
    assert "at most 1.2" in text
    assert document.with_suffix(".png").read_bytes().startswith(b"\x89PNG")


def test_a_size_that_was_refused_says_so_and_breaks_no_ratio() -> None:
    section = SECTIONS["bodies"]
    text = page.section(section, {"1": [{"mb_per_second": 10.0}, {"mb_per_second": 12.0}], "64": [{}]})
    assert "11.0 ± 1.00" in text
    assert "| 64 | refused" in text
