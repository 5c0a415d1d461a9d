"""Mistakes: each is a clear error at the user's line, leaves nothing behind, and the process goes
on."""

import inspect
import os
import pathlib
import subprocess
import sys

import numpy as np
import pytest
from pto_wsp import (
    CompileError,
    Constexpr,
    Dense,
    DType,
    In,
    InOut,
    Out,
    P,
    PtoError,
    Scalar,
    ScheduleError,
    Tensor,
    Tile,
    TypeCheckError,
    combine,
    kernel,
    pto,
    workload,
)
from pto_wsp.scalar_expr import as_expr, minimum

F32, I32 = DType.F32, DType.I32

X = Tensor(np.zeros((4, 8, 32, 16), np.float32))
Y = Tensor(np.zeros((4, 8, 32, 16), np.float32))
RAW = np.zeros((4, 8, 32, 16), np.float32)

OPERANDS = (
    "operands are integers, loop variables and scalar expressions, operators + - * // % & | ^ << "
    ">> and comparisons: (2*i + j) // 4"
)


@kernel
def copy(x: In[Tile[32, 16, F32]], y: Out[Tile[32, 16, F32]], k: Scalar[I32] = 1):
    pto.store(y, x)


@kernel
def blocked(x: In[Tensor], n: Constexpr = 4):
    pto.exp(x)


@pytest.fixture(autouse=True)
def nothing_is_left_behind():
    """After every mistake a good workload still builds, compiles and runs."""
    yield
    data = np.random.default_rng(1).standard_normal((32, 16)).astype(np.float32)
    out = np.zeros_like(data)

    @workload
    def good():
        copy(data, out)

    program = good().compile()
    program.execute()
    program.synchronize()
    np.testing.assert_array_equal(out, data)


def mistake(kind: type[PtoError], body, *, offset: int = 2) -> PtoError:
    """The error of a workload with the loop ``for i, j in P(4, 8)`` and `body(i, j)`; it stands
    `offset` lines below the start of `body`."""

    @workload(fail_on_type_error=True)
    def wrong():
        for i, j in P(4, 8):
            body(i, j)

    with pytest.raises(kind) as caught:
        wrong()
    assert caught.value.at == (__file__, body.__code__.co_firstlineno + offset - 1)
    return caught.value


@pytest.mark.error
def test_shape_mismatch() -> None:
    def body(i, j):
        copy[i, j](X[i], Y[i, j])

    assert mistake(TypeCheckError, body).text == (
        "copy: x: expected Tile[32, 16, F32], got X[i, 0:8, 0:32, 0:16] of shape [8, 32, 16]"
    )

    def small(i, j):
        copy[i, j](X[i, j][0:16], Y[i, j])

    error = mistake(TypeCheckError, small)
    assert error.text == (
        "copy: x: expected Tile[32, 16, F32], got X[i, j, 0:16, 0:16] of shape [16, 16]"
    )
    assert error.hint == "a partial tile is declared, as in .valid(rows=16, cols=16)"


@pytest.mark.error
def test_wrong_dtype() -> None:
    half = Tensor(np.zeros((4, 8, 32, 16), np.float16))
    half_place = (__file__, inspect.currentframe().f_lineno - 1)

    def body(i, j):
        copy[i, j](half[i, j], Y[i, j])

    error = mistake(TypeCheckError, body)
    assert error.text == "copy: x: expected F32, got F16 of half[i, j, 0:32, 0:16]"
    assert (half_place, "half: f16[4, 8, 32, 16]") in error.notes


@pytest.mark.error
def test_out_of_range_view() -> None:
    def body(i, j):
        copy[i, j](X[i + 1, j], Y[i, j])

    assert mistake(TypeCheckError, body).text == (
        "copy: x = X[i + 1, j, 0:32, 0:16]: dimension 0 of X reaches index 4, but its extent is 4 "
        "(i in Dense[4])"
    )

    def constant(i, j):
        copy[i, j](X[4, j], Y[i, j])

    assert mistake(TypeCheckError, constant).text == (
        "index 4 is out of range for extent 4 of shape [4, 8, 32, 16]"
    )

    def sliced(i, j):
        copy[i, j](X[i, j], Y[0, 0][32 * j : 32 * j + 32])

    assert mistake(TypeCheckError, sliced).text == (
        "copy: y = Y[0, 0, 32*j:32*j + 32, 0:16]: dimension 2 of Y reaches index 255, but its "
        "extent is 32 (j in Dense[8])"
    )

    def ranks(i, j):
        copy[i, j](X[i, j, 0, 0, 0], Y[i, j])

    assert mistake(TypeCheckError, ranks).text == (
        "tensor of shape [4, 8, 32, 16] takes at most 4 indices, got 5"
    )


@pytest.mark.error
def test_collected_errors_are_raised_by_compile() -> None:
    @workload
    def wrong():
        for i in P(4):
            copy[i](X[i + 1, 0], Y[i, 0])

    built = wrong()
    assert len(built.type_errors) == 1
    with pytest.raises(TypeCheckError) as caught:
        built.compile()
    assert caught.value.at[0] == __file__
    with pytest.raises(TypeCheckError):
        combine(built, built)


@pytest.mark.error
def test_unknown_axis_name() -> None:
    @workload
    def good(heads):
        for h in P(heads):
            copy[h](X[0, h], Y[0, h])

    task = good(Dense[8]).enumerate()[0]
    with pytest.raises(ScheduleError) as caught:
        task.get("batch")
    for name in ("h", "heads", "head", "copy"):
        assert name in str(caught.value)


@pytest.mark.error
def test_missing_and_extra_arguments() -> None:
    def missing(i, j):
        copy[i, j](x=X[i, j])

    assert mistake(TypeCheckError, missing).text == (
        "kernel 'copy': missing argument 'y': Out[Tile[32, 16, F32]]"
    )

    def extra(i, j):
        copy[i, j](X[i, j], Y[i, j], 1, X[i, j])

    assert mistake(TypeCheckError, extra).text == (
        "kernel 'copy': takes 3 arguments but 4 were given"
    )

    def unknown(i, j):
        copy[i, j](X[i, j], z=Y[i, j])

    error = mistake(TypeCheckError, unknown)
    assert error.text == "kernel 'copy': unknown argument 'z'"
    assert error.hint.endswith("the parameters are x, y, k")


@pytest.mark.error
def test_arguments_of_another_kind() -> None:
    def number(i, j):
        copy[i, j](1.0, Y[i, j])

    assert mistake(TypeCheckError, number).text == (
        "kernel 'copy': 'x: In[Tile[32, 16, F32]]' needs a tensor, got 1.0"
    )

    def real(i, j):
        copy[i, j](X[i, j], Y[i, j], 0.5)

    assert mistake(TypeCheckError, real).text == (
        "kernel 'copy': 'k: Scalar[I32]' needs an integer, got 0.5"
    )

    def constant(i, j):
        blocked[i, j](X[i, j], n=i)

    assert mistake(TypeCheckError, constant).text == (
        "kernel 'blocked': 'n: Constexpr' needs a constant, got AxisVar('i')"
    )

    def subscript(i, j):
        copy["i"](X[i, j], Y[i, j])

    assert mistake(TypeCheckError, subscript).text == (
        "kernel 'copy': a subscript is a loop variable or an integer, got 'i'"
    )


NO_INTEGER = {
    "(i) / 2": lambda i, j: i / 2,
    "2 / (i)": lambda i, j: 2 / i,
    "(i) ** 0.5": lambda i, j: i**0.5,
    "(i) * 0.5": lambda i, j: i * 0.5,
    "(i) // 0.5": lambda i, j: i // 0.5,
    "'a' % (i)": lambda i, j: i.__rmod__("a"),
    "(i) + 0.5": lambda i, j: i + 0.5,
    "(i) - 'a'": lambda i, j: i - "a",
}


@pytest.mark.error
@pytest.mark.parametrize("shown", NO_INTEGER)
def test_expressions_that_are_no_integers(shown: str) -> None:
    error = mistake(CompileError, NO_INTEGER[shown], offset=1)
    assert error.text == f"{shown} is not an integer expression of loop variables"
    assert error.hint == OPERANDS


UNKNOWN = {
    "range": (lambda i, j: range(i), "the value"),
    "list": (lambda i, j: [1, 2][i], "the value"),
    "if": (lambda i, j: 1 if i else 2, "the truth"),
    "not": (lambda i, j: not i, "the truth"),
    "int": (lambda i, j: int(i), "the value"),
    "float": (lambda i, j: float(i), "the value"),
    "iteration": (lambda i, j: list(i), "the elements"),
    "array": (lambda i, j: RAW[i], "the value"),
    "numpy": (lambda i, j: np.asarray(i), "the value"),
}


@pytest.mark.error
@pytest.mark.parametrize("use", UNKNOWN)
def test_loop_variables_have_no_value(use: str) -> None:
    body, what = UNKNOWN[use]
    error = mistake(CompileError, body, offset=1)
    assert error.text == (
        f"{what} of loop variable i is not known: the body runs once for all iterations"
    )
    assert error.hint


@pytest.mark.error
def test_indexing_a_raw_array_says_what_to_do() -> None:
    error = mistake(CompileError, lambda i, j: copy[i, j](RAW[i, j], Y[i, j]), offset=1)
    assert error.hint == "to index an array with it, wrap the array: Tensor(Q)[b]"


@pytest.mark.error
def test_comparisons_choose_nothing() -> None:
    def body(i, j):
        if i < 3:
            copy[i, j](X[i, j], Y[i, j])

    error = mistake(CompileError, body)
    assert error.text == "the truth of (i < 3) is not known before the program runs"
    assert error.hint.startswith("with P.when(condition): builds a branch")

    def equal(i, j):
        return i == 3 and j == 2

    assert mistake(CompileError, equal).text.startswith("the truth of (i == 3) is not known")


@pytest.mark.error
def test_axes_are_checked(fails) -> None:
    def text() -> None:
        P("abc")

    fails(
        TypeCheckError,
        text,
        "P: 'abc' is not an axis",
        hint="use Dense[N], DenseDyn, Ragged, Range, an integer, a range or a sequence",
    )

    def none() -> None:
        P.seq()

    fails(TypeCheckError, none, "P.seq: needs at least one axis")

    def negative() -> None:
        P(-1)

    fails(TypeCheckError, negative, "Dense: size must be >= 0, got -1")

    def names() -> None:
        P(4, 4, names=["i"])

    fails(TypeCheckError, names, "P: 2 axes but 1 names")

    def name() -> None:
        P(4, names="1st")

    fails(TypeCheckError, name, "P: '1st' is not a name")


@pytest.mark.error
def test_loops_outside_a_workload(fails) -> None:
    def action() -> None:
        for _ in P(4):
            pass

    fails(CompileError, action, "P is used outside the body of a workload")


@pytest.mark.error
def test_break_and_return(fails) -> None:
    @workload
    def broken():
        for i in P(4):
            copy[i](X[i, 0], Y[i, 0])
            break

    @workload
    def returning():
        for i in P.seq(Dense[4]):
            copy[i](X[i, 0], Y[i, 0])
            return

    @workload
    def inner():
        for i in P(4):
            for j in P(8):
                copy[i, j](X[i, j], Y[i, j])
                break

    hint = "the body runs once for all iterations, so break and return have no meaning in it"
    for function, shown, line in [
        (broken, "P(Dense[4])", 2),
        (returning, "P.seq(Dense[4])", 2),
        (inner, "P(Dense[8])", 3),
    ]:
        with pytest.raises(CompileError) as caught:
            function()
        assert caught.value.text == f"loop {shown} is left before its end"
        assert caught.value.hint == hint
        first = function.__wrapped__.__code__.co_firstlineno
        assert caught.value.at == (__file__, first + line)


@pytest.mark.error
def test_a_loop_variable_is_used_after_its_loop() -> None:
    @workload(fail_on_type_error=True)
    def late():
        for i in P(4):
            copy[i](X[i, 0], Y[i, 0])
        copy(X[i, 1], Y[0, 0])

    with pytest.raises(CompileError) as caught:
        late()
    assert caught.value.text == (
        "copy: x = X[i, 1, 0:32, 0:16] uses i, which is no variable of a loop around this task"
    )


@pytest.mark.error
def test_an_exception_while_building_is_the_users() -> None:
    @workload
    def inner():
        for i in P(4):
            raise KeyError(str(i))

    @workload
    def outer():
        for _ in P(4):
            inner()

    for function in (inner, outer):
        with pytest.raises(KeyError, match="i") as caught:
            function()
        assert caught.traceback[-1].name == "inner"


@pytest.mark.error
def test_calls_of_workloads_are_checked() -> None:
    @workload
    def sized(batch):
        for b in P(batch):
            copy[b](X[b, 0], Y[b, 0])

    with pytest.raises(TypeCheckError, match="workload 'sized': missing a required argument"):
        sized()
    with pytest.raises(TypeCheckError, match="workload 'sized': too many positional arguments"):
        sized(1, 2)
    with pytest.raises(CompileError, match="workload 'sized': parameter 'batch' has no value"):
        sized.compile()
    with pytest.raises(AttributeError, match="workload 'sized' has no attribute 'dispatsh'"):
        sized.dispatsh  # noqa: B018
    with pytest.raises(TypeCheckError, match="combine: argument 1 is no workload but 3"):
        combine(sized(4), 3)
    with pytest.raises(CompileError, match="combine: 'sized' has a schedule of its own"):
        combine(sized(4).streams(2))


@pytest.mark.error
def test_results_are_not_written_to_read_only_arrays() -> None:
    frozen = np.zeros((32, 16), np.float32)
    frozen.flags.writeable = False

    def body(i, j):
        copy[i, j](X[i, j], frozen)

    assert mistake(TypeCheckError, body).text == (
        "kernel 'copy': 'y: Out[Tile[32, 16, F32]]' is written but its array is read-only"
    )


def test_nan_and_infinity_pass_through() -> None:
    @kernel
    def clamp(x: InOut[Tile[2, 8, F32]]):
        pto.store(x, pto.minimum(pto.maximum(x, -1.0), 1.0))

    data = np.array([[np.nan, np.inf, -np.inf, 0, 2, -2, 0.5, -0.0]] * 2, np.float32)
    expected = np.minimum(np.maximum(data, -1), 1)

    @workload
    def clamping():
        clamp(data)

    program = clamping().compile()
    program.execute()
    program.synchronize()
    np.testing.assert_array_equal(data, expected)


CACHE_PROGRAM = """
import numpy as np
from pto_wsp import DType, In, Out, Tile, kernel, pto
@kernel
def twice(x: In[Tile[4, 4, DType.F32]], y: Out[Tile[4, 4, DType.F32]]):
    pto.store(y, x + x)
x, y = np.ones((4, 4), np.float32), np.zeros((4, 4), np.float32)
twice.compile()(x, y)
print(y.sum())
"""


def run_with_cache(folder: pathlib.Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", CACHE_PROGRAM],
        capture_output=True,
        text=True,
        env={**os.environ, "PTO_WSP_CACHE_DIR": str(folder)},
        timeout=120,
        check=False,
    )


@pytest.mark.error
def test_a_cache_that_cannot_be_written(tmp_path: pathlib.Path) -> None:
    blocked_by_a_file = tmp_path / "file"
    blocked_by_a_file.write_text("")
    # /proc takes no files from anyone, not even root.
    for folder in (blocked_by_a_file / "cache", pathlib.Path("/proc/pto_wsp")):
        done = run_with_cache(folder)
        assert (done.returncode, done.stdout.strip()) == (0, "32.0"), done.stderr
        assert str(folder) in done.stderr


@pytest.mark.error
def test_a_full_cache(tmp_path: pathlib.Path) -> None:
    in_namespace = ["unshare", "--map-root-user", "--mount", "sh", "-c"]
    mount = f"mount -t tmpfs -o size=4k none {tmp_path}"
    try:
        subprocess.run([*in_namespace, mount], check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("a small file system cannot be mounted here")
    fill = f"head -c 3000 /dev/zero > {tmp_path}/other"
    done = subprocess.run(
        [*in_namespace, f'{mount} && {fill} && exec "$0" -c "$1"', sys.executable, CACHE_PROGRAM],
        capture_output=True,
        text=True,
        env={**os.environ, "PTO_WSP_CACHE_DIR": str(tmp_path)},
        timeout=120,
        check=False,
    )
    assert (done.returncode, done.stdout.strip()) == (0, "32.0"), done.stderr
    assert "No space left on device" in done.stderr


@pytest.mark.error
def test_a_loop_variable_of_another_workload() -> None:
    kept = []

    @workload
    def first():
        kept.extend(P(4))

    first()
    stale = kept[0]

    def other(i, j):
        copy[i, j](X[i, j], Y[stale + 0, 0])

    hint = "use the variables of the loops around the call"
    for body, what in (
        (other, "'y'"),
        (lambda i, j: copy[i, stale](X[i, j], Y[i, j]), "a subscript"),
        (lambda i, j: copy[i, j](X[i, j], Y[i, j], as_expr(stale) % 2), "'k'"),
        (lambda i, j: copy[i, j](X[i, j], Y[0, 0].valid(rows=minimum(stale, 3))), "'y'"),
        (lambda i, j: copy[i, j](X[i, j], Y[0, 0].slice(stale, stale + 32)), "'y'"),
    ):
        error = mistake(TypeCheckError, body, offset=2 if body is other else 1)
        assert error.text == (
            f"kernel 'copy': {what} uses a loop variable of workload 'first', not of the one that "
            "is being built"
        )
        assert error.hint == hint

    def mixed(i, j):
        copy[i, j](X[i, j], Y[stale + i, j])

    assert mistake(CompileError, mixed).text == (
        "loop variables of workload 'first' and of workload 'wrong' are in one expression"
    )


@pytest.mark.error
def test_errors_in_texts_and_memory_stand_at_the_users_line(fails) -> None:
    @workload
    def good():
        for i in P(4):
            copy[i](X[i, 0], Y[i, 0])

    def key():
        good().streams(2).stream_by("i %% 2")

    fails(
        ScheduleError,
        key,
        "stream_by: the key cannot be made an expression: 'i %% 2': expected an operand, found '%'",
    )

    def expression():
        as_expr("i +")

    fails(CompileError, expression, "'i +': expected an operand, found the end")

    def dim():
        Tile["a b", 4, F32]

    fails(CompileError, dim, "'a b': expected the end of the expression, found 'b'")

    def large():
        Tile[2**63, 4, F32]

    fails(TypeCheckError, large, "9223372036854775808 does not fit 64 bits")

    steps = [["vectorise", "y", {}]]

    def of_a_workload():
        good().compile(kernels={copy: steps})

    fails(ScheduleError, of_a_workload, "schedule: step 0: there is no step 'vectorise'")

    def of_a_kernel():
        copy.compile(schedule=steps)

    fails(ScheduleError, of_a_kernel, "schedule: step 0: there is no step 'vectorise'")

    def no_json():
        copy.compile(schedule=[{1, 2}])

    fails(ScheduleError, no_json, "schedule: Object of type set is not JSON serializable")

    huge = Tensor(shape=(2**50,))
    place = (__file__, inspect.currentframe().f_lineno - 1)

    def memory():
        return huge.data

    error = fails(
        PtoError, memory, "Tensor: no memory for 4503599627370496 bytes of shape [1125899906842624]"
    )
    assert error.notes == ((place, "the tensor is made here"),)
