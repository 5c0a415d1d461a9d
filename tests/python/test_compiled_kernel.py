"""Kernels as functions of arrays."""

import numpy as np
import pytest
from helpers import bfloat_bits
from pto_wsp import (
    CompileError,
    Constexpr,
    DType,
    In,
    InOut,
    Out,
    Scalar,
    Symbol,
    Tensor,
    Tile,
    TypeCheckError,
    kernel,
    pto,
)

F16, BF16, F32, I32 = DType.F16, DType.BF16, DType.F32, DType.I32


@kernel
def axpy(x: In[Tile[4, 8, F32]], y: InOut[Tile[4, 8, F32]], a: Scalar[F32] = 2.0):
    pto.store(y, x * a + y)


@kernel
def doubled(x: In[Tensor], y: Out[Tensor]):
    pto.store(y, x + x)


@pytest.fixture
def x(rng: np.random.Generator) -> np.ndarray:
    return rng.standard_normal((4, 8)).astype(np.float32)


def test_arguments_by_position_name_and_default(x: np.ndarray) -> None:
    compiled = axpy.compile()
    y = np.ones((4, 8), np.float32)
    compiled(x, y)
    np.testing.assert_allclose(y, 2 * x + 1, rtol=1e-6)
    compiled(a=1, y=y, x=Tensor(x))
    np.testing.assert_allclose(y, 3 * x + 1, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize(
    "view",
    [
        lambda a: a[::-1],
        lambda a: a[:, ::-1],
        lambda a: a[::2, ::3],
        lambda a: a.T,
        lambda a: a[3:, 5:],
    ],
)
def test_any_strides(view, rng: np.random.Generator) -> None:
    data = rng.standard_normal((24, 24)).astype(np.float32)
    x = view(data)
    out = view(np.zeros((24, 24), np.float32))
    doubled.compile()(x, out)
    np.testing.assert_array_equal(out, 2 * x)


def test_zero_strides(x: np.ndarray) -> None:
    y = np.zeros((4, 8), np.float32)
    axpy.compile()(np.broadcast_to(x[0], (4, 8)), y)
    np.testing.assert_allclose(y, np.broadcast_to(2 * x[0], (4, 8)), rtol=1e-6)


@pytest.mark.parametrize("dtype", [F16, F32, I32], ids=lambda d: d.name)
def test_shapes_and_types_of_the_arrays(dtype: DType) -> None:
    compiled = doubled.compile()
    for shape in [(3, 5), (1, 1), (7,), (1, 1, 4, 4)]:
        data = np.arange(np.prod(shape)).reshape(shape).astype(dtype.numpy)
        out = np.zeros_like(data)
        compiled(data, out)
        np.testing.assert_array_equal(out, data * 2)


def test_bfloat16(x: np.ndarray) -> None:
    @kernel
    def scaled(x: In[Tile[4, 8, BF16]], y: Out[Tile[4, 8, F32]]):
        pto.store(y, pto.cast(x, F32) * 2)

    bits, y = bfloat_bits(x), np.zeros((4, 8), np.float32)
    scaled.compile()(bits, y)
    np.testing.assert_array_equal(y, 2 * (bits.astype(np.uint32) << 16).view(np.float32))


def test_constants_and_symbols(rng: np.random.Generator) -> None:
    N = Symbol("N")

    @kernel
    def powers(x: In[Tile[N, 8, F32]], y: Out[Tile[N, 8, F32]], n: Constexpr = 1):
        value = pto.load(x)
        for _ in range(n - 1):
            value = value * x
        pto.store(y, value)

    compiled = powers.compile(n=3)
    for rows in (1, 5, 64):
        data = rng.standard_normal((rows, 8)).astype(np.float32)
        out = np.zeros_like(data)
        compiled(data, out)
        np.testing.assert_allclose(out, data**3, rtol=1e-5)


def test_partial_tiles(x: np.ndarray) -> None:
    y = np.full((4, 8), -7, np.float32)
    axpy.compile()(Tensor(x).valid(rows=3, cols=5), Tensor(y).valid(rows=3, cols=5))
    expected = np.full((4, 8), -7, np.float32)
    expected[:3, :5] += 2 * x[:3, :5]
    np.testing.assert_allclose(y, expected, rtol=1e-6)


def test_nan_and_infinity_follow_numpy() -> None:
    @kernel
    def extremes(x: In[Tile[1, 8, F32]], y: In[Tile[1, 8, F32]], out: Out[Tile[2, 8, F32]]):
        pto.store(out, pto.maximum(x, y), offset=(0, 0))
        pto.store(out, pto.minimum(x, y), offset=(1, 0))

    inf, nan = np.inf, np.nan
    x = np.array([[nan, 1, inf, -inf, 0, nan, -inf, 3]], np.float32)
    y = np.array([[1, nan, nan, inf, -1, nan, -inf, inf]], np.float32)
    out = np.zeros((2, 8), np.float32)
    extremes.compile()(x, y, out)
    np.testing.assert_array_equal(out, np.concatenate([np.maximum(x, y), np.minimum(x, y)]))


def test_softmax_of_nan_and_masked_rows() -> None:
    @kernel
    def soft(x: In[Tile[3, 16, F32]], out: Out[Tile[3, 16, F32]]):
        pto.store(out, pto.softmax(x))

    x = np.zeros((3, 16), np.float32)
    x[0, 3], x[1, :], x[2, 5] = np.nan, -np.inf, -np.inf
    out = np.zeros_like(x)
    soft.compile()(x, out)
    assert np.isnan(out[0]).all()
    assert np.isnan(out[1]).all()
    np.testing.assert_allclose(out[2], np.where(np.arange(16) == 5, 0, 1 / 15), rtol=1e-6)


def test_texts() -> None:
    compiled = axpy.compile()
    assert "for" in compiled.loop_nest
    assert compiled.code
    assert axpy.lower() == compiled.loop_nest
    assert isinstance(compiled.schedule.json(), str)
    assert isinstance(compiled.explain(), list)


def test_a_given_schedule(x: np.ndarray) -> None:
    import json

    steps = json.loads(axpy.compile().schedule.json())
    for schedule in (steps, json.dumps(steps)):
        y = np.zeros((4, 8), np.float32)
        axpy.compile(schedule=schedule)(x, y)
        np.testing.assert_allclose(y, 2 * x, rtol=1e-6)


def test_block_sizes(rng: np.random.Generator) -> None:
    @kernel
    def product(a: In[Tile[64, 64, F32]], b: In[Tile[64, 64, F32]], c: Out[Tile[64, 64, F32]]):
        pto.store(c, a @ b)

    a, b = (rng.standard_normal((64, 64)).astype(np.float32) for _ in range(2))
    c = np.zeros_like(a)
    product.compile(BLOCK_M=32, BLOCK_N=16, BLOCK_K=16)(a, b, c)
    np.testing.assert_allclose(c, a.astype(float) @ b, rtol=1e-4, atol=1e-5)


@pytest.mark.error
def test_missing_and_extra_arguments(fails, x: np.ndarray) -> None:
    compiled = axpy.compile()
    shown = "(x: In[Tile[4, 8, F32]], y: InOut[Tile[4, 8, F32]], a: Scalar[F32] = 2.0)"

    def missing() -> None:
        compiled(x)

    fails(
        TypeCheckError,
        missing,
        "kernel 'axpy': missing argument 'y': InOut[Tile[4, 8, F32]]",
        hint=f"it is {shown}",
    )

    def extra() -> None:
        compiled(x, x, 1, 2)

    fails(TypeCheckError, extra, "kernel 'axpy': takes 3 arguments but 4 were given")

    def unknown() -> None:
        compiled(x, yy=x)

    fails(
        TypeCheckError,
        unknown,
        "kernel 'axpy': unknown argument 'yy'",
        hint="did you mean 'y'? the parameters are x, y, a",
    )

    def twice() -> None:
        compiled(x, x, x=x)

    fails(TypeCheckError, twice, "kernel 'axpy': argument 'x' is given twice")


@pytest.mark.error
def test_wrong_arrays(fails, x: np.ndarray) -> None:
    compiled = axpy.compile()
    good = np.zeros((4, 8), np.float32)

    def small() -> None:
        compiled(x[:3], good)

    fails(
        TypeCheckError,
        small,
        "kernel 'axpy': 'x' is [3, 8], expected Tile[4, 8, F32]",
        hint="a partial tile is declared: Tensor(array).valid(rows=..., cols=...)",
    )

    def large() -> None:
        compiled(np.zeros((5, 8), np.float32), good)

    fails(TypeCheckError, large, "axpy: 'x' has 5 rows, more than the 4 declared")

    def typed() -> None:
        compiled(x.astype(np.float64), good)

    fails(TypeCheckError, typed, "axpy: 'x' is F32, not F64")

    def listed() -> None:
        compiled([1.0], good)

    fails(
        TypeCheckError,
        listed,
        "kernel 'axpy': 'x: In[Tile[4, 8, F32]]' needs an array, got list",
    )

    def number() -> None:
        compiled(x, good, "2")

    fails(TypeCheckError, number, "kernel 'axpy': 'a: Scalar[F32]' needs a number, got '2'")

    frozen = np.zeros((4, 8), np.float32)
    frozen.flags.writeable = False

    def written() -> None:
        compiled(x, frozen)

    fails(
        TypeCheckError,
        written,
        "kernel 'axpy': 'y: InOut[Tile[4, 8, F32]]' is written but its array is read-only",
    )
    compiled(frozen, good)


@pytest.mark.error
def test_options_are_checked(fails) -> None:
    def unknown() -> None:
        axpy.compile(BLOCK=4)

    fails(
        TypeCheckError,
        unknown,
        "kernel 'axpy': unknown option 'BLOCK'",
        hint="the options are BLOCK_M, BLOCK_N, BLOCK_K",
    )

    def size() -> None:
        axpy.compile(BLOCK_M=0)

    fails(TypeCheckError, size, "BLOCK_M must be an integer >= 1, got 0")

    def target() -> None:
        axpy.compile(target="gpu")

    with pytest.raises(CompileError, match="gpu") as caught:
        target()
    assert caught.value.at == (__file__, target.__code__.co_firstlineno + 1)

    @kernel
    def declared(x: In[Tile[4, 8, F32]]): ...

    def empty() -> None:
        declared.compile()

    fails(CompileError, empty, "kernel 'declared' has an empty body: there is nothing to compile")

    def early() -> None:
        doubled.compile().code  # noqa: B018

    fails(
        CompileError,
        early,
        "kernel 'doubled': there is no code before the first call, which has the tile types",
        hint="give the types to compile: x=Tile[rows, cols, dtype], y=Tile[rows, cols, dtype]",
    )
    tile = Tile[4, 4, F32]
    assert doubled.compile(x=tile, y=tile).code


@pytest.mark.error
def test_small_arrays_of_dims_that_are_known_late(fails) -> None:
    hint = "a partial tile is declared: Tensor(array).valid(rows=..., cols=...)"
    small, out = np.ones((3, 4), np.float32), np.zeros((3, 4), np.float32)
    N, M = Symbol("N"), Symbol("M")

    @kernel
    def constant(x: In[Tile["BM", 4, F32]], y: Out[Tile["BM", 4, F32]], BM: Constexpr):  # noqa: F821
        pto.store(y, x + pto.rowsum(x))

    def by_constant() -> None:
        constant.compile(BM=5)(small, out)

    text = "kernel 'constant': 'x' is [3, 4], expected Tile[5, 4, F32]"
    fails(TypeCheckError, by_constant, text, hint=hint)
    constant.compile(BM=5)(Tensor(small).valid(rows=2), Tensor(out).valid(rows=2))
    np.testing.assert_array_equal(out, [[5] * 4, [5] * 4, [0] * 4])

    def by_tile() -> None:
        doubled.compile(x=Tile[5, 4, F32], y=Tile[5, 4, F32])(small, out)

    text = "kernel 'doubled': 'x' is [3, 4], expected Tile[5, 4, F32]"
    fails(TypeCheckError, by_tile, text, hint=hint)

    @kernel
    def symbolic(y: In[Tile[N, M, F32]], x: In[Tile[2 * N + 1, M, F32]], z: Out[Tile[N, M, F32]]):
        pto.store(z, y + pto.load(x, (0, 0), (N, M)))

    y, z = np.ones((2, 4), np.float32), np.zeros((2, 4), np.float32)

    def by_symbol() -> None:
        symbolic.compile()(y, np.ones((4, 4), np.float32), z)

    text = "kernel 'symbolic': 'x' is [4, 4], expected Tile[5, 4, F32] = Tile[2*N + 1, M, F32]"
    fails(TypeCheckError, by_symbol, text, hint=hint)
    symbolic.compile()(y, np.ones((5, 4), np.float32), z)
    assert (z == 2).all()
