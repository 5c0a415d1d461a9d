"""The kernels that the specification and the tutorial show, as they are written there."""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pto_wsp import (
    AxisVar,
    CompiledKernel,
    CompileError,
    Constexpr,
    Dense,
    DType,
    ExecutionError,
    ExternalKernel,
    In,
    InOut,
    KernelRef,
    Out,
    P,
    Scalar,
    Tensor,
    Tile,
    TypeCheckError,
    jit_kernel,
    kernel,
    pto,
    tl,
    workload,
)

F16 = DType.F16
F32 = DType.F32


@jit_kernel
def rmsnorm(
    x: In[Tile[32, 128, DType.F16]],
    out: Out[Tile[32, 128, DType.F16]],
    eps: Scalar[DType.F32] = 1e-6,
):
    """RMS normalization kernel using typed Value objects."""
    sq = pto.mul(x, x)
    mean = pto.rowmean(sq)
    rsqrt_val = pto.rsqrt(mean)
    pto.store(out, pto.mul(x, rsqrt_val))


@kernel
def flash_attn(
    Q: In[Tensor],
    K: In[Tensor],
    V: In[Tensor],
    O: Out[Tensor],  # noqa: E741
):
    """Flash attention kernel."""


def test_rmsnorm(rng: np.random.Generator) -> None:
    x = rng.normal(size=(32, 128)).astype(np.float16)
    out = np.zeros_like(x)
    rmsnorm.compile()(x, out)
    wide = x.astype(np.float32)
    np.testing.assert_allclose(
        out, wide / np.sqrt((wide**2).mean(axis=1, keepdims=True)), rtol=4e-3, atol=2e-3
    )
    assert isinstance(rmsnorm.signature["eps"].default, float)


def test_the_tutorials_matmul(rng: np.random.Generator) -> None:
    @kernel
    def matmul_tile(
        a: In[Tile[128, 64, F16]],
        b: In[Tile[64, 128, F16]],
        c: Out[Tile[128, 128, F32]],
    ):
        """Tiled matrix multiplication."""
        a_data = tl.load(a)
        b_data = tl.load(b)
        result = tl.matmul(a_data, b_data)
        tl.store(c, result)

    a, b = (rng.normal(size=size).astype(np.float16) for size in ((128, 64), (64, 128)))
    c = np.zeros((128, 128), np.float32)
    matmul_tile.compile()(a=a, b=b, c=c)
    np.testing.assert_allclose(c, a.astype(np.float32) @ b.astype(np.float32), atol=1e-3)


def test_the_tutorials_primitives() -> None:
    @kernel
    def all_of_them(ptr: InOut[Tile[8, 8, F32]]):
        data = tl.load(ptr)
        x, y = data, tl.neg(data)
        z = tl.add(x, y)
        z = tl.sub(x, z)
        z = tl.mul(x, z)
        z = tl.div(x, z)
        c = tl.matmul(x, z)
        s = tl.rowsum(c)
        m = tl.rowmax(x)
        mean = tl.rowmean(x)
        y = tl.exp(x)
        y = tl.rsqrt(y)
        y = tl.silu(y)
        y = tl.softmax(y)
        tl.store(ptr, y + s + m + mean)

    assert len(all_of_them.ir.ops) == 18


def test_tracing(capsys: pytest.CaptureFixture[str]) -> None:
    @kernel
    def rmsnorm(x: In[Tile[32, 128, F16]], out: Out[Tile[32, 128, F16]]):
        data = tl.load(x)
        sq = tl.mul(data, data)
        mean = tl.rowmean(sq)
        rsqrt_val = tl.rsqrt(mean)
        result = tl.mul(data, rsqrt_val)
        tl.store(out, result)

    ir = rmsnorm.trace()
    print(f"Operations: {len(ir.ops)}")
    for op in ir.ops:
        print(f"  {op}")
    assert capsys.readouterr().out.splitlines() == [
        "Operations: 6",
        "  %0 = load %x : tile<32x128xf16>",
        "  %1 = mul %0, %0 : tile<32x128xf16>",
        "  %2 = rowmean %1 : tile<32x1xf32>",
        "  %3 = rsqrt %2 : tile<32x1xf32>",
        "  %4 = mul %0, %3 : tile<32x128xf32>",
        "  store %out, %4",
    ]
    assert [(param.name, param.direction.name) for param in ir.params] == [
        ("x", "In"),
        ("out", "Out"),
    ]


def test_a_custom_kernel(rng: np.random.Generator) -> None:
    @kernel(
        cpp_includes=["<algorithm>", "<numeric>", "<vector>"],
        cpp_src="""
        std::vector<uint32_t> order(scores.cols());
        for (int64_t r = 0; r < scores.rows(); ++r) {
            std::iota(order.begin(), order.end(), 0u);
            std::stable_sort(order.begin(), order.end(), [&](uint32_t a, uint32_t b) {
                return scores(r, a) > scores(r, b);
            });
            std::copy_n(order.begin(), K, &indices(r, 0));
        }
        """,
    )
    def topk_kernel(
        scores: In[Tile[4, 64, F32]],
        indices: Out[Tile[4, K, DType.U32]],  # noqa: F821
        K: Constexpr[int],
    ):
        pass

    scores = rng.normal(size=(4, 64)).astype(np.float32)
    indices = np.zeros((4, 5), np.uint32)
    topk_kernel.compile(K=5)(scores, indices)
    np.testing.assert_array_equal(indices, np.argsort(-scores, axis=1, kind="stable")[:, :5])


def test_a_direct_call() -> None:
    Q, K, V, O = (  # noqa: E741
        Tensor(np.ones((2, 8, 16, 4), np.float32), name=name) for name in "QKVO"
    )
    batch, heads = Dense[2], Dense[8]

    @workload
    def attention(batch, heads):
        for b, h in P(batch, heads):
            flash_attn[b, h](Q=Q[b, h], K=K[b, h], V=V[b, h], O=O[b, h])

    program = attention(batch, heads).compile()
    with pytest.raises(ExecutionError, match="kernel 'flash_attn' is declared, but nothing"):
        program.execute()

    def implementation(q, k, v, o):  # type: ignore[no-untyped-def]
        pto.store(o, pto.matmul(pto.softmax(pto.matmul(q, k, trans_b=True)), v))

    program.register_kernel("flash_attn", implementation)
    program.execute()
    program.synchronize()
    np.testing.assert_allclose(np.asarray(O), 1, rtol=1e-6)


def test_the_reference() -> None:
    assert isinstance(flash_attn, KernelRef)
    assert flash_attn.symbol == f"{__name__}.flash_attn"
    assert inspect.ismodule(flash_attn.module)
    assert list(flash_attn.signature) == ["Q", "K", "V", "O"]
    seen: list[Any] = []

    @workload
    def calls():
        for b, h in P(Dense[2], Dense[3]):
            seen.extend([b, h])
            rmsnorm.at(b=b, h=h)(X[b, h], Y[b, h])
            rmsnorm[b, h](X[b, h], out=Y[b, h], eps=1.0)

    X = Tensor(np.zeros((2, 3, 32, 128), np.float16))
    Y = Tensor(np.zeros((2, 3, 32, 128), np.float16))
    assert calls().task_count == 12
    assert all(isinstance(axis, AxisVar) for axis in seen)


def test_compiling_one_kernel(capsys: pytest.CaptureFixture[str]) -> None:
    M, N = 16, 32

    @jit_kernel
    def my_kernel(x: In[Tile[M, N, DType.F16]], out: Out[Tile[M, N, DType.F16]]):
        pto.store(out, pto.mul(x, x))

    compiled = my_kernel.compile(target="cpu")
    assert isinstance(compiled, CompiledKernel)
    print(my_kernel.ir.dump())
    print(compiled.code)
    printed = capsys.readouterr().out
    assert printed.startswith("kernel @my_kernel(%x: in tile<16x32xf16>, %out: out tile<16x32xf16>")
    assert "external func" in printed
    print(my_kernel.lower(target="cpu_sim"))
    assert "for " in capsys.readouterr().out
    assert str(my_kernel.compile(BLOCK_M=8, BLOCK_N=16).schedule)


@pytest.mark.error
def test_targets_and_options() -> None:
    with pytest.raises(CompileError) as caught:
        rmsnorm.compile(target="ascend_npu")
    assert caught.value.text == "compile: target 'ascend_npu' is not available yet"
    assert caught.value.hint == "targets: cpu, cpu_sim"
    with pytest.raises(CompileError) as caught:
        rmsnorm.compile(target="tpu")
    assert (caught.value.text, caught.value.hint) == (
        "unknown target 'tpu'",
        "targets: cpu, cpu_sim",
    )
    with pytest.raises(TypeCheckError) as unknown:
        rmsnorm.compile(target="cpu", BLOCKS=4)
    assert unknown.value.text == "kernel 'rmsnorm': unknown option 'BLOCKS'"
    assert unknown.value.hint == "the options are BLOCK_M, BLOCK_N, BLOCK_K"


def test_two_kernels_of_one_name(rng: np.random.Generator) -> None:
    def times(factor: float) -> KernelRef:
        @kernel
        def scale(x: In[Tile[4, 4, F32]], y: Out[Tile[4, 4, F32]]):
            pto.store(y, x * factor)

        return scale

    twice, thrice = times(2.0), times(3.0)
    X = Tensor(rng.normal(size=(4, 4)).astype(np.float32))
    Y, Z = (Tensor(np.zeros((4, 4), np.float32)) for _ in range(2))

    @workload
    def both() -> None:
        twice(X, Y)
        thrice(X, Z)

    program = both().compile()
    program.execute()
    program.synchronize()
    np.testing.assert_array_equal(np.asarray(Y), 2 * np.asarray(X))
    np.testing.assert_array_equal(np.asarray(Z), np.float32(3) * np.asarray(X))


def test_an_external_kernel(tmp_path: Path, rng: np.random.Generator) -> None:
    (tmp_path / "flash_attn_v2.cpp").write_text(
        """
#include <cmath>
#include <vector>

using In = pto::wsp::TileRef<const float>;

void flash_attn_v2(In Q, In K, In V, pto::wsp::TileRef<float> O) {
    std::vector<float> p(K.rows());
    for (int64_t i = 0; i < Q.rows(); ++i) {
        float sum = 0;
        for (int64_t j = 0; j < K.rows(); ++j) {
            float score = 0;
            for (int64_t d = 0; d < Q.cols(); ++d) score += Q(i, d) * K(j, d);
            sum += p[j] = std::exp(score);
        }
        for (int64_t d = 0; d < V.cols(); ++d) {
            O(i, d) = 0;
            for (int64_t j = 0; j < K.rows(); ++j) O(i, d) += p[j] / sum * V(j, d);
        }
    }
}
"""
    )
    flash_attn_v2 = ExternalKernel(
        name="flash_attn_v2",
        impl_path=str(tmp_path / "flash_attn_v2.cpp"),
        inputs=["Q", "K", "V"],
        outputs=["O"],
    )
    q, k, v = (rng.normal(size=(16, 8)).astype(np.float32) for _ in range(3))
    o = np.zeros((16, 8), np.float32)
    flash_attn_v2.compile(target="cpu")(q, k, v, o)
    p = np.exp(q @ k.T)
    np.testing.assert_allclose(o, p / p.sum(axis=1, keepdims=True) @ v, rtol=1e-4, atol=1e-5)
