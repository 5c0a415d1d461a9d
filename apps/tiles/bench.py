"""Tile kernels against every installed peer, on one core.

    python apps/tiles/bench.py [--output DIRECTORY] [--program build/release/bench_tiles]

Finds the libraries of NumPy (OpenBLAS), PyTorch (MKL) and BLIS, runs the measuring program on them
at their best settings, and has it write `tiles.json`. A wrong result fails; a time never does.
"""

from __future__ import annotations

import argparse
import ctypes.util
import importlib.util
import os
import pathlib
import subprocess
import sys


def package_files(package: str, pattern: str) -> list[pathlib.Path]:
    """Files of an installed package, or of the `.libs` beside it, that match `pattern`."""
    spec = importlib.util.find_spec(package)
    if spec is None or spec.origin is None:
        return []
    site = pathlib.Path(spec.origin).parent.parent
    found = [path for name in (package, f"{package}.libs") for path in (site / name).rglob(pattern)]
    return sorted(found)


def peers() -> list[str]:
    """`library:symbol` of each single-precision product that is installed."""
    found = [f"{path}:scipy_sgemm_64_" for path in package_files("numpy", "libscipy_openblas64*")]
    found += [f"{path}:sgemm_" for path in package_files("torch", "libtorch_cpu.so")]
    if blis := ctypes.util.find_library("blis"):
        found.append(f"{blis}:sgemm_")
    return found


def has_avx512() -> bool:
    try:
        return "avx512bw" in pathlib.Path("/proc/cpuinfo").read_text()
    except OSError:
        return False


def main() -> int:
    top = pathlib.Path(__file__).resolve().parents[2]
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--output", type=pathlib.Path, default=top / "build" / "bench")
    parser.add_argument(
        "--program", type=pathlib.Path, default=top / "build" / "release" / "bench_tiles"
    )
    options = parser.parse_args()
    options.output.mkdir(parents=True, exist_ok=True)
    environment = {
        **os.environ,
        "OMP_NUM_THREADS": "1",
        "MKL_NUM_THREADS": "1",
        "OPENBLAS_NUM_THREADS": "1",
    }
    if has_avx512():
        # Neither knows every machine, and falls back to AVX2 on those that it does not know.
        environment.setdefault("OPENBLAS_CORETYPE", "SKYLAKEX")
        environment.setdefault("BLIS_ARCH_TYPE", "skx")
    core = min(os.sched_getaffinity(0))
    done = subprocess.run(
        [options.program, options.output / "tiles.json", *peers()],
        env=environment,
        preexec_fn=lambda: os.sched_setaffinity(0, {core}),
        check=False,
    )
    return done.returncode


if __name__ == "__main__":
    sys.exit(main())
