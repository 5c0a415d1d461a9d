"""Attention against every installed peer: full and causal, f32, one and two workers.

    python apps/attention/bench.py [--quick] [--output DIRECTORY]

Writes a table to stdout, `attention.json` and `attention.png`. A wrong result fails; a time never
does.
"""

from __future__ import annotations

import argparse
import dataclasses
import itertools
import json
import math
import pathlib
import platform
import statistics
import sys
from typing import Any

import attention_example
import measure
import numpy as np
import pto_wsp
from pto_wsp import DispatchPolicy, P, Program, Tensor, workload

BATCH, HEADS = 1, 8
DIMS = (64, 128)
SEQS = (512, 1024, 2048)
TOLERANCE = 1e-4


@dataclasses.dataclass(frozen=True)
class Case:
    """One shape, mask and number of workers."""

    seq: int
    dim: int
    causal: bool
    workers: int

    @property
    def shape(self) -> tuple[int, int, int, int]:
        return BATCH, HEADS, self.seq, self.dim

    def __str__(self) -> str:
        return f"{_mask(self.causal):<6} D {self.dim:<3} S {self.seq:<4} {_workers(self.workers)}"


def _mask(causal: bool) -> str:
    return "causal" if causal else "full"


def _workers(count: int) -> str:
    return f"{count} worker{'s' if count > 1 else ''}"


def program_of(case: Case, arrays: list[np.ndarray], out: np.ndarray) -> Program:
    """Our program on `arrays`; one worker is one lane, on which tasks run one at a time."""
    head = attention_example.whole_tile_attention
    if case.causal:
        head = attention_example.whole_tile_causal
    q, k, v, o = (Tensor(array) for array in (*arrays, out))

    @workload
    def attention(batch, heads):
        for b, h in P(batch, heads):
            head[b, h](q[b, h], k[b, h], v[b, h], o[b, h])

    work = attention(BATCH, HEADS)
    if case.workers == 1:
        work = work.dispatch(DispatchPolicy.round_robin(1))
    return work.compile(target="cpu")


def measure_case(case: Case, rounds: int, progress: Progress) -> list[measure.Row]:
    rng = np.random.default_rng(0)
    arrays = [rng.standard_normal(case.shape).astype(np.float32) for _ in range(3)]
    out = np.zeros(case.shape, np.float32)
    program = program_of(case, arrays, out)
    contest = measure.Contest(case.shape, causal=case.causal, threads=case.workers)
    contest.add("pto_wsp", lambda: measure.run(program), lambda: out)
    contest.add_peers(*arrays)
    return contest.measure(rounds, lambda done, of: progress.show(case, done, of))


class Progress:
    """One line that changes on a terminal, one line a case elsewhere; on stderr."""

    def __init__(self, cases: int) -> None:
        self.cases = cases
        self.number = 0

    def show(self, case: Case, done: int, of: int) -> None:
        line = f"[{self.number + 1}/{self.cases}] {case}: round {done}/{of}"
        if sys.stderr.isatty():
            print(f"\r{line:<78}", end="", file=sys.stderr, flush=True)
        elif done == of:
            print(line, file=sys.stderr, flush=True)
        if done == of:
            self.number += 1

    def end(self) -> None:
        if sys.stderr.isatty():
            print(file=sys.stderr)


def geomean(values: list[float]) -> float:
    return math.exp(statistics.fmean(math.log(value) for value in values))


def print_results(results: dict[Case, list[measure.Row]]) -> None:
    print(f"{'':<30}{'':<18}{'time':>11}{'useful':>11}{'of FMA':>8}{'error':>9}{'ratio':>8}")
    for case, rows in results.items():
        for row in rows:
            fraction = "" if row.probe_fraction is None else f"{row.probe_fraction:.2f}"
            first = row is rows[0]
            ratio = "" if first else f"{row.ratio:.2f}"
            print(
                f"{str(case) if first else '':<30}{row.name:<18}{row.median_us / 1e3:>8.3f} ms"
                f"{row.gflops:>6.0f} GF/s{fraction:>8}{row.max_error:>9.0e}{ratio:>8}"
            )
    print()
    print("geometric means of the ratio (theirs / ours, more than 1: ours is faster)")
    for causal, workers in itertools.product((False, True), (1, 2)):
        chosen = [
            rows
            for case, rows in results.items()
            if (case.causal, case.workers) == (causal, workers)
        ]
        for name in [row.name for row in chosen[0][1:]] if chosen else []:
            ratios = [row.ratio for rows in chosen for row in rows if row.name == name]
            print(f"  {_mask(causal):<7}{_workers(workers):<10}{name:<18}{geomean(ratios):.2f}")


def write_json(path: pathlib.Path, results: dict[Case, list[measure.Row]]) -> None:
    document: dict[str, Any] = {
        "machine": pto_wsp.hardware(),
        "python": platform.python_version(),
        "numpy": np.__version__,
        "cases": [
            {
                **dataclasses.asdict(case),
                "batch": BATCH,
                "heads": HEADS,
                "rows": [dataclasses.asdict(row) for row in rows],
            }
            for case, rows in results.items()
        ],
    }
    path.write_text(json.dumps(document, indent=2) + "\n")


def draw(path: pathlib.Path, results: dict[Case, list[measure.Row]]) -> bool:
    """Bars of useful GF/s, a panel for each mask and number of workers."""
    try:
        import matplotlib
    except ImportError:
        return False
    matplotlib.use("Agg")
    from matplotlib import pyplot

    colours: dict[str, str] = {}
    figure, axes = pyplot.subplots(2, 2, figsize=(12, 7), sharey="col", squeeze=False)
    for (i, causal), (j, workers) in itertools.product(enumerate((False, True)), enumerate((1, 2))):
        panel = axes[i][j]
        chosen = {
            case: rows
            for case, rows in results.items()
            if (case.causal, case.workers) == (causal, workers)
        }
        names = [row.name for row in next(iter(chosen.values()))] if chosen else []
        for number, name in enumerate(names):
            places = [x + number * 0.8 / len(names) for x in range(len(chosen))]
            heights = [row.gflops for rows in chosen.values() for row in rows if row.name == name]
            colour = colours.setdefault(name, f"C{len(colours)}")
            panel.bar(places, heights, 0.8 / len(names), label=name, align="edge", color=colour)
        panel.legend()
        panel.set_xticks(
            [x + 0.4 for x in range(len(chosen))], [f"D{case.dim}\nS{case.seq}" for case in chosen]
        )
        panel.set_title(f"{_mask(causal)}, {_workers(workers)}")
        panel.set_ylabel("useful GF/s")
    figure.tight_layout()
    figure.savefig(path, dpi=120)
    return True


def main() -> int:
    top = pathlib.Path(__file__).resolve().parents[2]
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--output", type=pathlib.Path, default=top / "build" / "bench")
    parser.add_argument("--rounds", type=int, default=9, help="interleaved rounds (default 9)")
    parser.add_argument("--quick", action="store_true", help="only S 512")
    options = parser.parse_args()

    workers = [count for count in (1, 2) if count <= measure.cores()]
    seqs = SEQS[:1] if options.quick else SEQS
    cases = [
        Case(seq, dim, causal, count)
        for count, causal, dim, seq in itertools.product(workers, (False, True), DIMS, seqs)
    ]
    progress = Progress(len(cases))
    results = {case: measure_case(case, options.rounds, progress) for case in cases}
    progress.end()

    print(f"attention, f32, batch {BATCH}, heads {HEADS}, on {pto_wsp.hardware()}")
    print_results(results)
    options.output.mkdir(parents=True, exist_ok=True)
    write_json(options.output / "attention.json", results)
    drawn = draw(options.output / "attention.png", results)
    written = ["attention.json", "attention.png"] if drawn else ["attention.json"]
    print(f"\nwritten to {options.output}: {', '.join(written)}")
    if not drawn:
        print("no chart: matplotlib is not installed")

    wrong = [
        f"{case}: {row.name} is off by {row.max_error:.1e}"
        for case, rows in results.items()
        for row in rows
        if not row.max_error <= TOLERANCE
    ]
    print(*wrong, sep="\n", end="\n" if wrong else "")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
