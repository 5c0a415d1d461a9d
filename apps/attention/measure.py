"""Interleaved measurements of attention: ours and peers, in one process, checked and probed.

Every round runs each contestant once, in turn, between two probes of the machine (fused
multiply-adds from registers, and reads of a large array). Rounds in which a probe fell by more than
3 % of its best are left out where enough others are left. Results are checked against a float64
reference in the same run. Times decide nothing but what is printed.
"""

from __future__ import annotations

import ctypes
import dataclasses
import os
import pathlib
import shutil
import statistics
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from pto_wsp import Program

Array = np.ndarray[Any, Any]


def cores() -> int:
    """The cores that this process may use."""
    return len(os.sched_getaffinity(0))


def run(program: Program) -> None:
    """One run of a program, waited for."""
    program.execute()
    program.synchronize()


def reference_attention(q: Array, k: Array, v: Array, *, causal: bool) -> Array:
    """softmax(q kᵀ / √d) v in float64."""
    scores = q.astype(np.float64) @ np.swapaxes(k.astype(np.float64), -1, -2)
    scores /= np.sqrt(q.shape[-1])
    if causal:
        scores[..., np.triu(np.ones(scores.shape[-2:], bool), 1)] = -np.inf
    weights = np.exp(scores - scores.max(-1, keepdims=True))
    return weights / weights.sum(-1, keepdims=True) @ v.astype(np.float64)


def useful_flops(shape: Sequence[int], causal: bool) -> float:
    """Of both products; of the causal one only what is below the diagonal and on it."""
    batch, heads, seq, dim = shape
    pairs = seq * (seq + 1) / 2 if causal else seq * seq
    return 4.0 * batch * heads * dim * pairs


@dataclasses.dataclass
class Row:
    """What one contestant reached.

    Attributes
    ----------
    median_us, mad_us : float
        Median and median absolute deviation of the rounds that count.
    probe_fraction : float or None
        Useful flops per second over those of the probe.
    ratio : float
        Time over ours: more than 1 means that ours is faster.
    """

    name: str
    median_us: float
    mad_us: float
    gflops: float
    probe_fraction: float | None
    max_error: float
    ratio: float
    rounds: int


class Probe:
    """Measures the machine with a few lines of C++; absent where there is no compiler."""

    def __init__(self, threads: int) -> None:
        self.threads = threads
        self.library = _probe_library()
        self.memory = np.ones(1 << 24, np.float32) if self.library is not None else None

    def sample(self) -> tuple[float, float] | None:
        """GF/s of fused multiply-adds and GB/s of reads, of all threads together."""
        library, memory = self.library, self.memory
        if library is None or memory is None:
            return None
        chunk = memory.size // self.threads
        starts = [memory.ctypes.data + 4 * chunk * i for i in range(self.threads)]
        flops = self._together(lambda i: library.probe_fma(2_000_000))
        stream = self._together(lambda i: library.probe_read(starts[i], chunk))
        return flops, stream

    def _together(self, work: Callable[[int], float]) -> float:
        found = [0.0] * self.threads

        def one(i: int) -> None:
            found[i] = work(i)

        threads = [threading.Thread(target=one, args=(i,)) for i in range(1, self.threads)]
        for thread in threads:
            thread.start()
        one(0)
        for thread in threads:
            thread.join()
        return sum(found)


def _probe_library() -> ctypes.CDLL | None:
    compiler = shutil.which("c++") or shutil.which("g++") or shutil.which("clang++")
    if compiler is None:
        return None
    source = pathlib.Path(__file__).with_name("probe.cpp")
    with tempfile.TemporaryDirectory() as directory:
        built = pathlib.Path(directory) / "probe.so"
        done = subprocess.run(
            [compiler, "-O3", "-march=native", "-shared", "-fPIC", "-o", built, source],
            capture_output=True,
            check=False,
        )
        if done.returncode != 0:
            return None
        library = ctypes.CDLL(str(built))
    library.probe_fma.restype = ctypes.c_double
    library.probe_fma.argtypes = [ctypes.c_int64]
    library.probe_read.restype = ctypes.c_double
    library.probe_read.argtypes = [ctypes.c_void_p, ctypes.c_int64]
    return library


@dataclasses.dataclass
class _Contestant:
    name: str
    run: Callable[[], Any]
    result: Callable[[], Array]
    times: list[float] = dataclasses.field(default_factory=list)


class Contest:
    """Attention of one shape by several implementations; the first is ours."""

    def __init__(self, shape: Sequence[int], *, causal: bool, threads: int) -> None:
        self.shape = tuple(shape)
        self.causal = causal
        self.threads = threads
        self.contestants: list[_Contestant] = []
        self._expected: Array | None = None

    def add(self, name: str, action: Callable[[], Any], result: Callable[[], Array]) -> None:
        """`action` runs it once; `result` is where its output stands afterwards."""
        self.contestants.append(_Contestant(name, action, result))

    def add_peers(self, q: Array, k: Array, v: Array) -> None:
        """NumPy, and PyTorch where it is installed, on the same arrays; also the reference."""
        self._expected = reference_attention(q, k, v, causal=self.causal)
        out = np.zeros_like(q)
        if self.threads == cores():
            # Its number of threads is fixed when it is loaded.
            self.add("numpy", lambda: _numpy_attention(q, k, v, out, self.causal), lambda: out)
        try:
            import torch
        except ImportError:
            return
        held: dict[str, Any] = {}
        tensors = [torch.from_numpy(array) for array in (q, k, v)]
        attention = torch.nn.functional.scaled_dot_product_attention

        def action() -> None:
            torch.set_num_threads(self.threads)
            with torch.inference_mode():
                held["out"] = attention(*tensors, is_causal=self.causal)

        self.add(f"torch {torch.__version__}", action, lambda: held["out"].numpy())

    def measure(
        self, rounds: int = 9, progress: Callable[[int, int], None] | None = None
    ) -> list[Row]:
        """Warms up, runs `rounds` interleaved rounds, checks the results."""
        probe = Probe(self.threads)
        for contestant in self.contestants:
            contestant.run()
            contestant.run()
        samples = []
        before = probe.sample()
        for number in range(rounds):
            for contestant in self.contestants:
                start = time.perf_counter()
                contestant.run()
                contestant.times.append(time.perf_counter() - start)
            after = probe.sample()
            samples.append(None if before is None or after is None else _lower(before, after))
            before = after
            if progress is not None:
                progress(number + 1, rounds)
        return self._rows(samples)

    def _rows(self, samples: Sequence[tuple[float, float] | None]) -> list[Row]:
        counted = _steady(samples)
        peaks = [sample[0] for number in counted if (sample := samples[number]) is not None]
        flops = useful_flops(self.shape, self.causal)
        medians = [
            statistics.median(contestant.times[number] for number in counted)
            for contestant in self.contestants
        ]
        rows = []
        for contestant, median in zip(self.contestants, medians, strict=True):
            spread = [abs(contestant.times[number] - median) for number in counted]
            gflops = flops / median / 1e9
            rows.append(
                Row(
                    name=contestant.name,
                    median_us=median * 1e6,
                    mad_us=statistics.median(spread) * 1e6,
                    gflops=gflops,
                    probe_fraction=gflops / statistics.median(peaks) if peaks else None,
                    max_error=self._error(contestant),
                    ratio=median / medians[0],
                    rounds=len(counted),
                )
            )
        return rows

    def _error(self, contestant: _Contestant) -> float:
        if self._expected is None:
            raise ValueError("no reference: call add_peers")
        return float(np.abs(contestant.result() - self._expected).max())


def _lower(a: tuple[float, float], b: tuple[float, float]) -> tuple[float, float]:
    return min(a[0], b[0]), min(a[1], b[1])


def _steady(samples: Sequence[tuple[float, float] | None]) -> list[int]:
    """The rounds in which no probe fell by more than 3 % of its best; all, if those are under 7."""
    known = [sample for sample in samples if sample is not None]
    if len(known) < len(samples):
        return list(range(len(samples)))
    best = [max(sample[i] for sample in known) for i in range(2)]
    steady = [
        number
        for number, sample in enumerate(known)
        if all(sample[i] >= 0.97 * best[i] for i in range(2))
    ]
    return steady if len(steady) >= 7 else list(range(len(samples)))


def _numpy_attention(q: Array, k: Array, v: Array, out: Array, causal: bool) -> None:
    scores = q @ np.swapaxes(k, -1, -2)
    scores *= np.float32(q.shape[-1] ** -0.5)
    if causal:
        scores += np.triu(np.full(scores.shape[-2:], -np.inf, np.float32), 1)
    scores -= scores.max(-1, keepdims=True)
    np.exp(scores, out=scores)
    np.matmul(scores, v, out=out)
    out /= scores.sum(-1, keepdims=True)


def print_table(title: str, rows: Sequence[Row]) -> None:
    """One line for each contestant."""
    print(f"{title}: median of {rows[0].rounds} interleaved rounds")
    print(f"  {'':<16}{'time':>12}{'useful':>12}{'of FMA':>9}{'max error':>12}{'pto_wsp is':>14}")
    for row in rows:
        fraction = "" if row.probe_fraction is None else f"{row.probe_fraction:.2f}"
        ratio = "" if row is rows[0] else f"{row.ratio:.2f} x faster"
        print(
            f"  {row.name:<16}{row.median_us / 1e3:>9.3f} ms{row.gflops:>7.0f} GF/s"
            f"{fraction:>9}{row.max_error:>12.1e}{ratio:>16}"
        )
