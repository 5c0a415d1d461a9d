"""Random workloads run as a sequential interpreter does, on any number of workers."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from conftest import RANDOM, examples
from pto_wsp import DType, InOut, P, Ragged, Scalar, Tensor, Tile, kernel, pto, workload


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Each workload is compiled once for all numbers of workers."""
    return tmp_path_factory.mktemp("cache")


@pytest.mark.property
@pytest.mark.parametrize("workers", [1, 2, 4, 8])
def test_random_workloads_run_as_the_interpreter(workers: int, cache: Path) -> None:
    # The number of workers is read once in a process.
    environment = dict(
        os.environ,
        PTO_WSP_WORKERS=str(workers),
        PTO_WSP_CACHE_DIR=str(cache),
        PYTHONWARNINGS="ignore",
    )
    done = subprocess.run(
        [sys.executable, str(Path(__file__).with_name("random_workloads.py")), str(examples(80))],
        env=environment,
        capture_output=True,
        text=True,
        timeout=120 * max(RANDOM, 1),
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_what_no_statement_uses_needs_no_values() -> None:
    @kernel
    def add(y: InOut[Tile[1, 4, DType.F32]], n: Scalar[DType.I32]):
        pto.store(y, pto.load(y) + n)

    rows = Ragged(3, [1, 2, 3])
    Y = Tensor(np.zeros((3, 4), np.float32))

    @workload
    def w():
        for b in P(3):
            _ = rows.length(b) + 1
            add(Y[b], b)

    program = w().compile()
    program.execute()
    assert program.synchronize(60)
    assert np.asarray(Y)[:, 0].tolist() == [0, 1, 2]
