"""The package as a whole: what it exports, and what importing it does."""

import logging
import subprocess
import sys

import pto_wsp
import pytest

WANTED_LATER = ["graph"]


def run(code: str, **environment: str) -> subprocess.CompletedProcess[str]:
    import os

    return subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        env={**os.environ, **environment},
        timeout=120,
        check=False,
    )


def test_importing_prints_nothing() -> None:
    done = run("import pto_wsp")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_all_names_exist_and_are_documented() -> None:
    for name in pto_wsp.__all__:
        assert getattr(pto_wsp, name).__doc__, name


def test_is_typed() -> None:
    import pathlib

    assert (pathlib.Path(pto_wsp.__file__).parent / "py.typed").exists()


@pytest.mark.parametrize("name", WANTED_LATER)
def test_names_of_later_say_so(name: str) -> None:
    with pytest.raises(AttributeError, match=f"pto_wsp.{name} is not available yet"):
        getattr(pto_wsp, name)
    assert not hasattr(pto_wsp, name)
    with pytest.raises(ImportError, match=f"pto_wsp.{name} is not available yet"):
        exec(f"from pto_wsp import {name}")


def test_an_unknown_name_has_a_suggestion() -> None:
    with pytest.raises(AttributeError, match="no attribute 'kernal'; did you mean 'kernel'"):
        pto_wsp.kernal  # noqa: B018


def test_aliases() -> None:
    assert pto_wsp.jit_kernel is pto_wsp.kernel
    assert pto_wsp.tl is pto_wsp.pto
    assert pto_wsp.Layout is pto_wsp.TensorLayout
    assert pto_wsp.LayoutShard is pto_wsp.Shard is pto_wsp.TensorShard
    assert pto_wsp.LayoutReplicate is pto_wsp.Replicate is pto_wsp.TensorReplicate
    assert pto_wsp.layout_join is pto_wsp.tensor_layout_join


def test_the_log_level_is_read_from_the_environment() -> None:
    code = "import logging, pto_wsp; print(logging.getLogger('pto_wsp').level)"
    assert run(code, PTO_WSP_LOG="debug").stdout.strip() == str(logging.DEBUG)
    assert run(code, PTO_WSP_LOG="warning").stdout.strip() == str(logging.NOTSET)


def test_diagnostics_go_to_the_logger() -> None:
    code = """
import logging
class Kept(logging.Handler):
    def emit(self, record):
        print(record.name, record.levelname, record.getMessage())
logging.getLogger("pto_wsp").addHandler(Kept())
import numpy as np
from pto_wsp import DType, In, Out, Tile, kernel, pto
@kernel
def copy(x: In[Tile[4, 4, DType.F32]], y: Out[Tile[4, 4, DType.F32]]):
    pto.store(y, x)
copy.compile()(np.ones((4, 4), np.float32), np.zeros((4, 4), np.float32))
"""
    done = run(code, PTO_WSP_CACHE_DIR="/proc/none")
    # A sanitizer has lines of its own, which say so.
    printed = [line for line in done.stderr.splitlines() if not line.startswith("==")]
    assert (done.returncode, printed) == (0, [])
    assert done.stdout.startswith("pto_wsp WARNING ")
    assert "/proc/none" in done.stdout
