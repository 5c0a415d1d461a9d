"""The attention example: what it prints, line by line, and that its figures are measured."""

import json
import os
import pathlib
import subprocess
import sys

import pytest
from helpers import said

FOLDER = pathlib.Path(__file__).parents[2] / "apps" / "attention"

EXPECTED = """\
============================================================
PTO-RT v9 Multi-Head Attention Example
============================================================

Configuration:
  Batch size: 4
  Num heads:  8
  Seq length: 512
  Head dim:   64
  Total tasks: 32

JIT Kernel (@jit_kernel + tl.*):
  Name: attention_tile_jit
  Q tile: Tile[32, 64, F16]
  K tile: Tile[32, 64, F16]
  V tile: Tile[32, 64, F16]
  Operations: tl.matmul, tl.rsqrt, tl.rowmax, tl.exp, tl.div

Building workload...
  Workload type: Workload

Applying schedule...
  Scheduled type: Workload
  Streams: 4

Type checking...
  Layout join R ⊔ S(0): Layout(S(0), R, R, R)

Compiling program...
  Program type: Program

Executing with CPU simulation...
Execution complete!

Example completed successfully!
============================================================
"""


def run(
    script: str, *arguments: str, folder: pathlib.Path | None = None
) -> subprocess.CompletedProcess[str]:
    path = FOLDER / script if folder is None else pathlib.Path(script)
    return subprocess.run(
        [sys.executable, "-W", "error::DeprecationWarning", str(path), *arguments],
        capture_output=True,
        text=True,
        cwd=folder,
        env={**os.environ, "PYTHONIOENCODING": "utf-8"},
        timeout=300,
        check=False,
    )


@pytest.mark.slow
@pytest.mark.parametrize("folder", [None, FOLDER], ids=["from anywhere", "from its folder"])
def test_output(folder: pathlib.Path | None) -> None:
    done = run("attention_example.py", folder=folder)
    assert done.returncode == 0, done.stderr
    assert said(done.stderr) == []
    assert done.stdout.startswith(EXPECTED)
    figures = done.stdout.removeprefix(EXPECTED)
    assert "attention_tile_jit over 16 blocks of keys: max error" in figures
    for mask in ("full", "causal"):
        table = figures.partition(f"{mask} attention, f32 (4, 8, 512, 64)")[2].splitlines()
        ours = next(line.split() for line in table if line.split()[:1] == ["pto_wsp"])
        error = float(next(word for word in ours if "e-" in word))
        assert 0 < error < 1e-5
        assert any(line.split()[:1] == ["numpy"] and "x faster" in line for line in table)


@pytest.mark.slow
def test_benchmark(tmp_path: pathlib.Path) -> None:
    done = run("bench.py", "--quick", "--rounds", "7", "--output", str(tmp_path))
    assert done.returncode == 0, done.stdout + done.stderr
    document = json.loads((tmp_path / "attention.json").read_text())
    assert document["machine"]
    masks = {(case["causal"], case["dim"]) for case in document["cases"]}
    assert masks == {(False, 64), (False, 128), (True, 64), (True, 128)}
    for case in document["cases"]:
        assert case["rows"][0]["name"] == "pto_wsp"
        assert all(0 < row["max_error"] < 1e-4 for row in case["rows"])
        assert all(row["median_us"] > 0 and row["rounds"] >= 7 for row in case["rows"])
    assert "geometric means" in done.stdout
    assert "round 7/7" in done.stderr
    pytest.importorskip("matplotlib")
    assert (tmp_path / "attention.png").read_bytes().startswith(b"\x89PNG")
