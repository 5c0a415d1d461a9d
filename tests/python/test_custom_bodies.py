"""Kernels whose body is C++."""

from __future__ import annotations

import inspect
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pto_wsp import (
    CompileError,
    Constexpr,
    Dense,
    DType,
    ExecutionError,
    In,
    InOut,
    KernelError,
    KernelRef,
    Out,
    P,
    Scalar,
    ScheduleError,
    Tensor,
    Tile,
    TypeCheckError,
    kernel,
    pto,
    workload,
)

F16, BF16, F32 = DType.F16, DType.BF16, DType.F32
ALL = list(DType)

Fails = Callable[..., Any]


@kernel(
    cpp_src="""
    for (int64_t r = 0; r < x.rows(); ++r) {
        for (int64_t c = 0; c < x.cols(); ++c) {
            y(r, c) = a * x(r, c) + N;
        }
    }
"""
)
def affine(
    x: In[Tile[4, 8, F32]], y: Out[Tile[4, 8, F32]], a: Scalar[F32] = 2.0, N: Constexpr[int] = 3
):
    """y = a x + N."""


def test_runs_on_arrays(rng: np.random.Generator) -> None:
    x, y = rng.normal(size=(4, 8)).astype(np.float32), np.zeros((4, 8), np.float32)
    compiled = affine.compile()
    compiled(x, y)
    np.testing.assert_array_equal(y, np.float32(2) * x + np.float32(3))
    compiled(x=x, y=y, a=0.5)
    np.testing.assert_array_equal(y, np.float32(0.5) * x + np.float32(3))
    affine.compile(N=-1)(x, y)
    np.testing.assert_array_equal(y, np.float32(2) * x - np.float32(1))


def test_has_code_and_is_no_declaration() -> None:
    assert not affine.is_declaration
    assert "y(r, c) = a * x(r, c) + N;" in affine.compile().code
    assert affine.ir.ops == []
    assert 'custom "C++"' in affine.ir.dump()
    assert list(affine.options) == ["cpp_src"]
    assert affine.lower() == "C++ body of affine\n"


def test_strides_and_valid_parts() -> None:
    whole = np.arange(8 * 32, dtype=np.float32).reshape(8, 32)
    x, y = whole[::-2, ::4], np.full((4, 8), -1, np.float32)
    affine.compile()(x, y.T.copy().T)
    out = np.full((4, 8), -1, np.float32)
    affine.compile()(x, out)
    np.testing.assert_array_equal(out, 2 * x + 3)
    affine.compile()(Tensor(x).valid(rows=2, cols=3), Tensor(y).valid(rows=2, cols=3))
    np.testing.assert_array_equal(y[:2, :3], 2 * x[:2, :3] + 3)
    assert (y[2:] == -1).all() and (y[:, 3:] == -1).all()


@pytest.mark.parametrize("dtype", ALL, ids=str)
def test_every_dtype(dtype: DType) -> None:
    @kernel(cpp_src="for (int c = 0; c < 5; ++c) y(0, c) = x(0, c) + x(0, c);")
    def double(x: In[Tile[1, 5, dtype]], y: Out[Tile[1, 5, dtype]]): ...

    x = np.array([[0, 1, 2, 3, 100]]).astype(dtype.numpy)
    if dtype is BF16:
        x = np.array([[0, 0x3F80, 0x4000, 0x4040, 0x42C8]], np.uint16)
    y = np.zeros_like(x)
    double.compile()(x, y)
    expected = np.array([[0, 0x4000, 0x4080, 0x40C0, 0x4348]]) if dtype is BF16 else x + x
    np.testing.assert_array_equal(y, expected)


def test_takes_part_in_workloads(rng: np.random.Generator) -> None:
    @kernel
    def traced(x: In[Tile[4, 8, F32]], y: Out[Tile[4, 8, F32]]):
        pto.store(y, x * x)

    X = rng.normal(size=(6, 4, 8)).astype(np.float32)
    first, second = np.zeros_like(X), np.zeros_like(X)

    @workload
    def chain() -> None:
        for i in P(Dense[6]):
            affine[i](x=X[i], y=first[i])
        for i in P(Dense[6]):
            traced[i](x=first[i], y=second[i])

    X, first, second = Tensor(X), Tensor(first), Tensor(second)  # type: ignore[assignment]
    program = chain().compile()
    program.execute()
    program.synchronize()
    expected = (np.float32(2) * np.asarray(X) + np.float32(3)) ** 2
    np.testing.assert_array_equal(np.asarray(second), expected)
    again = chain().compile()
    assert again.stats.cache_hits == 1 and again.stats.cache_misses == 0


def test_dependence_orders_tasks() -> None:
    total = Tensor(np.zeros((1, 4), np.float32))

    @kernel(cpp_src="for (int c = 0; c < 4; ++c) t(0, c) = 2 * t(0, c) + k;")
    def step(t: InOut[Tile[1, 4, F32]], k: Scalar[DType.I64]): ...

    @workload
    def steps() -> None:
        for i in P(Dense[10]):
            step[i](t=total, k=i)

    program = steps().compile()
    program.execute()
    program.synchronize()
    expected = 0.0
    for i in range(10):
        expected = 2 * expected + i
    np.testing.assert_array_equal(np.asarray(total), np.full((1, 4), expected))


def test_overlapping_arguments_are_as_distinct_ones() -> None:
    data = np.arange(40, dtype=np.float32).reshape(5, 8)
    expected = 2 * data[:4] + 3
    affine.compile()(data[:4], data[1:])
    np.testing.assert_array_equal(data[1:], expected)


def test_bounds_are_checked(fails: Fails) -> None:
    x, y = np.zeros((5, 8), np.float32), np.zeros((4, 8), np.float32)
    fails(
        TypeCheckError,
        lambda: affine.compile()(x, y),
        "affine: 'x' has 5 rows, more than the 4 declared",
        line=0,
    )


def test_any_tensor(rng: np.random.Generator) -> None:
    @kernel(
        cpp_includes=["<algorithm>"],
        cpp_src="""
        for (int64_t r = 0; r < x.rows(); ++r) {
            std::reverse_copy(x.data() + r * x.stride(), x.data() + r * x.stride() + x.cols(),
                              y.data() + r * y.stride());
        }
        """,
    )
    def flip(x: In[Tensor], y: Out[Tensor]):
        pass

    for shape, dtype in (((3, 5), np.float32), ((2, 7), np.int16)):
        x = rng.integers(0, 100, shape).astype(dtype)
        y = np.zeros_like(x)
        flip.compile()(x, y)
        np.testing.assert_array_equal(y, x[:, ::-1])


def test_constants_of_all_kinds() -> None:
    @kernel(
        cpp_includes=["<cstring>"],
        cpp_src="""
        static_assert(flag && count == 7);
        y(0, 0) = ratio;
        y(0, 1) = std::strlen(text) + (text[0] == '{');
        """,
    )
    def constants(
        y: Out[Tile[1, 2, DType.F64]],
        flag: Constexpr[bool],
        count: Constexpr[int],
        ratio: Constexpr[float],
        text: Constexpr[str],
    ): ...

    y = np.zeros((1, 2))
    constants.compile(flag=True, count=7, ratio=0.1, text='{a"}\\')(y)
    assert y.tolist() == [[0.1, 6.0]]
    constants.compile(flag=True, count=7, ratio=float("inf"), text="")(y)
    assert y.tolist() == [[float("inf"), 0.0]]


@pytest.mark.error
def test_a_constant_without_a_form_in_cpp(fails: Fails) -> None:
    @kernel(cpp_src="y(0, 0) = 1;")
    def odd(y: Out[Tile[1, 1, F32]], shape: Constexpr): ...

    fails(
        TypeCheckError,
        lambda: odd.compile(shape=(1, 2)),
        "kernel 'odd': the Constexpr 'shape' is (1, 2), which has no form in C++",
        line=0,
        hint="bool, int, float and str have",
    )


@pytest.mark.error
def test_an_error_stands_at_its_line() -> None:
    @kernel(
        cpp_src="""
        const float twice = 2 * x(0, 0);
        y(0, 0) = twize;
        y(0, 1) = thrice;
        """,
        cpp_includes=["<cmath>"],
    )
    def wrong(x: In[Tile[1, 2, F32]], y: Out[Tile[1, 2, F32]]): ...

    lines, first = inspect.getsourcelines(test_an_error_stands_at_its_line)
    (line,) = (first + i for i, text in enumerate(lines) if text.strip() == "y(0, 0) = twize;")
    with pytest.raises(CompileError) as caught:
        wrong.compile()
    error = caught.value
    assert error.at == (__file__, line)
    assert error.text.startswith("kernel 'wrong': C++: ") and "'twize'" in error.text
    assert error.notes[0][0] == (__file__, line + 1)
    assert "thrice" in error.notes[0][1]
    assert error.notes[-1][1] == "kernel 'wrong' is declared here"

    out = Tensor(np.zeros((1, 2), np.float32))

    @workload
    def uses() -> None:
        wrong(x=out, y=out)

    with pytest.raises(CompileError) as caught:
        uses().compile()
    assert caught.value.at == (__file__, line)


@pytest.mark.error
def test_a_text_without_a_place_counts_its_own_lines() -> None:
    @kernel(cpp_src="y(0, 0) = 1;\n" + "nonsense;\n")
    def made(y: Out[Tile[1, 1, F32]]): ...

    with pytest.raises(CompileError, match=r"C\+\+: cpp_src:2: .*'nonsense'") as caught:
        made.compile()
    assert caught.value.at == made.place


@pytest.mark.error
def test_inputs_are_const() -> None:
    @kernel(cpp_src="x(0, 0) = y(0, 0) = 1;")
    def writes(x: In[Tile[1, 1, F32]], y: Out[Tile[1, 1, F32]]): ...

    with pytest.raises(CompileError, match=r"read-only|const value"):
        writes.compile()


@pytest.mark.error
def test_undefined_functions_are_found() -> None:
    @kernel(cpp_src="extern float nowhere(float); y(0, 0) = nowhere(1);")
    def calls(y: Out[Tile[1, 1, F32]]): ...

    with pytest.raises(CompileError, match=r"kernel 'calls': C\+\+: .*nowhere"):
        calls.compile()


def test_exceptions_are_task_errors(fails: Fails) -> None:
    @kernel(
        cpp_includes=["<stdexcept>", "<string>"],
        cpp_src="""
        const std::string cleaned_up(100, 'x');
        if (k == 1) throw std::runtime_error("k is " + std::to_string(k));
        if (k == 2) throw 5;
        y(0, 0) = k;
        """,
    )
    def throws(y: Out[Tile[1, 1, F32]], k: Scalar[DType.I32]): ...

    y = np.zeros((1, 1), np.float32)
    compiled = throws.compile()
    compiled(y, 7)
    assert y[0, 0] == 7
    fails(KernelError, lambda: compiled(y, 1), "throws: k is 1", line=0)
    fails(
        KernelError,
        lambda: compiled(y, 2),
        "throws: an exception that is no std::exception",
        line=0,
    )

    Y = Tensor(np.zeros((3, 1, 1), np.float32))

    @workload
    def tasks() -> None:
        for i in P(Dense[3]):
            throws[i](y=Y[i], k=i)

    program = tasks().compile()
    program.execute()
    with pytest.raises(ExecutionError, match=r"k is 1|no std::exception"):
        program.synchronize()


def test_a_file_holds_the_body(tmp_path: Path) -> None:
    source = tmp_path / "body.inc"
    source.write_text("y(0, 0) = offset() + 1;\n")
    header = tmp_path / "offset.h"
    header.write_text("inline float offset() { return 41; }\n")

    def made() -> KernelRef:
        @kernel(cpp_body_path=source, cpp_includes=['"offset.h"'])
        def filed(y: Out[Tile[1, 1, F32]]): ...

        return filed

    y = np.zeros((1, 1), np.float32)
    made().compile()(y)
    assert y[0, 0] == 42
    # A header that changed is seen, also in one process.
    header.write_text("inline float offset() { return 6; }\n")
    made().compile()(y)
    assert y[0, 0] == 7
    source.write_text("y(0, 0) = 1;\nreturn wrong;\n")
    with pytest.raises(CompileError, match=r"C\+\+: .*'wrong'") as caught:
        made().compile()
    assert caught.value.at == (str(source), 2)
    source.unlink()
    with pytest.raises(CompileError, match=r'cpp_body_path: .*body\.inc" cannot be read') as caught:
        made().compile()
    assert caught.value.at is not None and caught.value.at[0] == __file__


def test_a_file_defines_the_function(tmp_path: Path) -> None:
    (tmp_path / "include").mkdir()
    (tmp_path / "include/twice.h").write_text("template <class T> T twice(T x) { return x + x; }\n")
    source = tmp_path / "scaled.cpp"
    source.write_text(
        """
#include "pto/wsp/core/tile_ref.h"
#include "twice.h"

static float factor() { return 3; }

void scaled(pto::wsp::TileRef<const float> x, pto::wsp::TileRef<float> y, float a, int64_t N) {
    for (int64_t c = 0; c < N; ++c) {
        y(0, c) = factor() * twice(x(0, c)) + a;
    }
}
"""
    )

    def made() -> KernelRef:
        @kernel(cpp_tu_path=str(source), cpp_include_dirs=[tmp_path / "include"])
        def scaled(
            x: In[Tile[1, 4, F32]], y: Out[Tile[1, 4, F32]], N: Constexpr, a: Scalar[F32] = 1
        ): ...

        return scaled

    x, y = np.arange(4, dtype=np.float32).reshape(1, 4), np.zeros((1, 4), np.float32)
    made().compile(N=3)(x, y)
    assert y.tolist() == [[1, 7, 13, 0]]
    source.write_text(source.read_text().replace("void scaled", "void another"))
    with pytest.raises(CompileError, match="scaled") as caught:
        made().compile(N=3)
    assert caught.value.at == made().place
    assert caught.value.hint == (
        "the file defines void scaled(pto::wsp::TileRef<const float> x, "
        "pto::wsp::TileRef<float> y, float a)"
    )


@pytest.mark.error
def test_wrong_options(fails: Fails) -> None:
    def decorated(**options: Any) -> None:
        @kernel(**options)
        def f(y: Out[Tile[1, 1, F32]]): ...

    sources = "cpp_src, cpp_body_path, cpp_tu_path"
    names = "cpp_src, cpp_includes, cpp_body_path, cpp_tu_path, cpp_include_dirs"
    for options, text, hint in (
        (
            {"cpp_source": "x"},
            "@kernel: unknown option 'cpp_source'",
            f"did you mean 'cpp_src'? the options are {names}",
        ),
        (
            {"cpp_includes": ["a.h"]},
            f"@kernel: a C++ body is given by none of {sources}",
            f"give one of {sources}",
        ),
        (
            {"cpp_src": "x", "cpp_tu_path": "y"},
            "@kernel: a C++ body is given by cpp_src and by cpp_tu_path",
            f"give one of {sources}",
        ),
        ({"cpp_src": "  "}, "@kernel: cpp_src is empty", ""),
    ):
        with pytest.raises(CompileError) as caught:
            decorated(**options)
        assert (caught.value.text, caught.value.hint) == (text, hint)
    for options, text in (
        ({"cpp_src": 5}, "@kernel: cpp_src must be a text, got 5"),
        (
            {"cpp_src": "x", "cpp_includes": "a.h"},
            "@kernel: cpp_includes must be a list of texts, got 'a.h'",
        ),
    ):
        with pytest.raises(TypeCheckError) as caught:
            decorated(**options)
        assert caught.value.text == text


@pytest.mark.error
def test_two_bodies() -> None:
    with pytest.raises(CompileError) as caught:

        @kernel(cpp_src="y(0, 0) = 1;")
        def both(y: Out[Tile[1, 1, F32]]):
            pto.store(y, 1.0)

    assert caught.value.text == "kernel 'both' has a body in C++ and one in Python"
    assert caught.value.hint == "leave the function's body empty, or the cpp_* options out"


@pytest.mark.error
def test_schedules_do_not_apply(fails: Fails) -> None:
    fails(
        ScheduleError,
        lambda: affine.compile(schedule=[]),
        "kernel 'affine' has a body in C++: there is nothing that a schedule could apply to",
        line=0,
    )
    fails(
        ScheduleError,
        lambda: affine.compile(BLOCK_M=4),
        "kernel 'affine' has a body in C++: BLOCK_M, BLOCK_N and BLOCK_K have no meaning for it",
        line=0,
    )


@pytest.mark.error
def test_no_compiler(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CXX", "no-such-compiler --flag")
    with pytest.raises(CompileError) as caught:
        affine.compile(N=1234)
    assert caught.value.text == (
        "C++ bodies of kernels need a C++ compiler, and there is none: tried $CXX, which is "
        "no-such-compiler --flag (No such file or directory)"
    )
    assert caught.value.hint == ("set CXX to a compiler, or unset it to use c++, g++ or clang++")
    monkeypatch.delenv("CXX")
    monkeypatch.setenv("PATH", "/nowhere")
    script = (
        "import sys; sys.path[:0] = sys.argv[1:]\n"
        "from pto_wsp import *\n"
        "@kernel(cpp_src='y(0, 0) = 1;')\n"
        "def f(y: Out[Tile[1, 1, DType.F32]]): ...\n"
        "try: f.compile()\n"
        "except CompileError as error: print(error.text)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, *sys.path], capture_output=True, text=True, check=True
    )
    missing = "(No such file or directory)"
    assert done.stdout.strip() == (
        "C++ bodies of kernels need a C++ compiler, and there is none: tried "
        f"c++ {missing}, g++ {missing}, clang++ {missing}"
    )


_cached = """
import sys; sys.path[:0] = sys.argv[1:]
import numpy as np
from pto_wsp import *
@kernel(cpp_src="y(0, 0) = 5;")
def f(y: Out[Tile[1, 1, DType.F32]]): ...
y = Tensor(np.zeros((1, 1), np.float32))
@workload
def w(): f(y=y)
program = w().compile()
program.execute(); program.synchronize()
print(program.stats.cache_hits, program.stats.cache_misses, np.asarray(y)[0, 0])
"""


def test_is_cached_and_corrupt_entries_are_rebuilt(tmp_path: Path) -> None:
    def run() -> str:
        return subprocess.run(
            [sys.executable, "-c", _cached, *sys.path],
            env={**os.environ, "PTO_WSP_CACHE_DIR": str(tmp_path)},
            capture_output=True,
            text=True,
            check=True,
        ).stdout.strip()

    assert run() == "0 1 5.0"
    assert run() == "1 0 5.0"
    entries = list(tmp_path.rglob("*.o"))
    assert len(entries) == 2
    for entry in entries:
        data = bytearray(entry.read_bytes())
        data[len(data) // 2] ^= 1
        entry.write_bytes(data)
    assert run() == "0 1 5.0"
    assert run() == "1 0 5.0"


@pytest.mark.parametrize("target", ["x86-64-linux-sse41-avx-avx2-fma-f16c", "x86-64-linux"])
def test_the_target_decides_on_instructions(target: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PTO_WSP_TARGET", target)

    @kernel(
        cpp_src="""
#ifdef __AVX2__
    y(0, 0) = 2;
#else
    y(0, 0) = 1;
#endif
#ifdef __AVX512F__
    y(0, 0) = 512;
#endif
"""
    )
    def features(y: Out[Tile[1, 1, F32]]): ...

    y = np.zeros((1, 1), np.float32)
    features.compile()(y)
    assert y[0, 0] == (2 if "avx2" in target else 1)
