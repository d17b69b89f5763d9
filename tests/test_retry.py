"""``scripts/test``: what failed among others runs once more, and what fails again fails for good."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
ONCE = """
from pathlib import Path

def test_that_fails_once():
    been, path = Path("been").exists(), Path("been").touch()
    assert been
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A project with this one's environment, and a test that passes."""
    (tmp_path / "scripts").mkdir()
    shutil.copy(ROOT / "scripts" / "test", tmp_path / "scripts")
    (tmp_path / ".venv").symlink_to(sys.prefix)
    (tmp_path / "tests" / "docs").mkdir(parents=True)
    (tmp_path / "tests" / "docs" / "test_docs.py").write_text("def test(): pass\n")
    (tmp_path / "tests" / "test_one.py").write_text("def test(): pass\n")
    return tmp_path


@pytest.mark.parametrize(
    ("more", "status"),
    [(ONCE, 0), ("def test_that_fails(): assert 0\n", 1), ("this is no Python\n", 1)],
    ids=["fails once", "fails twice", "cannot be read"],
)
def test_one_failure_is_run_again_and_counts_only_if_it_fails_again(project: Path, more: str, status: int) -> None:
    (project / "tests" / "test_more.py").write_text(more)
    done = subprocess.run(["scripts/test"], cwd=project, capture_output=True, text=True, timeout=50, check=False)
    assert done.returncode == status, done.stdout
    assert "runs once more, by itself" in done.stdout
