"""What the README shows works as it stands there."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

TREE = Path(__file__).resolve().parents[2]
README = (TREE / "README.md").read_text(encoding="utf-8")
SNIPPETS = re.findall(r"^```python\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize("snippet", SNIPPETS, ids=[f"snippet{i}" for i in range(len(SNIPPETS))])
def test_snippets_run(snippet: str, tmp_path: Path) -> None:
    # From a file: a traced function is read from its source.
    file = tmp_path / "snippet.py"
    file.write_text(snippet, encoding="utf-8")
    done = subprocess.run(
        [sys.executable, str(file)], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def test_there_is_a_snippet() -> None:
    assert SNIPPETS


def test_make_targets_exist() -> None:
    makefile = (TREE / "Makefile").read_text(encoding="utf-8")
    targets = set(re.findall(r"^([a-z]+):", makefile, re.MULTILINE))
    assert set(re.findall(r"make ([a-z]+)", README)) <= targets


def test_places_exist() -> None:
    places = re.findall(r"`((?:include|src|python|apps|tests|schedules)/[\w./]*)`", README)
    assert [place for place in places if not (TREE / place).exists()] == []
