"""The top level holds what the design names and what tools insist on finding there."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

TREE = Path(__file__).resolve().parents[2]
ALLOWED = {
    "CMakeLists.txt",
    "CMakePresets.json",
    "LICENSE",
    "Makefile",
    "README.md",
    "apps",
    "autotune",
    "include",
    "pyproject.toml",
    "python",
    "schedules",
    "src",
    "tests",
}


@pytest.mark.skipif(
    not (shutil.which("git") and (TREE / ".git").exists()), reason="not a git checkout"
)
def test_top_level() -> None:
    tracked = subprocess.run(
        ["git", "-c", f"safe.directory={TREE}", "ls-files"],
        cwd=TREE,
        capture_output=True,
        text=True,
        check=True,
    ).stdout.splitlines()
    entries = {name.split("/")[0] for name in tracked}
    assert {name for name in entries if not name.startswith(".")} - ALLOWED == set()
