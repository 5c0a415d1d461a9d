"""What `pto.print` writes, and when."""

from __future__ import annotations

import inspect
from typing import Any

import numpy as np
import pytest
from helpers import reference
from pto_wsp import (
    Dense,
    DType,
    In,
    InOut,
    Out,
    P,
    Scalar,
    Tensor,
    Tile,
    TypeCheckError,
    kernel,
    pto,
    workload,
)

F32, I32 = DType.F32, DType.I32


def line_of(function: Any, offset: int) -> str:
    return f"{__file__}:{inspect.getsourcelines(function)[1] + offset}"


def test_values_with_name_line_type_and_shape(capsys) -> None:
    def body(x, out):
        pto.print(x)
        pto.print(pto.load(x) + 1, "sum")
        pto.print(pto.load(x) > 1)
        pto.store(out, x)

    @kernel
    def shown(x: In[Tile[2, 3, F32]], out: Out[Tile[2, 3, F32]]):
        body(x, out)

    wanted = (
        f"x ({line_of(body, 1)}): Tile[2, 3, F32]\n[[0. 1. 2.]\n [3. 4. 5.]]\n"
        f"sum ({line_of(body, 2)}): Tile[2, 3, F32]\n[[1. 2. 3.]\n [4. 5. 6.]]\n"
        f"gt ({line_of(body, 3)}): Tile[2, 3, Mask]\n[[False False  True]\n [ True  True  True]]\n"
    )
    x = np.arange(6, dtype=np.float32).reshape(2, 3)
    out = np.zeros_like(x)
    compiled = shown.compile()
    for _ in range(2):
        compiled(x, out)
        assert capsys.readouterr().out == wanted
    reference(shown, x, out)
    assert capsys.readouterr().out == wanted
    np.testing.assert_array_equal(out, x)


@pytest.mark.parametrize("dtype", list(DType), ids=lambda dtype: str(dtype.name))
def test_every_type(dtype: DType, capsys) -> None:
    @kernel
    def shown(out: Out[Tile[1, 2, dtype]]):
        tile = pto.broadcast(pto.constant(3, dtype), (1, 2))
        pto.print(tile, "tile")
        pto.store(out, tile)

    shown.compile()(np.zeros((1, 2), dtype.numpy))
    element = "3." if dtype.is_float else "3"
    text = capsys.readouterr().out
    assert text.startswith("tile (")
    assert text.endswith(f": Tile[1, 2, {dtype.name}]\n[[{element} {element}]]\n")


def test_it_stays_between_the_stores_around_it(capsys) -> None:
    @kernel
    def steps(x: InOut[Tile[1, 2, F32]]):
        pto.print(x, "before")
        pto.store(x, pto.load(x) * 2)
        pto.print(x, "between")
        pto.store(x, pto.load(x) * 2)
        pto.print(x, "after")

    x = np.array([[1, 2]], np.float32)
    steps.compile()(x)
    wanted = ["[[1. 2.]]", "[[2. 4.]]", "[[4. 8.]]"]
    assert capsys.readouterr().out.splitlines()[1::2] == wanted
    np.testing.assert_array_equal(x, [[4, 8]])
    x = np.array([[1, 2]], np.float32)
    reference(steps, x)
    assert capsys.readouterr().out.splitlines()[1::2] == wanted


def test_in_a_loop_with_its_index_and_what_it_carries(capsys) -> None:
    @kernel
    def counted(n: Scalar[I32], out: Out[Tile[1, 2, F32]]):
        def body(i, total):
            pto.print(i, "i")
            pto.print(total, "total")
            return total + 1

        result = pto.fori_loop(0, n, body, pto.alloc((1, 2), F32))
        pto.print(result, "result")
        pto.print(n)
        pto.store(out, result)

    out = np.zeros((1, 2), np.float32)
    counted.compile()(2, out)
    wanted = ["[[0]]", "[[0. 0.]]", "[[1]]", "[[1. 1.]]", "[[2. 2.]]", "[[2]]"]
    lines = capsys.readouterr().out.splitlines()
    assert lines[1::2] == wanted
    assert lines[-2].startswith("n (")
    reference(counted, 2, out)
    assert capsys.readouterr().out.splitlines()[1::2] == wanted


def test_a_loop_that_only_prints_stays(capsys) -> None:
    @kernel
    def loud(out: Out[Tile[1, 1, F32]]):
        def body(i, carried):
            pto.print(i)
            return carried

        pto.fori_loop(0, 3, body, 0.0)
        pto.store(out, 1)

    loud.compile()(np.zeros((1, 1), np.float32))
    assert capsys.readouterr().out.splitlines()[1::2] == ["[[0]]", "[[1]]", "[[2]]"]


def test_of_a_partial_tile_the_valid_part(capsys) -> None:
    @kernel
    def shown(x: In[Tile[8, 8, F32]], out: Out[Tile[8, 8, F32]]):
        pto.print(pto.load(x) * 2)
        pto.store(out, x)

    x = np.arange(64, dtype=np.float32).reshape(8, 8)
    part = {"rows": 2, "cols": 3}
    shown.compile()(Tensor(x).valid(**part), Tensor(np.zeros_like(x)).valid(**part))
    assert capsys.readouterr().out.splitlines()[-2:] == ["[[ 0.  2.  4.]", " [16. 18. 20.]]"]


def test_tasks_write_whole_texts(capsys) -> None:
    @kernel
    def shown(x: In[Tile[8, 8, F32]], out: Out[Tile[8, 8, F32]]):
        pto.print(x)
        pto.store(out, x)

    x = np.repeat(np.arange(32, dtype=np.float32), 64).reshape(32, 8, 8)
    X, Y = Tensor(x), Tensor(np.zeros_like(x))

    @workload
    def all_of_them():
        for i in P(Dense[32]):
            shown[i](x=X[i], out=Y[i])

    program = all_of_them().compile()
    program.execute()
    assert program.synchronize()
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 32 * 9
    seen = set()
    for start in range(0, len(lines), 9):
        assert lines[start].startswith("x (")
        assert len({line.strip(" []") for line in lines[start + 1 : start + 9]}) == 1
        seen.add(lines[start + 1])
    assert len(seen) == 32


@pytest.mark.error
def test_a_label_is_a_text(fails) -> None:
    @kernel
    def shown(x: In[Tile[2, 2, F32]], out: Out[Tile[2, 2, F32]]):
        pto.print(x, 3)  # type: ignore[arg-type]

    with pytest.raises(TypeCheckError, match=r"pto.print: the label is 3, not a text"):
        shown.trace()


def test_it_is_part_of_the_text_of_a_kernel() -> None:
    @kernel
    def shown(x: In[Tile[2, 2, F32]], out: Out[Tile[2, 2, F32]]):
        pto.print(x, "here")
        pto.store(out, x)

    assert 'print %0 {label = "here", place = "' in shown.ir.dump()
