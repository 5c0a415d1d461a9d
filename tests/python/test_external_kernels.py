"""Declared kernels, and what supplies them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pto_wsp import (
    CompileError,
    Dense,
    DType,
    ExecutionError,
    ExternalKernel,
    In,
    InOut,
    KernelRef,
    Out,
    P,
    Program,
    ScheduleError,
    Tensor,
    Tile,
    TypeCheckError,
    kernel,
    pto,
    workload,
)

Fails = Callable[..., Any]

SCALED = """
template <class T> void scaled(pto::wsp::TileRef<const T> Q, pto::wsp::TileRef<T> Y) {
    for (int64_t r = 0; r < Q.rows(); ++r)
        for (int64_t c = 0; c < Q.cols(); ++c) Y(r, c) = 3 * Q(r, c);
}
"""


@kernel
def scaled(Q: In[Tensor], Y: Out[Tensor]):
    """Implemented elsewhere."""


def of_scaled() -> tuple[Program, Tensor, Tensor]:
    Q = Tensor(np.arange(24, dtype=np.float32).reshape(2, 3, 4))
    Y = Tensor(np.zeros((2, 3, 4), np.float32))

    @workload
    def calls() -> None:
        for b in P(Dense[2]):
            scaled[b](Q=Q[b], Y=Y[b])

    return calls().compile(), Q, Y


def ran(program: Program, Q: Tensor, Y: Tensor) -> bool:
    program.execute()
    program.synchronize()
    return bool((np.asarray(Y) == 3 * np.asarray(Q)).all())


def test_an_external_kernel_in_a_workload(tmp_path: Path) -> None:
    (tmp_path / "scaled.cpp").write_text(SCALED)
    external = ExternalKernel(
        name="scaled", impl_path=tmp_path / "scaled.cpp", inputs=["Q"], outputs=["Y"]
    )
    assert isinstance(external, KernelRef)
    assert repr(external) == "<kernel scaled(Q: In[Tensor], Y: Out[Tensor])>"
    assert external.place[0] == __file__
    assert external.module is not None and external.module.__name__ == __name__
    Q, Y = (
        Tensor(np.arange(24, dtype=np.float64).reshape(2, 3, 4)),
        Tensor(np.zeros((2, 3, 4))),
    )

    @workload
    def calls() -> None:
        for b in P(Dense[2]):
            external[b](Q=Q[b], Y=Y[b])

    assert ran(calls().compile(), Q, Y)


def test_an_external_kernel_supplies_a_declaration(tmp_path: Path) -> None:
    (tmp_path / "scaled.cpp").write_text(SCALED)
    program, Q, Y = of_scaled()
    with pytest.raises(ExecutionError) as caught:
        program.execute()
    assert caught.value.text == "kernel 'scaled' is declared, but nothing implements it"
    assert caught.value.hint == 'supply it: program.register_kernel("scaled", kernel)'
    program.register_kernel(
        "scaled", ExternalKernel("scaled", str(tmp_path / "scaled.cpp"), ["Q"], ["Y"])
    )
    assert ran(program, Q, Y)


@pytest.mark.parametrize("by", ["name", "reference"])
@pytest.mark.parametrize("what", ["function", "annotated", "kernel", "cpp"])
def test_what_may_supply_a_declaration(by: str, what: str) -> None:
    def function(q, o):  # type: ignore[no-untyped-def]
        pto.store(o, q * 3)

    def annotated(q: In[Tensor], o: Out[Tensor]) -> None:
        pto.store(o, q * 3)

    del annotated.__annotations__["return"]

    @kernel(
        cpp_src="""
        for (int64_t r = 0; r < q.rows(); ++r)
            for (int64_t c = 0; c < q.cols(); ++c) o(r, c) = 3 * q(r, c);
        """
    )
    def cpp(q: In[Tensor], o: Out[Tensor]): ...

    implementations = {
        "function": function,
        "annotated": annotated,
        "kernel": kernel(annotated),
        "cpp": cpp,
    }
    program, Q, Y = of_scaled()
    program.register_kernel("scaled" if by == "name" else scaled, implementations[what])
    assert ran(program, Q, Y)


@pytest.mark.error
def test_two_declarations_of_one_name(fails: Fails) -> None:
    def another() -> KernelRef:
        @kernel
        def scaled(Q: In[Tensor], Y: Out[Tensor]): ...

        return scaled

    first, second = another(), another()
    Q, Y = Tensor(np.ones((2, 2), np.float32)), Tensor(np.zeros((2, 2, 2), np.float32))

    @workload
    def both() -> None:
        first(Q=Q, Y=Y[0])
        second(Q=Q, Y=Y[1])

    program = both().compile()
    fails(
        ScheduleError,
        lambda: program.register_kernel("scaled", first),
        "register_kernel: 2 kernels are declared as 'scaled'",
        line=0,
        hint="pass the kernel itself instead of its name",
    )

    def times(factor: float) -> Any:
        def body(q, o):  # type: ignore[no-untyped-def]
            pto.store(o, q * factor)

        return body

    program.register_kernel(first, times(2))
    program.register_kernel(second, times(5))
    program.execute()
    program.synchronize()
    assert np.asarray(Y)[:, 0, 0].tolist() == [2, 5]


def test_one_declaration_with_two_shapes_is_one() -> None:
    Q, R = Tensor(np.ones((2, 2), np.float32)), Tensor(np.ones((3, 1), np.float32))
    Y, S = Tensor(np.zeros((2, 2), np.float32)), Tensor(np.zeros((3, 1), np.float32))

    @workload
    def both() -> None:
        scaled(Q=Q, Y=Y)
        scaled(Q=R, Y=S)

    program = both().compile()

    def body(q, o):  # type: ignore[no-untyped-def]
        pto.store(o, q * 3)

    program.register_kernel("scaled", body)
    assert ran(program, Q, Y)
    assert (np.asarray(S) == 3).all()


@pytest.mark.error
def test_what_does_not_fit(fails: Fails) -> None:
    program, _, _ = of_scaled()

    @kernel
    def reads_only(q: In[Tensor], o: InOut[Tensor]):
        pto.store(o, q)

    @kernel
    def of_other_shape(q: In[Tile[3, 4, DType.F32]], o: Out[Tile[3, 5, DType.F32]]):
        pto.store(o, 1.0)

    fails(
        TypeCheckError,
        lambda: program.register_kernel("scaled", reads_only),
        "register_kernel: 'scaled' declares 'Y' as out tile, its implementation as inout tile",
        line=0,
    )
    fails(
        TypeCheckError,
        lambda: program.register_kernel("scaled", of_other_shape),
        "register_kernel: 'scaled' declares 'Y' as Tile[3, 4, F32], its implementation as "
        "Tile[3, 5, F32]",
        line=0,
    )
    fails(
        ScheduleError,
        lambda: program.register_kernel("sclaed", reads_only),
        "register_kernel: no kernel 'sclaed' is declared in this program",
        line=0,
        hint="declared are scaled",
    )
    fails(
        TypeCheckError,
        lambda: program.register_kernel("scaled", 5),
        "register_kernel: the implementation of 'scaled' must be a kernel or a function, got 5",
        line=0,
    )
    fails(
        CompileError,
        lambda: program.register_kernel("scaled", scaled),
        "kernel 'scaled' has an empty body and cannot implement another kernel",
        line=0,
    )
    fails(
        CompileError,
        lambda: scaled.compile(),
        "kernel 'scaled' has an empty body: there is nothing to compile",
        line=0,
    )


@pytest.mark.error
def test_wrong_external_kernels(fails: Fails) -> None:
    for make, text in (
        (
            lambda: ExternalKernel("a b", "x.cpp", [], ["Y"]),
            "ExternalKernel: the name 'a b' is no identifier",
        ),
        (
            lambda: ExternalKernel("a", "x.cpp", "Q", ["Y"]),  # type: ignore[arg-type]
            "ExternalKernel 'a': inputs must be a list of names, got 'Q'",
        ),
        (
            lambda: ExternalKernel("a", "x.cpp", ["Q", "Q"], ["Y"]),
            "ExternalKernel 'a': inputs holds 'Q', which comes twice",
        ),
        (
            lambda: ExternalKernel("a", "x.cpp", ["Q"], ["0"]),
            "ExternalKernel 'a': outputs holds '0', which is no identifier",
        ),
        (
            lambda: ExternalKernel("a", "x.cpp", ["Q"], []),
            "ExternalKernel 'a': there are no outputs",
        ),
        (
            lambda: ExternalKernel("a", "", ["Q"], ["Y"]),
            "ExternalKernel 'a': impl_path is '', not a path",
        ),
    ):
        fails(TypeCheckError, make, text, line=None)

    lost = ExternalKernel("lost", "lost.cpp", ["Q"], ["Y"])
    array = np.zeros((1, 1), np.float32)
    with pytest.raises(CompileError) as caught:
        lost.compile()(array, array.copy())
    assert caught.value.text == 'cpp_tu_path: "lost.cpp" cannot be read'
    assert caught.value.hint.startswith("it is looked for beside test_external_kernels.py and in ")
    assert caught.value.at == lost.place
