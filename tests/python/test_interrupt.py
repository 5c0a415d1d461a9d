"""Ctrl-C ends a process soon, also while much work is in flight."""

import pathlib
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator

import numpy as np
import pytest

WORK = """
import signal
import sys
import numpy as np
from pto_wsp import DType, Dense, InOut, P, Tensor, Tile, kernel, pto, workload

# A shell may have started the tests with interrupts ignored.
signal.signal(signal.SIGINT, signal.default_int_handler)

@kernel
def heavy(x: InOut[Tile[64, 64, DType.F32]]):
    zeros = pto.fori_loop(0, 200, lambda i, c: pto.tanh(pto.matmul(c, c)), x * 0.0)
    pto.store(x, x + 1.0 + zeros)

X = Tensor(np.memmap(sys.argv[1], np.float32, shape=(64, 64, 64)))

@workload
def work(rounds):
    for r in P.seq(rounds):
        for i in P(Dense[64]):
            heavy[i](X[i])

program = work(Dense[int(sys.argv[2])]).compile()
program.execute()
print("started", flush=True)
"""


@pytest.fixture
def start(tmp_path: pathlib.Path) -> Iterator[Callable[[str, int], subprocess.Popen[str]]]:
    """Starts `rounds` of work, then goes on with `script`."""
    np.zeros((64, 64, 64), np.float32).tofile(tmp_path / "X")
    processes = []

    def started(script: str, rounds: int) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, "-c", WORK + script, str(tmp_path / "X"), str(rounds)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        processes.append(process)
        assert process.stdout is not None
        assert process.stdout.readline() == "started\n"
        return process

    yield started
    for process in processes:
        process.kill()
        process.wait()


@pytest.mark.parametrize(
    "script",
    [
        "program.synchronize()",
        "while True: pass",
        "",  # the interpreter waits for the run when it ends
    ],
)
def test_an_interrupt_ends_the_process(start, script: str) -> None:
    process = start(script, 1_000_000)
    time.sleep(0.5)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=30)
    assert ("KeyboardInterrupt" in errors) == bool(script), errors


def test_without_one_the_work_is_finished(start, tmp_path: pathlib.Path) -> None:
    process = start("", 20)
    _, errors = process.communicate(timeout=120)
    assert (process.returncode, errors) == (0, "")
    assert (np.fromfile(tmp_path / "X", np.float32) == 20).all()
