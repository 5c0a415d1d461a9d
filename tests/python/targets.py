"""The machines that differential tests compile for; this one runs them all."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

_avx2 = "x86-64-linux-avx-avx2-f16c-fma-sse41"
_strings = {
    "native": "",
    "avx2": _avx2,
    "avx512": f"{_avx2}-avx512-avx512_skylake",
}
_needed = {"native": set(), "avx2": {"avx2", "fma", "f16c"}, "avx512": {"avx512f", "avx512vl"}}


def _flags() -> set[str]:
    lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    return {word for line in lines if line.startswith("flags") for word in line.split()}


def _parameter(name: str) -> object:
    missing = sorted(_needed[name] - _flags()) if _needed[name] else []
    reason = f"this machine has no {', '.join(missing)}"
    return pytest.param(name, marks=pytest.mark.skipif(bool(missing), reason=reason))


TARGETS = [_parameter(name) for name in _strings]


@contextlib.contextmanager
def compiling_for(name: str) -> Iterator[None]:
    """Kernels are compiled for the target of this name, whatever the machine has beside it."""
    before = os.environ.get("PTO_WSP_TARGET")
    os.environ["PTO_WSP_TARGET"] = _strings[name]
    try:
        yield
    finally:
        if before is None:
            del os.environ["PTO_WSP_TARGET"]
        else:
            os.environ["PTO_WSP_TARGET"] = before
