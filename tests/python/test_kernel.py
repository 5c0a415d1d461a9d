"""Kernels: signatures, tracing, declarations."""

import types

import numpy as np
import pto_wsp as w
import pytest
from helpers import reference
from pto_wsp import (
    CompileError,
    Constexpr,
    DType,
    In,
    InOut,
    KernelRef,
    Out,
    Scalar,
    Symbol,
    Tensor,
    Tile,
    TypeCheckError,
    jit_kernel,
    kernel,
    pto,
    tl,
)

F16, F32, I32 = DType.F16, DType.F32, DType.I32


@kernel
def axpy(x: In[Tile[4, 8, F32]], y: InOut[Tile[4, 8, F32]], a: Scalar[F32] = 2.0):
    """y = a x + y."""
    pto.store(y, a * x + y)


@kernel
def declared(q: In[Tensor], o: Out[Tensor]):
    """Only a docstring."""


def test_what_a_kernel_knows() -> None:
    assert isinstance(axpy, KernelRef)
    assert (axpy.name, str(axpy), axpy.__doc__) == ("axpy", "axpy", "y = a x + y.")
    assert axpy.symbol == f"{__name__}.axpy"
    assert isinstance(axpy.module, types.ModuleType)
    assert axpy.module.__name__ == __name__
    assert list(axpy.signature) == ["x", "y", "a"]
    assert axpy.signature["a"].default == 2.0
    assert repr(axpy) == (
        "<kernel axpy(x: In[Tile[4, 8, F32]], y: InOut[Tile[4, 8, F32]], a: Scalar[F32] = 2.0)>"
    )
    assert dict(axpy.options) == {}


def test_ir() -> None:
    ir = axpy.trace()
    assert [op.name for op in ir.ops] == ["load", "mul", "load", "add", "store"]
    assert [param.name for param in ir.params] == ["x", "y", "a"]
    assert str(ir.ops[1]).startswith("%1 = mul ")
    assert ir.dump() == str(ir) == axpy.ir.dump()
    assert ir.dump().startswith("kernel @axpy(")


def test_the_text_parses_back() -> None:
    text = axpy.ir.dump()
    parsed = w._pto_wsp.parse_tile_program(text)
    assert str(parsed) == text
    assert parsed.hash() == axpy.ir.hash()


def test_the_body_runs_once() -> None:
    runs = []

    @kernel
    def counted(x: In[Tile[2, 2, F32]], y: Out[Tile[2, 2, F32]], n: Constexpr = 1):
        runs.append(n)
        pto.store(y, x * n)

    assert runs == []
    assert counted.trace().hash() == counted.trace(n=1).hash() == counted.ir.hash()
    assert runs == [1]
    assert counted.trace(n=2).hash() != counted.ir.hash()
    assert runs == [1, 2]


def test_constants_reach_dims() -> None:
    @kernel
    def cut(x: In[Tile["2*N + 1", "N", F32]], N: Constexpr[int] = 3):  # noqa: F821
        assert x.shape == (2 * N + 1, N)
        x + 1

    types_ = [param.type.user_str() for param in cut.trace(N=5).params]
    assert types_ == ["Tile[11, 5, F32]"]
    assert cut.ir.params[0].type.user_str() == "Tile[7, 3, F32]"


def test_symbols_stay_in_dims() -> None:
    N = Symbol("N")

    @kernel
    def any_rows(x: In[Tile[N, 8, F32]], y: Out[Tile[N * 2 - N, 8, F32]]):
        assert x.shape == (N, 8)
        pto.store(y, pto.exp(x))

    assert any_rows.ir.params[0].type.user_str() == "Tile[N, 8, F32]"


def test_text_annotations() -> None:
    width = 8
    source = """
from __future__ import annotations
from pto_wsp import kernel, In, Out, Tile, Constexpr, DType, pto
@kernel
def scaled(x: In[Tile[ROWS, 8, DType.F32]], y: Out[Tile[ROWS, 8, DType.F32]], ROWS: Constexpr = 4):
    pto.store(y, x * ROWS)
"""
    namespace: dict[str, object] = {"ROWS": 99}
    exec(compile(source, "written.py", "exec"), namespace)
    scaled = namespace["scaled"]
    assert isinstance(scaled, KernelRef)
    assert scaled.trace(ROWS=2).params[0].type.user_str() == "Tile[2, 8, F32]"

    @kernel
    def local(x: "In[Tile[4, width, F32]]", y: "Out[Tile[4, width, F32]]"):
        pto.store(y, x)

    assert local.ir.params[0].type.user_str() == f"Tile[4, {width}, F32]"


def test_tensor_parameters_are_specialised() -> None:
    @kernel
    def copy(x: In[Tensor], y: Out[Tensor]):
        pto.store(y, x)

    tile = Tile[4, 8, F16]
    assert copy.trace(x=tile, y=tile).params[1].type.user_str() == "Tile[4, 8, F16]"


def test_keyword_only_parameters() -> None:
    @kernel
    def keyed(x: In[Tile[2, 2, F32]], *, y: Out[Tile[2, 2, F32]]):
        pto.store(y, x)

    assert len(keyed.ir.ops) == 2


def test_empty_bodies_are_declarations() -> None:
    @kernel
    def dots(x: In[Tensor]): ...

    @kernel
    def passes(x: In[Tensor]):
        pass

    @jit_kernel()
    def documented(x: In[Tensor]):
        """Only this."""

    assert all(k.is_declaration for k in (dots, passes, documented, declared))
    assert not axpy.is_declaration


@pytest.mark.error
def test_a_declaration_has_no_ir(fails) -> None:
    def action() -> None:
        declared.trace(q=Tile[2, 2, F32], o=Tile[2, 2, F32])

    fails(
        CompileError,
        action,
        "kernel 'declared' has an empty body: it is a declaration",
        hint="supply it with program.register_kernel(name, implementation)",
    )


@pytest.mark.error
def test_tensor_parameters_need_types(fails) -> None:
    def action() -> None:
        declared.trace()

    fails(
        TypeCheckError,
        action,
        "kernel 'declared': the tile type of 'q: In[Tensor]' is not known here",
        hint="give it: q=Tile[rows, cols, dtype]",
    )


@pytest.mark.error
def test_constants_are_checked(fails) -> None:
    @kernel
    def sized(x: In[Tile["N", 4, F32]], N: Constexpr):  # noqa: F821
        pto.exp(x)

    def missing() -> None:
        sized.trace()

    fails(TypeCheckError, missing, "kernel 'sized': the Constexpr parameter 'N' has no value")

    def unknown() -> None:
        sized.trace(N=4, M=2)

    fails(
        TypeCheckError,
        unknown,
        "kernel 'sized': unknown option 'M'",
        hint="the options are N, BLOCK_M, BLOCK_N, BLOCK_K",
    )

    def text() -> None:
        sized.trace(N="four")

    fails(
        TypeCheckError,
        text,
        "kernel 'sized': 'N' is a dim of 'x' and must be an integer, got 'four'",
    )

    def listed() -> None:
        sized.trace(N=[4])

    fails(
        TypeCheckError,
        listed,
        "kernel 'sized': a Constexpr value must be hashable: unhashable type: 'list'",
    )


@pytest.mark.error
def test_annotations_are_checked() -> None:
    def text_of(function) -> str:
        with pytest.raises(TypeCheckError) as caught:
            kernel(function)
        assert caught.value.at == (__file__, function.__code__.co_firstlineno)
        return str(caught.value.text)

    def bare(x): ...

    assert text_of(bare) == "kernel 'bare': parameter 'x' has no annotation"

    def plain(x: int): ...

    assert text_of(plain) == "kernel 'plain': annotation of 'x' is <class 'int'>"

    def undirected(x: Tile[2, 2, F32]): ...

    assert text_of(undirected) == "kernel 'undirected': annotation of 'x' is Tile[2, 2, F32]"

    def variadic(*x: In[Tensor]): ...

    assert "cannot be variadic" in text_of(variadic)

    def unknown(x: "In[Tile[n, 2, F32]]"): ...  # noqa: F821

    assert text_of(unknown) == (
        "kernel 'unknown': annotation of 'x' cannot be evaluated: name 'n' is not defined"
    )


@pytest.mark.error
def test_tile_is_checked(fails) -> None:
    def two() -> None:
        Tile[32, 64]

    fails(
        TypeCheckError,
        two,
        "Tile: expected [rows, cols, dtype], got [32, 64]",
        hint="Tile[32, 64, DType.F32]",
    )

    def zero() -> None:
        Tile[0, 4, F32]

    fails(TypeCheckError, zero, "Tile: a dim must be >= 1, got 0")

    def dtype() -> None:
        Tile[4, 4, "f33"]

    fails(TypeCheckError, dtype, "element type 'f33' is not supported")

    def half() -> None:
        Tile[4.5, 4, F32]

    fails(
        TypeCheckError,
        half,
        "dim must be an integer, a Symbol or an affine expression of these, got 4.5",
    )

    def product() -> None:
        Symbol("N") * Symbol("M")

    fails(CompileError, product, "dim is not affine: (N) * (M)")

    def direction() -> None:
        In[F32]

    fails(
        TypeCheckError, direction, "In: expected Tile[rows, cols, dtype] or Tensor, got DType.F32"
    )


@pytest.mark.error
def test_an_exception_while_tracing_is_the_users() -> None:
    class OwnError(Exception):
        pass

    armed = True

    @kernel
    def fragile(x: In[Tile[2, 2, F32]], y: Out[Tile[2, 2, F32]]):
        value = pto.exp(x)
        if armed:
            raise OwnError("mine")
        pto.store(y, value)

    with pytest.raises(OwnError, match="mine") as caught:
        fragile.trace()
    assert caught.traceback[-1].name == "fragile"

    with pytest.raises(CompileError, match="called outside the body of a kernel"):
        pto.constant(1.0)
    armed = False
    assert [op.name for op in fragile.ir.ops] == ["load", "exp", "store"]


@pytest.mark.error
def test_an_exception_in_a_loop_body_is_the_users() -> None:
    @kernel
    def looped(x: In[Tile[2, 2, F32]], y: Out[Tile[2, 2, F32]]):
        pto.store(y, pto.fori_loop(0, 4, lambda i, c: {}["gone"], x))

    with pytest.raises(KeyError, match="gone") as caught:
        looped.trace()
    assert caught.traceback[-1].name == "<lambda>"


@pytest.mark.error
def test_shape_mismatch_is_reported_at_the_users_line() -> None:
    @kernel
    def wrong(a: In[Tile[128, 64, F32]], b: In[Tile[256, 64, F32]]):
        left = pto.load(a)
        right = pto.load(b)
        pto.matmul(left, right)

    with pytest.raises(TypeCheckError) as caught:
        wrong.trace()
    error, first = caught.value, wrong.place[1]
    assert error.text == "matmul: inner dimensions differ: [128, 64] x [256, 64]"
    assert error.at == (__file__, first + 4)
    assert [note[0] for note in error.notes] == [(__file__, first), (__file__, first)]
    assert "of 'a', declared here" in error.notes[0][1]


@pytest.mark.error
def test_values_stay_in_their_kernel() -> None:
    kept = []

    @kernel
    def first(x: In[Tile[2, 2, F32]], y: Out[Tile[2, 2, F32]]):
        kept.append(pto.exp(x))
        pto.store(y, kept[0])

    @kernel
    def second(y: Out[Tile[2, 2, F32]]):
        pto.store(y, kept[0])

    first.trace()
    with pytest.raises(CompileError, match="a value of kernel 'first' is used in kernel 'second'"):
        second.trace()
    with pytest.raises(CompileError, match="a value of kernel 'first' is used after its trace"):
        kept[0].dtype  # noqa: B018
    assert repr(kept[0]) == "<Value of an ended trace>"


@pytest.mark.error
def test_kernels_are_called_in_workloads(fails) -> None:
    def action() -> None:
        axpy(np.zeros((4, 8), np.float32), np.zeros((4, 8), np.float32))

    fails(CompileError, action, "kernel 'axpy' is called outside the body of a workload")


@pytest.mark.error
def test_options_of_the_decorator(fails) -> None:
    def action() -> None:
        kernel(inline=True)

    fails(CompileError, action, "@kernel: unknown option 'inline'")


def test_reference_of_a_step_of_online_softmax(rng: np.random.Generator) -> None:
    @kernel
    def step(
        q: In[Tile[32, 64, F16]],
        k: In[Tile[32, 64, F16]],
        m: InOut[Tile[32, 1, F32]],
    ):
        s = tl.matmul(q, k, trans_b=True) * tl.rsqrt(tl.constant(64.0, F32))
        tl.store(m, tl.maximum(m, tl.rowmax(s)))

    q, k = (rng.standard_normal((32, 64)).astype(np.float16) for _ in range(2))
    m = np.full((32, 1), -1.0, np.float32)
    expected = np.maximum(m, (q.astype(float) @ k.astype(float).T / 8).max(1, keepdims=True))
    reference(step, q, k, m)
    np.testing.assert_allclose(m, expected, rtol=1e-6)


def test_constants_that_are_equal_but_of_other_types_make_other_kernels() -> None:
    @kernel
    def which(x: In[Tile[1, 1, F32]], y: Out[Tile[1, 1, F32]], c: Constexpr):
        number = 2.0 if c is True else 3.0 if isinstance(c, float) else 5.0
        pto.store(y, x * number)

    @kernel
    def divided(x: In[Tile[1, 1, F32]], y: Out[Tile[1, 1, F32]], c: Constexpr):
        pto.store(y, x * pto.constant(c, F32))

    one, out = np.ones((1, 1), np.float32), np.zeros((1, 1), np.float32)

    def result(of: KernelRef, value: object) -> float:
        of.compile(c=value)(one, out)
        return float(out[0, 0])

    assert [result(which, value) for value in (1, 1.0, True, 1)] == [5, 3, 2, 5]
    assert [np.signbit(result(divided, value)) for value in (0.0, -0.0)] == [False, True]
    assert [result(divided, value) for value in (2, 3.0)] == [2, 3]


@pytest.mark.error
def test_a_float_is_no_dim_after_an_equal_integer_was_one(fails) -> None:
    @kernel
    def sized(x: In[Tile["N", 4, F32]], N: Constexpr):  # noqa: F821
        pto.exp(x)

    sized.compile(N=4)

    def floating() -> None:
        sized.compile(N=4.0)

    fails(
        TypeCheckError,
        floating,
        "kernel 'sized': 'N' is a dim of 'x' and must be an integer, got 4.0",
    )


@pytest.mark.error
def test_an_output_that_is_never_stored(fails) -> None:
    @kernel
    def idle(x: In[Tile[4, 8, F32]], y: Out[Tile[4, 8, F32]], z: Out[Tile[4, 8, F32]]):
        pto.store(y, x)

    def compiled() -> None:
        idle.compile()

    error = fails(
        CompileError,
        compiled,
        "kernel 'idle': nothing is stored to the output 'z'",
        line=None,
        hint="store(z, value)",
    )
    assert error.at == idle.place

    @kernel
    def nothing(x: In[Tile[4, 8, F32]], y: Out[Tile[4, 8, F32]]):
        "what".strip()

    with pytest.raises(CompileError, match="nothing is stored to the output 'y'"):
        nothing.trace()


@pytest.mark.error
@pytest.mark.parametrize("value", [3.5, 3.0, "3", True, None, -3])
def test_values_of_symbols_are_sizes(fails, value: object) -> None:
    N = Symbol("N")

    @kernel
    def sized(x: In[Tile[N, 4, F32]]):
        pto.exp(x)

    def compiled() -> None:
        sized.compile(N=value)

    text = f"kernel 'sized': the Symbol 'N' must be an integer >= 0, got {value!r}"
    fails(TypeCheckError, compiled, text)
    for size in (3, np.int64(3)):
        sized.compile(N=size)(np.ones((3, 4), np.float32))


@pytest.mark.error
def test_constants_have_the_annotated_type(fails) -> None:
    @kernel
    def typed(
        x: In[Tile["n", 4, F32]],  # noqa: F821
        n: Constexpr[int] = 4,
        mode: Constexpr[str] = "exp",
        factor: Constexpr[float] = 2.0,
    ):
        assert type(n) is int
        assert type(factor) is float
        pto.exp(x) * factor

    for name, value, kind in (
        ("n", True, "int"),
        ("n", 4.0, "int"),
        ("n", None, "int"),
        ("mode", 3, "str"),
        ("factor", "2", "float"),
        ("factor", True, "float"),
    ):

        def compiled(name=name, value=value) -> None:
            typed.compile(**{name: value})

        text = f"kernel 'typed': '{name}: Constexpr[{kind}]' needs a {kind}, got {value!r}"
        fails(TypeCheckError, compiled, text)
    typed.trace(n=np.int64(4), mode="log", factor=3)
