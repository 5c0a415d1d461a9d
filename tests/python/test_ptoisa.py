"""Instruction-level kernels."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pto_wsp._pto_wsp as native
import pytest
from pto_wsp import (
    CompileError,
    Constexpr,
    DType,
    In,
    InOut,
    KernelRef,
    Out,
    Scalar,
    Tile,
    TypeCheckError,
    kernel,
    pto,
    ptoisa,
    ptoisa_kernel,
)

F16, F32, I32, U32 = DType.F16, DType.F32, DType.I32, DType.U32

Fails = Callable[..., Any]


def body_of(made: KernelRef, **values: Any) -> str:
    return made.trace(**values).dump()


def test_the_same_program_as_with_pto(rng: np.random.Generator) -> None:
    @ptoisa_kernel
    def rmsnorm(x: In[Tile[32, 128, F16]], out: Out[Tile[32, 128, F16]], eps: Scalar[F32] = 1e-6):
        data, sq = ptoisa.tile(32, 128, F32), ptoisa.tile(32, 128, F32)
        half, mean = ptoisa.tile(32, 128, F16), ptoisa.alloc(32, 1, F32)
        ptoisa.tload(half, x)
        ptoisa.TCVT(data, half)
        ptoisa.TMUL(sq, data, data)
        ptoisa.TROWMEAN(mean, sq)
        ptoisa.TADDS(mean, mean, eps)
        ptoisa.TRSQRT(mean, mean)
        ptoisa.TROWEXPANDMUL(data, data, mean)
        ptoisa.tstore(out, data)

    isa = rmsnorm

    @kernel
    def rmsnorm(x: In[Tile[32, 128, F16]], out: Out[Tile[32, 128, F16]], eps: Scalar[F32] = 1e-6):
        data = pto.cast(pto.load(x), F32)
        mean = pto.rowmean(pto.mul(data, data))
        pto.store(out, pto.rowmul(data, pto.rsqrt(pto.add(mean, eps))))

    assert isa.ir.dump() == rmsnorm.ir.dump()
    x, out = rng.normal(size=(32, 128)).astype(np.float16), np.zeros((32, 128), np.float16)
    isa.compile()(x, out)
    wide = x.astype(np.float32)
    expected = wide / np.sqrt((wide * wide).mean(axis=1, keepdims=True) + 1e-6)
    np.testing.assert_allclose(out, expected, rtol=2e-3, atol=1e-3)


def test_accumulation_over_a_constant_loop(rng: np.random.Generator) -> None:
    @ptoisa_kernel
    def gemm(
        a: In[Tile[16, 64, F32]], b: In[Tile[64, 16, F32]], c: Out[Tile[16, 16, F32]], K: Constexpr
    ):
        left, right = ptoisa.tile(16, K, F32), ptoisa.tile(K, 16, F32)
        acc = ptoisa.tile(16, 16, F32)
        ptoisa.TEXPANDS(acc, 0)
        for k in range(0, 64, K):
            ptoisa.TLOAD(left, a, (0, k))
            ptoisa.TLOAD(right, b, offset=(k, 0))
            ptoisa.TMATMUL_ACC(acc, left, right)
        ptoisa.TSTORE(c, acc)

    a, b = (rng.normal(size=s).astype(np.float32) for s in ((16, 64), (64, 16)))
    c = np.zeros((16, 16), np.float32)
    gemm.compile(K=32)(a, b, c)
    np.testing.assert_allclose(c, a @ b, rtol=1e-4, atol=1e-4)
    assert [op.name for op in gemm.trace(K=32).ops].count("matmul") == 2


@pytest.mark.parametrize("name", sorted(ptoisa.INSTRUCTIONS))
def test_every_instruction_is_one_operation(name: str) -> None:
    row = ptoisa.INSTRUCTIONS[name]
    integer = row.operation in ("floordiv", "mod")
    dtype = I32 if integer else F32

    def result(*operands: Any, **attributes: Any) -> Any:
        return getattr(pto, row.operation)(*operands, **attributes)

    def body(isa: bool) -> Any:
        def kernel_body(
            x: In[Tile[8, 8, dtype]],
            v: In[Tile[8, 1, dtype]],
            w: In[Tile[1, 8, dtype]],
            scores: In[Tile[1, 32, F32]],
            indices: In[Tile[1, 32, U32]],
            pairs: In[Tile[1, 64, F32]],
            out: InOut[Tile[8, 8, dtype]],
            s: Scalar[dtype],
        ):
            loaded = {
                "x": pto.load(x), "column": pto.load(v), "row": pto.load(w), "b": pto.load(out),
                "scores": pto.load(scores), "idx": pto.load(indices), "pairs": pto.load(pairs),
            }  # fmt: skip
            loaded["mask"] = pto.lt(loaded["x"], loaded["b"])
            values = []
            for text in row.operands.replace(" ", "").split(","):
                operand = text.partition(":")[0]
                if not operand:
                    continue
                if text.endswith(":s"):
                    values.append(s)
                elif operand == "=acc":
                    values.append(loaded["b"])
                else:
                    values.append(loaded.get(operand, loaded["x"]))
            shapes = {
                "shape": {"shape": (8, 8)}, "filled": {"shape": (8, 8)}, "dtype": {"dtype": F16},
                "columns": {"columns": 8}, "rows_columns": {"rows": 8, "columns": 8}, "k": {"k": 4},
            }  # fmt: skip
            if row.shaped == "shape" and row.operation == "broadcast":
                values[0] = loaded["row"]
            attributes = {**row.attributes, **shapes.get(row.shaped, {})}
            if isa:
                wanted = result(*values, **attributes)
                rows, cols = wanted.shape
                to = ptoisa.IsaTile(wanted.trace, native_tile(rows, cols, wanted))
                if "=acc" in row.operands:
                    to.write(name, loaded["b"])
                    values = values[:-1]
                operands = []
                for value in values:
                    if value is s:
                        operands.append(s)
                        continue
                    held = ptoisa.IsaTile(value.trace, native_tile(*value.shape, value))
                    held.write(name, value)
                    operands.append(held)
                getattr(ptoisa, name)(to, *operands)
            else:
                result(*values, **attributes)
            pto.store(out, loaded["x"])

        return kernel_body

    def native_tile(rows: Any, cols: Any, value: Any) -> Any:
        from pto_wsp.annotations import TileSpec

        return TileSpec(native.Affine(rows), native.Affine(cols), value.dtype)

    # Operations are interned: the instruction adds nothing to what `pto` made of the same operands.
    assert kernel(body(True)).ir.dump() == kernel(body(False)).ir.dump()


def test_instructions_cover_the_primitives() -> None:
    covered = {row.operation for row in ptoisa.INSTRUCTIONS.values()}
    by_hand = {"load", "store", "store_masked", "constant", "fori_loop", "slice", "print"}
    by_hand |= {"rmsnorm", "layernorm"}  # composed of instructions
    assert {row.name for row in native.ops()} - covered <= by_hand


def traced(body: Callable[[Any, Any], None]) -> KernelRef:
    @ptoisa_kernel
    def k(x: In[Tile[4, 8, F32]], y: Out[Tile[4, 8, F32]]):
        body(x, y)

    return k


@pytest.mark.error
def test_errors(fails: Fails) -> None:
    spec = "Tile[4, 8, F32]"

    def unwritten(x: Any, y: Any) -> None:
        ptoisa.TNEG(ptoisa.tile(4, 8, F32), ptoisa.tile(4, 8, F32))

    def other_shape(x: Any, y: Any) -> None:
        a = ptoisa.tile(4, 8, F32)
        ptoisa.tload(a, x)
        ptoisa.TROWSUM(a, a)

    def other_dtype(x: Any, y: Any) -> None:
        a = ptoisa.tile(4, 8, F16)
        ptoisa.tload(a, x)

    def memory(x: Any, y: Any) -> None:
        ptoisa.TNEG(ptoisa.tile(4, 8, F32), x)

    def no_tile(x: Any, y: Any) -> None:
        ptoisa.TNEG(y, x)

    def too_few(x: Any, y: Any) -> None:
        ptoisa.TADD(ptoisa.tile(4, 8, F32))

    def number(x: Any, y: Any) -> None:
        ptoisa.TADD(ptoisa.tile(4, 8, F32), 1.0, 2.0)

    def backwards(x: Any, y: Any) -> None:
        ptoisa.tstore(ptoisa.tile(4, 8, F32), y)

    def no_parameter(x: Any, y: Any) -> None:
        ptoisa.tload(ptoisa.tile(4, 8, F32), 5)

    for body, kind, text, hint in (
        (
            unwritten,
            CompileError,
            f"ptoisa.TNEG: <tile {spec}> is read before an instruction writes it",
            "load it with ptoisa.tload(tile, x), or fill it with ptoisa.TEXPANDS(tile, 0)",
        ),
        (
            other_shape,
            TypeCheckError,
            f"ptoisa.TROWSUM: the destination is {spec}, the result Tile[4, 1, F32]",
            "declare it as Tile[4, 1, F32]",
        ),
        (
            other_dtype,
            TypeCheckError,
            f"ptoisa.TLOAD: the destination is Tile[4, 8, F16], the result {spec}",
            f"declare it as {spec}, and convert with TCVT",
        ),
        (
            memory,
            TypeCheckError,
            f"ptoisa.TNEG: operand 'src' is <x: {spec}>, which is memory",
            "load it into a tile: ptoisa.tload(tile, parameter)",
        ),
        (
            no_tile,
            TypeCheckError,
            f"ptoisa.TNEG: the destination is <y: {spec}>, not a declared tile",
            "declare it: ptoisa.tile(rows, cols, dtype)",
        ),
        (
            too_few,
            TypeCheckError,
            "ptoisa.TADD: missing a required argument: 'a'",
            "it is TADD(dst, a, b)",
        ),
        (number, TypeCheckError, "ptoisa.TADD: operand 'a' is 1.0, not a declared tile", ""),
        (
            backwards,
            TypeCheckError,
            f"ptoisa.TSTORE: the destination is <tile {spec}>, not a tile parameter of the kernel",
            "the order is ptoisa.tstore(parameter, tile)",
        ),
        (
            no_parameter,
            TypeCheckError,
            "ptoisa.TLOAD: the source is 5, not a tile parameter of the kernel",
            "the order is ptoisa.tload(tile, parameter)",
        ),
    ):
        with pytest.raises(kind) as caught:
            traced(body).trace()
        assert (caught.value.text, caught.value.hint) == (text, hint)
        last = body.__code__.co_firstlineno + len(
            {line for _, _, line in body.__code__.co_lines() if line}
        )
        assert caught.value.at == (__file__, last - 1)


@pytest.mark.error
def test_unknown_instructions() -> None:
    with pytest.raises(
        AttributeError, match=r"there is no ptoisa\.TADDD; did you mean ptoisa\.TAD"
    ):
        _ = ptoisa.TADDD


@pytest.mark.error
def test_outside_of_a_kernel() -> None:
    with pytest.raises(CompileError, match=r"ptoisa\.tile: called outside the body of a kernel"):
        ptoisa.tile(4, 8, F32)


@pytest.mark.error
def test_a_tile_of_another_kernel() -> None:
    kept: list[Any] = []

    def keeps(x: Any, y: Any) -> None:
        kept.append(ptoisa.tile(4, 8, F32))
        pto.store(y, 0.0)

    traced(keeps).trace()
    with pytest.raises(
        CompileError, match=r"ptoisa\.TLOAD: a tile of kernel 'k' is used in kernel 'k'"
    ):
        traced(lambda x, y: ptoisa.tload(kept[0], x)).trace()


@pytest.mark.error
def test_takes_no_cpp() -> None:
    with pytest.raises(CompileError) as caught:
        ptoisa_kernel(cpp_src="x")
    assert caught.value.text == "@ptoisa_kernel: unknown option 'cpp_src'"
    assert caught.value.hint == "it has none"
