"""The primitives: every row of the table as a function, operators, errors."""

import inspect

import numpy as np
import pto_wsp._pto_wsp as native
import pytest
from helpers import reference
from pto_wsp import (
    CompileError,
    DType,
    In,
    InOut,
    Out,
    Scalar,
    Tile,
    TypeCheckError,
    kernel,
    pto,
    tl,
)

F16, F32, I32 = DType.F16, DType.F32, DType.I32

CLOSED_FORMS = {
    "add": lambda x, y: x + y,
    "sub": lambda x, y: x - y,
    "mul": lambda x, y: x * y,
    "div": lambda x, y: x / y,
    "maximum": np.maximum,
    "minimum": np.minimum,
    "max": np.maximum,
    "min": np.minimum,
    "neg": lambda x, y: -x,
    "exp": lambda x, y: np.exp(x),
    "log": lambda x, y: np.log(x),
    "sqrt": lambda x, y: np.sqrt(x),
    "rsqrt": lambda x, y: 1 / np.sqrt(x),
    "tanh": lambda x, y: np.tanh(x),
    "transpose": lambda x, y: x.T,
    "rowsum": lambda x, y: x.sum(1, keepdims=True),
    "rowmean": lambda x, y: x.mean(1, keepdims=True),
    "rowmax": lambda x, y: x.max(1, keepdims=True),
    "matmul": lambda x, y: x @ y,
    "softmax": lambda x, y: np.exp(x) / np.exp(x).sum(1, keepdims=True),
}


def run(body, *arrays, shape=(4, 4), dtype=F32):
    """What `body` of tiles gives, by the reference evaluator."""

    def traced(x, y, out):
        pto.store(out, body(x, y))

    tile = Tile[4, 4, dtype]
    traced.__annotations__ = {"x": In[tile], "y": In[tile], "out": Out[Tile[(*shape, dtype)]]}
    out = np.zeros(shape, dtype.numpy)
    reference(kernel(traced), *arrays, out)
    return out


@pytest.fixture
def pair(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    return tuple((rng.random((4, 4)) + 0.5).astype(np.float32) for _ in range(2))  # type: ignore


@pytest.mark.parametrize("name", CLOSED_FORMS)
def test_primitives_mean_what_numpy_does(name: str, pair) -> None:
    expected = CLOSED_FORMS[name](*(array.astype(float) for array in pair))
    required = [
        each
        for each in inspect.signature(getattr(pto, name)).parameters.values()
        if each.default is inspect.Parameter.empty
    ]
    unary = len(required) == 1
    got = run(
        lambda x, y: getattr(tl, name)(x) if unary else getattr(tl, name)(x, y),
        *pair,
        shape=expected.shape,
    )
    np.testing.assert_allclose(got, expected, rtol=1e-6)


OPERATORS = {
    "+": (lambda x, y: x + y, lambda x, y: 2 + x, lambda x, y: x + 2.5),
    "-": (lambda x, y: x - y, lambda x, y: 2 - x, lambda x, y: x - 2.5),
    "*": (lambda x, y: x * y, lambda x, y: 2 * x, lambda x, y: x * 2.5),
    "/": (lambda x, y: x / y, lambda x, y: 2 / x, lambda x, y: x / 2.5),
    "@": (lambda x, y: x @ y, lambda x, y: x @ y.T),
    "-x": (lambda x, y: -x,),
    "numpy scalars": (lambda x, y: np.float32(2) * x - np.float64(1),),
}


@pytest.mark.parametrize("name", OPERATORS)
def test_operators(name: str, pair) -> None:
    for operator in OPERATORS[name]:
        expected = operator(*(array.astype(float) for array in pair))
        np.testing.assert_allclose(run(operator, *pair), expected, rtol=1e-6)


@pytest.mark.parametrize("sign", ["<", "<=", ">", ">=", "==", "!="])
def test_comparisons_choose(sign: str, rng: np.random.Generator) -> None:
    x, y = (rng.integers(0, 3, (4, 4)).astype(np.float32) for _ in range(2))
    compare = eval(f"lambda x, y: x {sign} y")
    got = run(lambda a, b: pto.where(compare(a, b), a, -1.0), x, y)
    np.testing.assert_array_equal(got, np.where(compare(x, y), x, -1))


def test_rows_and_columns(pair) -> None:
    x, y = pair
    column, row = x.sum(1, keepdims=True), x.T.sum(1, keepdims=True).T
    for name, vector, expected in [
        ("rowmul", lambda a: pto.rowsum(a), x * column),
        ("rowadd", lambda a: pto.rowsum(a), x + column),
        ("colmul", lambda a: pto.rowsum(a.T).T, x * row),
        ("coladd", lambda a: pto.rowsum(a.T).T, x + row),
    ]:
        got = run(lambda a, b: getattr(pto, name)(a, vector(a)), x, y)  # noqa: B023
        np.testing.assert_allclose(got, expected, rtol=1e-6)
    got = run(lambda a, b: pto.broadcast(pto.rowmax(a), (4, 4)), x, y)
    np.testing.assert_array_equal(got, np.broadcast_to(x.max(1, keepdims=True), (4, 4)))


def test_positions_and_casts(pair) -> None:
    got = run(lambda x, y: pto.cast(pto.row_index(4, 4) * 10 + pto.column_index(4, 4), F32), *pair)
    np.testing.assert_array_equal(got, np.arange(4)[:, None] * 10 + np.arange(4))


def test_windows(pair) -> None:
    @kernel
    def moved(x: In[Tile[4, 4, F32]], out: InOut[Tile[4, 4, F32]], at: Scalar[I32]):
        pto.store(out, pto.load(x, offset=(at, 1), shape=(2, 3)), offset=(0, 1))

    out = np.zeros((4, 4), np.float32)
    reference(moved, pair[0], out, 2)
    expected = np.zeros((4, 4), np.float32)
    expected[0:2, 1:4] = pair[0][2:4, 1:4]
    np.testing.assert_array_equal(out, expected)


def test_loops_carry_tiles(pair) -> None:
    @kernel
    def summed(x: In[Tile[4, 4, F32]], out: Out[Tile[4, 4, F32]], n: Scalar[I32]):
        total, last = pto.fori_loop(
            0, n, lambda i, c: (c[0] + x, pto.cast(i, F32)), (x * 0, pto.constant(0.0, F32))
        )
        pto.store(out, total * 10 + last)

    out = np.zeros((4, 4), np.float32)
    reference(summed, pair[0], out, 3)
    np.testing.assert_allclose(out, pair[0] * 30 + 2, rtol=1e-6)


def test_plain_loops_unroll(pair) -> None:
    def body(x, y):
        for _ in range(3):
            x = x * y
        return x

    np.testing.assert_allclose(run(body, *pair), pair[0] * pair[1] ** 3, rtol=1e-5)


def test_functions_come_from_the_table() -> None:
    rows = [row for row in native.ops() if row.name != "store_masked"]  # store with a mask
    for row in rows:
        function = getattr(pto, row.name)
        assert function.__name__ == row.name
        assert function.__doc__
    assert (
        str(inspect.signature(pto.matmul))
        == "(a, b, acc=None, trans_a=False, trans_b=False, skip_zeros=False)"
    )
    assert pto.matmul.__doc__ == next(r.doc for r in native.ops() if r.name == "matmul")
    assert set(dir(pto)) >= {row.name for row in rows}


def text_of(body, kind=TypeCheckError, dtype=F32) -> str:
    def traced(x, y, out):
        pto.store(out, body(x, y))

    tile = Tile[4, 4, dtype]
    traced.__annotations__ = {"x": In[tile], "y": In[tile], "out": Out[tile]}
    with pytest.raises(kind) as caught:
        kernel(traced).trace()
    assert caught.value.at == (__file__, body.__code__.co_firstlineno)
    return str(caught.value.text)


@pytest.mark.error
def test_arguments_are_checked() -> None:
    assert text_of(lambda x, y: pto.matmul(x)) == "pto.matmul: missing a required argument: 'b'"
    assert text_of(lambda x, y: pto.exp(x, fast=1)) == (
        "pto.exp: got an unexpected keyword argument 'fast'"
    )
    assert text_of(lambda x, y: x + "a") == (
        "pto.add: operand 'a' is neither a tile, a scalar nor a number"
    )
    assert text_of(lambda x, y: x + np.zeros(3)).startswith("pto.add: operand array([0., 0., 0.])")
    assert text_of(lambda x, y: pto.rowmul(x, y)) == (
        "pto.rowmul: the second operand is [4, 4], expected [4, 1]"
    )
    assert text_of(lambda x, y: pto.rowmul(x, 2)) == "pto.rowmul: operand 2 is no tile"
    assert text_of(lambda x, y: pto.constant("1")) == "pto.constant: expected a number, got '1'"
    assert text_of(lambda x, y: pto.load(pto.exp(x))).startswith(
        "pto.load: expected a tile parameter of the kernel, got <Value"
    )
    assert text_of(lambda x, y: pto.load(x, offset=1)) == (
        "pto.load: offset must be a pair (rows, columns), got 1"
    )
    assert text_of(lambda x, y: pto.load(x, offset=(0.5, 1))) == (
        "pto.load: expected an integer, got 0.5"
    )
    assert text_of(lambda x, y: pto.store(pto.exp(x), y)).startswith(
        "pto.store: the destination is <Value"
    )
    assert text_of(lambda x, y: pto.fori_loop(0, 2, lambda i, c: (c, c), x)) == (
        "pto.fori_loop: the body carries one, returned a sequence of 2"
    )
    assert text_of(lambda x, y: pto.div(x, y), dtype=I32).startswith("div: ")
    assert text_of(lambda x, y: x * 0.5, dtype=I32) == "mul: 0.5 is no i32"


@pytest.mark.error
def test_what_a_trace_cannot_know() -> None:
    kind = CompileError
    assert text_of(lambda x, y: x if x > y else y, kind) == (
        "kernel 'traced': the truth of <Value tile<4x4xmask>> is not known in a trace"
    )
    assert text_of(lambda x, y: float(x), kind) == (
        "kernel 'traced': the value of <x: Tile[4, 4, F32]> is not known in a trace"
    )
    assert text_of(lambda x, y: list(x), kind).startswith("kernel 'traced': the elements of <x:")
    assert text_of(lambda x, y: len(x), kind).startswith("kernel 'traced': the length of <x:")
    assert text_of(lambda x, y: x[0], kind) == (
        "kernel 'traced': <x: Tile[4, 4, F32]> cannot be indexed"
    )
    assert text_of(lambda x, y: np.asarray(x), kind).startswith("kernel 'traced': the value of")


@pytest.mark.error
def test_numpy_functions_are_refused() -> None:
    with pytest.raises(TypeError, match="does not support ufuncs"):
        run(lambda x, y: np.exp(x), *(np.zeros((4, 4), np.float32),) * 2)


@pytest.mark.error
def test_unknown_primitives() -> None:
    with pytest.raises(AttributeError, match=r"there is no pto.matmull; did you mean pto.matmul\?"):
        pto.matmull  # noqa: B018


@pytest.mark.error
def test_outside_a_kernel(fails) -> None:
    def action() -> None:
        pto.exp(1.0)

    fails(CompileError, action, "pto.exp: called outside the body of a kernel")


@pytest.mark.error
def test_only_optional_operands_may_be_none(rng: np.random.Generator) -> None:
    def text(action) -> str:
        with pytest.raises(TypeCheckError) as caught:
            run(action, *rng.standard_normal((2, 4, 4)).astype(np.float32))
        assert caught.value.at == (__file__, action.__code__.co_firstlineno)
        return caught.value.text

    assert text(lambda x, y: pto.matmul(x, None, y)) == "pto.matmul: operand 'b' is None"
    assert text(lambda x, y: pto.add(None, y)) == "pto.add: operand 'a' is None"
    assert text(lambda x, y: pto.where(x > y, None, y)) == "pto.where: operand 'a' is None"
    x, y = rng.standard_normal((2, 4, 4)).astype(np.float32)
    np.testing.assert_allclose(
        run(lambda x, y: pto.matmul(x, y, None), x, y), x @ y, rtol=1e-5, atol=1e-6
    )
