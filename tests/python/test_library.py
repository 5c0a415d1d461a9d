"""Row kernels and products of arrays against float64; the same programs as kernels."""

from __future__ import annotations

import concurrent.futures
import doctest
import functools
import sys
from collections.abc import Callable
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from helpers import assert_close, attention_in_float64, band
from pto_wsp import Dense, DType, P, Symbol, Tensor, Tile, TypeCheckError, kernels, workload

Array = np.ndarray[Any, Any]
F32 = np.float32
DTYPES = [np.float16, ml_dtypes.bfloat16, np.float32, np.float64]
SHAPES = [(1, 1), (3,), (17, 33), (2, 3, 100), (0, 8), (4, 512)]


def softmax(x: Array) -> Array:
    x = x.astype(np.float64)
    e = np.exp(x - x.max(-1, keepdims=True, initial=-np.inf))
    return np.asarray(e / e.sum(-1, keepdims=True))


def layernorm(x: Array, gamma: Any = 1.0, beta: Any = 0.0, eps: float = 1e-5) -> Array:
    x = x.astype(np.float64)
    centred = x - x.mean(-1, keepdims=True)
    scaled = centred / np.sqrt((centred**2).mean(-1, keepdims=True) + eps)
    return np.asarray(scaled * np.asarray(gamma, np.float64) + np.asarray(beta, np.float64))


def rmsnorm(x: Array, gamma: Any = 1.0, eps: float = 1e-6) -> Array:
    x = x.astype(np.float64)
    scaled = x / np.sqrt((x**2).mean(-1, keepdims=True) + eps)
    return np.asarray(scaled * np.asarray(gamma, np.float64))


def swiglu(gate: Array, up: Array) -> Array:
    gate = gate.astype(np.float64)
    return np.asarray(gate / (1 + np.exp(-gate)) * up.astype(np.float64))


def rope(x: Array, cos: Array, sin: Array, interleaved: bool) -> Array:
    x, cos, sin = (array.astype(np.float64) for array in (x, cos, sin))
    half = x.shape[-1] // 2
    places = (
        (slice(0, None, 2), slice(1, None, 2))
        if interleaved
        else (slice(0, half), slice(half, None))
    )
    a, b = (x[..., place] for place in places)
    result = np.empty_like(x)
    result[..., places[0]] = a * cos - b * sin
    result[..., places[1]] = b * cos + a * sin
    return result


def draw(rng: np.random.Generator, shape: Any, dtype: Any = F32) -> Array:
    return rng.standard_normal(shape).astype(dtype)


@pytest.mark.parametrize("dtype", DTYPES)
def test_rows_of_any_length(rng: np.random.Generator, dtype: Any) -> None:
    for shape in SHAPES if dtype is np.float32 else SHAPES[2:3]:
        x, up = draw(rng, shape, dtype), draw(rng, shape, dtype)
        gamma, beta = draw(rng, shape[-1:]), draw(rng, shape[-1:])
        assert_close(kernels.softmax(x), softmax(x))
        assert_close(kernels.layernorm(x, gamma, beta), layernorm(x, gamma, beta))
        assert_close(kernels.rmsnorm(x, gamma), rmsnorm(x, gamma))
        assert_close(kernels.swiglu(x, up), swiglu(x, up))
        assert kernels.softmax(x).dtype == dtype


@pytest.mark.parametrize("interleaved", [False, True])
@pytest.mark.parametrize("dtype", DTYPES)
def test_rope(rng: np.random.Generator, dtype: Any, interleaved: bool) -> None:
    x = draw(rng, (2, 3, 17, 12), dtype)
    angles = np.arange(17)[:, None] * 0.3 ** np.arange(6)[None, :]
    cos, sin = np.cos(angles).astype(F32), np.sin(angles).astype(F32)
    expected = rope(x, cos, sin, interleaved)
    assert_close(kernels.rope(x, cos, sin, interleaved=interleaved), expected)
    kernels.rope(x, cos, sin, interleaved=interleaved, out=x)
    assert_close(x, expected)


def test_gains_are_optional_and_of_any_type(rng: np.random.Generator) -> None:
    x = draw(rng, (5, 40), np.float16)
    gamma = draw(rng, 40, np.float64)
    assert_close(kernels.layernorm(x), layernorm(x))
    assert_close(kernels.layernorm(x, gamma, eps=0.5), layernorm(x, gamma, eps=0.5))
    assert_close(kernels.layernorm(x, beta=gamma), layernorm(x, beta=gamma))
    assert_close(kernels.rmsnorm(x), rmsnorm(x))


@pytest.mark.parametrize("dtype", DTYPES)
def test_products(rng: np.random.Generator, dtype: Any) -> None:
    a, b, bias = draw(rng, (3, 17, 33), dtype), draw(rng, (33, 20), dtype), draw(rng, 20, dtype)
    exact = a.astype(np.float64) @ b.astype(np.float64)
    assert_close(kernels.matmul(a, b), exact)
    got = kernels.matmul(a, b, bias=bias, activation="relu")
    assert got.dtype == dtype
    assert_close(got, np.maximum(exact + bias.astype(np.float64), 0))


ACTIVATIONS: dict[str, Callable[[Array], Array]] = {
    "relu": lambda x: np.maximum(x, 0),
    "tanh": np.tanh,
    "sigmoid": lambda x: 1 / (1 + np.exp(-x)),
    "silu": lambda x: x / (1 + np.exp(-x)),
    "gelu": lambda x: x * 0.5 * (1 + _erf(x / np.sqrt(2))),
}


def _erf(x: Array) -> Array:
    import math

    return np.vectorize(math.erf)(x)


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_activations_of_products(rng: np.random.Generator, activation: Any) -> None:
    a, b = draw(rng, (5, 16)), draw(rng, (16, 9))
    expected = ACTIVATIONS[activation](a.astype(np.float64) @ b.astype(np.float64))
    assert_close(kernels.matmul(a, b, activation=activation), expected)


def test_products_broadcast_batches(rng: np.random.Generator) -> None:
    a, b = draw(rng, (2, 1, 3, 8)), draw(rng, (4, 8, 5))
    assert_close(kernels.matmul(a, b), a.astype(np.float64) @ b)
    assert_close(kernels.matmul(a[0, 0], b), a[0, 0].astype(np.float64) @ b)
    assert_close(kernels.matmul(b, b.transpose(0, 2, 1)), b.astype(np.float64) @ b.mT)
    assert not kernels.matmul(np.ones((3, 0), F32), np.ones((0, 2), F32)).any()
    assert kernels.matmul(np.ones((0, 3), F32), np.ones((3, 2), F32)).shape == (0, 2)


def test_products_of_small_integers_are_i32(rng: np.random.Generator) -> None:
    a = rng.integers(-128, 127, (40, 300), np.int8)
    b = rng.integers(-128, 127, (300, 50), np.int8)
    got = kernels.matmul(a, b)
    assert got.dtype == np.int32
    np.testing.assert_array_equal(got, a.astype(np.int64) @ b.astype(np.int64))


def test_a_product_may_be_kept_in_a_wider_type(rng: np.random.Generator) -> None:
    a, b = draw(rng, (5, 64), np.float16), draw(rng, (64, 7), np.float16)
    out = np.empty((5, 7), F32)
    assert kernels.matmul(a, b, out=out) is out
    assert_close(out, a.astype(np.float64) @ b.astype(np.float64))


def test_views_of_any_strides(rng: np.random.Generator) -> None:
    base = draw(rng, (6, 5, 64))
    for x in (
        base[::-1, :, ::2],
        base.transpose(2, 0, 1),
        np.broadcast_to(base[:1], (6, 5, 64)),
        base[::2, ::-2, ::-1],
        base[:, :1],
    ):
        assert_close(kernels.softmax(x), softmax(x))
    out = np.zeros((64, 6, 5), F32)
    got = kernels.swiglu(base, base[::-1], out=out.transpose(1, 2, 0))
    assert got.shape == base.shape
    assert_close(out.transpose(1, 2, 0), swiglu(base, base[::-1]))


def test_a_result_may_be_an_input_or_overlap_it(rng: np.random.Generator) -> None:
    x = draw(rng, (40, 64))
    expected = softmax(x)
    assert kernels.softmax(x, out=x) is x
    assert_close(x, expected)
    y = draw(rng, (41, 64))
    expected = softmax(y[:-1])
    kernels.softmax(y[:-1], out=y[1:])
    assert_close(y[1:], expected)


def test_many_rows_run_on_all_workers(rng: np.random.Generator) -> None:
    x = draw(rng, (4000, 257))
    assert_close(kernels.softmax(x), softmax(x))
    a = draw(rng, (700, 96))
    assert_close(kernels.matmul(a, x[:96]), a.astype(np.float64) @ x[:96])


def test_own_tensors_give_own_tensors(rng: np.random.Generator) -> None:
    x = Tensor(draw(rng, (3, 8)))
    got = kernels.softmax(x)
    assert isinstance(got, Tensor)
    assert_close(np.asarray(got), softmax(np.asarray(x)))


def test_code_is_made_once_for_all_numbers_of_rows(rng: np.random.Generator) -> None:
    kernels.softmax(draw(rng, (2, 48)))
    before = kernels.library_stats().kernels
    for shape in ((48,), (3, 48), (4, 5, 48), (1000, 48)):
        kernels.softmax(draw(rng, shape))
    assert kernels.library_stats().kernels == before
    kernels.softmax(draw(rng, (2, 49)))
    assert kernels.library_stats().kernels == before + 1


def test_threads_may_call_at_once(rng: np.random.Generator) -> None:
    arrays = [draw(rng, (50, 40 + i % 3)) for i in range(24)]
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        for x, got in zip(arrays, pool.map(kernels.rmsnorm, arrays)):
            assert_close(got, rmsnorm(x))


def test_a_call_that_is_known_does_no_work_in_python() -> None:
    x = np.ones((2, 8), F32)
    out = np.empty_like(x)
    kernels.softmax(x, out=out)
    called = []
    sys.setprofile(lambda frame, event, argument: called.append(event))
    try:
        kernels.softmax(x, out=out)
    finally:
        sys.setprofile(None)
    # Itself, and the native function that it calls.
    assert called == ["call", "c_call", "c_return", "return", "c_call"]


def test_errors_say_both_shapes_at_the_users_line(fails: Any) -> None:
    refuses = functools.partial(fails, line=0)
    x = np.ones((3, 8), F32)

    refuses(
        TypeCheckError,
        lambda: kernels.matmul(x, x),
        "matmul: inner dimensions differ: [3, 8] x [3, 8]",
    )
    refuses(
        TypeCheckError,
        lambda: kernels.matmul(np.ones((2, 3, 8), F32), np.ones((3, 8, 2), F32)),
        "matmul: leading dimensions do not broadcast: 'a' [2, 3, 8] x 'b' [3, 8, 2]",
    )
    refuses(
        TypeCheckError,
        lambda: kernels.matmul(x, x.T, bias=np.ones(4, F32)),
        "matmul: 'bias' is [4], expected [3]",
    )
    refuses(
        TypeCheckError,
        lambda: kernels.matmul(x, x.T, activation="swish"),
        "unknown activation 'swish'",
        hint="activations: relu, gelu, silu, tanh, sigmoid",
    )
    refuses(
        TypeCheckError,
        lambda: kernels.matmul(x, x.T.astype(np.float64)),
        "matmul: 'a' is F32, 'b' is F64, expected one type",
    )
    refuses(
        TypeCheckError,
        lambda: kernels.layernorm(x, np.ones(7, F32)),
        "layernorm: 'gamma' is [7], expected [8]",
    )
    refuses(
        TypeCheckError,
        lambda: kernels.softmax(x.astype(np.int32)),
        "softmax: 'x' is I32, not a float",
    )
    refuses(
        TypeCheckError,
        lambda: kernels.softmax(x, out=np.ones((3, 7), F32)),
        "softmax: 'out' is [3, 7], expected [3, 8]",
    )
    refuses(
        TypeCheckError,
        lambda: kernels.softmax(x, out=np.ones((3, 8), np.float64)),
        "softmax: 'out' is F64, expected F32",
    )
    refuses(
        TypeCheckError,
        lambda: kernels.swiglu(x, x[:2]),
        "swiglu: 'gate' is [3, 8], 'up' is [2, 8], expected one shape",
    )
    refuses(
        TypeCheckError,
        lambda: kernels.rope(x, x, x),
        "rope: 'cos' is [3, 8], which does not broadcast to [3, 4]",
        hint="each pair of elements has one cosine: pass half of a table that repeats them",
    )
    refuses(
        TypeCheckError,
        lambda: kernels.rope(x[:, :7], x, x),
        "rope: 'x' is [3, 7], its last dimension must be even",
    )
    refuses(
        TypeCheckError,
        lambda: kernels.softmax(np.ma.array(x, mask=x > 0)),
        "softmax: 'x' is a masked array, whose mask would be ignored",
    )
    refuses(
        TypeCheckError,
        lambda: kernels.softmax(x.astype(np.complex64)),
        "softmax: 'x' is an array of complex64, which is no element type",
    )


def test_kernels_for_workloads_show_their_program_and_schedule(rng: np.random.Generator) -> None:
    norm = kernels.layernorm_kernel(Tile[16, 64, DType.F32], eps=1e-3)
    assert norm.name == "layernorm"
    assert list(norm.signature) == ["x", "gamma", "beta", "out"]
    assert norm.ir.dump().startswith("kernel @layernorm(%x: in tile<16x64xf32>,")
    assert "vectorize" in str(norm.compile().schedule)
    assert "for" in norm.lower()

    X, Y = Tensor(draw(rng, (5, 16, 64))), Tensor(np.zeros((5, 16, 64), F32))
    gamma, beta = Tensor(draw(rng, (1, 64))), Tensor(draw(rng, (1, 64)))

    @workload
    def normalised() -> None:
        for i in P(Dense[5]):
            norm[i](x=X[i], gamma=gamma, beta=beta, out=Y[i])

    program = normalised().compile()
    program.execute()
    program.synchronize()
    expected = layernorm(np.asarray(X), np.asarray(gamma), np.asarray(beta), 1e-3)
    assert_close(np.asarray(Y), expected)


def test_kernels_of_symbols_are_functions_of_arrays(rng: np.random.Generator) -> None:
    attend = kernels.attention_kernel(
        Symbol("M"), Symbol("N"), 16, is_causal=True, query_start=None, mask=DType.U8, alibi=True
    ).compile()
    for rows, keys in ((3, 9), (40, 70)):
        q, k, v = draw(rng, (rows, 16)), draw(rng, (keys, 16)), draw(rng, (keys, 16))
        keep = rng.random((rows, keys)) < 0.5
        slopes = np.full((rows, 1), 0.25, F32)
        out = np.zeros((rows, 16), F32)
        attend(q, k, v, keep.view(np.uint8), slopes, 2, out)
        distance = np.abs(np.arange(keys) - (np.arange(rows)[:, None] + 2))
        expected = attention_in_float64(
            q, k, v, visible=keep & band(rows, keys, right=0, start=2), bias=-0.25 * distance
        )
        assert_close(out, expected)


@pytest.mark.parametrize(
    ("made", "parameters"),
    [
        (kernels.matmul_kernel(8, 9, 10, bias=DType.F32, activation="gelu"), "a b bias out"),
        (kernels.softmax_kernel(Tile[4, 8, DType.BF16]), "x out"),
        (kernels.rmsnorm_kernel(Tile[4, 8, DType.F16], gain=DType.F32), "x gamma out"),
        (kernels.rope_kernel(Tile[4, 8, DType.F32], interleaved=True), "x cos sin out"),
        (kernels.swiglu_kernel(Tile[4, 8, DType.F32]), "gate up out"),
        (kernels.attention_kernel(4, 8, 16, window=(2, 2)), "q k v out"),
    ],
)
def test_parameters_of_kernels(made: Any, parameters: str) -> None:
    assert list(made.signature) == parameters.split()
    assert repr(made).startswith(f"<kernel {made.name}(")


def test_kernels_refuse_what_they_cannot_be(fails: Any) -> None:
    refuses = functools.partial(fails, line=0)
    refuses(
        TypeCheckError,
        lambda: kernels.softmax_kernel(Tile[4, 8, DType.I32]),
        "softmax: 'x' is I32, not a float",
    )
    refuses(
        TypeCheckError,
        lambda: kernels.rope_kernel(Tile[4, 7, DType.F32]),
        "rope: 'x' is [4, 7], its columns must be an even number",
    )
    refuses(
        TypeCheckError,
        lambda: kernels.attention_kernel(4, 8, 16, mask=DType.I32),
        "attention: the mask is I32, neither U8 nor a float",
    )
    refuses(
        TypeCheckError,
        lambda: kernels.attention_kernel(4, 8, 16, window=(-1, 2)),
        "attention: the window reaches -1 keys far",
    )
    refuses(
        TypeCheckError,
        lambda: kernels.softmax_kernel((4, 8)),  # type: ignore[arg-type]
        "expected a tile type, got (4, 8)",
        hint="Tile[rows, cols, dtype]",
    )


def test_examples_in_the_documentation() -> None:
    assert doctest.testmod(kernels).failed == 0
