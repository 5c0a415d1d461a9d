"""Workloads: loops, tasks, types, enumeration, nesting."""

import itertools
import warnings

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
    RaceWarning,
    Scalar,
    Tensor,
    Tile,
    TypeChecker,
    TypeCheckError,
    Workload,
    combine,
    kernel,
    pto,
    sequential,
    workload,
)
from pto_wsp.scalar_expr import as_expr, minimum

F32 = DType.F32

batch = Dense[4]
heads = Dense[8]
Q = Tensor(np.zeros((4, 8, 32, 16), np.float32))
O = Tensor(np.zeros((4, 8, 32, 16), np.float32))  # noqa: E741


@kernel
def attn(q: In[Tensor], o: Out[Tensor]): ...


@kernel
def scale(x: In[Tile[32, 16, F32]], y: Out[Tile[32, 16, F32]], k: Scalar[F32] = 2.0): ...


@workload
def attention(batch, heads):
    for b, h in P(batch, heads):
        attn[b, h](q=Q[b, h], o=O[b, h])


def test_type_and_text() -> None:
    built = attention(batch, heads)
    assert isinstance(built, Workload)
    assert repr(built) == str(built) == "Workload[Dense[4] × Dense[8], attn, Independent]"
    assert (built.kind, built.name, built.task_count) == ("parallel", "attention", 32)
    assert "task attn[b, h](in Q[b, h, 0:32, 0:16], out O[b, h, 0:32, 0:16])" in built.dump()


def test_the_decorated_function_uses_the_variables_of_its_parameters_names() -> None:
    assert attention.task_count == 32
    assert attention.kind == "parallel"
    assert attention.name == "attention"
    assert repr(attention.streams(2)) == repr(attention(batch, heads))


def test_enumeration() -> None:
    tasks = attention(batch, heads).enumerate()
    assert [task.id for task in tasks] == list(range(32))
    assert [(t.get("b"), t.get("h")) for t in tasks] == list(itertools.product(range(4), range(8)))
    task = tasks[13]
    assert task.kernel is attn
    assert str(task.kernel) == "attn"
    assert task.params == [1, 5]
    assert (task.batch, task.head, task.get("heads")) == (1, 5, 5)
    assert [tensor.shape for tensor in task.resources] == [(32, 16), (32, 16)]
    assert np.shares_memory(np.asarray(task.resources[1]), np.asarray(O[1, 5]))


def test_iteration_is_lazy() -> None:
    @workload
    def many():
        for i in P(10_000_000):
            scale[i](Q[0, 0], O[0, 0])

    assert [task.id for task in itertools.islice(many(), 3)] == [0, 1, 2]


@pytest.mark.parametrize("size", [4095, 4096, 4097, 9000])
def test_iteration_is_complete(size: int) -> None:
    @workload
    def many():
        for i in P(size):
            scale[i](Q[0, 0], O[0, 0])

    assert [task.i for task in many()] == list(range(size))


def test_nested_and_sequential_loops() -> None:
    @workload
    def staged():
        for s in P.seq(Dense[3]):
            for t in P(range(2)):
                scale[s, t](Q[s, t], O[s, t])

    built = staged()
    assert built.task_count == 6
    assert built.kind == "seq"
    assert "Sequential" in repr(built)


def test_what_can_be_an_axis() -> None:
    @workload
    def all_of_them():
        for a, b, c, d in P(Dense[1], 2, range(3), [0] * 4):
            attn[a, b, c, d](Q[a, b], O[c, d])

    assert all_of_them().task_count == 24


def test_ranges_shift_and_stretch() -> None:
    @workload
    def ranged():
        for h in P(range(1, 8, 3)):
            attn[h](Q[0, h], O[0, h])

    assert [task.params for task in ranged()] == [[1], [4], [7]]
    resources = ranged().enumerate()[1].resources
    assert np.shares_memory(np.asarray(resources[0]), np.asarray(Q[0, 4]))


def test_zero_sized_axes() -> None:
    @workload
    def nothing():
        for b, h in P(Dense[0], heads):
            attn[b, h](Q[b, h], O[b, h])

    assert nothing().task_count == 0
    assert nothing().enumerate() == []


def test_affine_indices_and_slices() -> None:
    X = Tensor(np.arange(64 * 16, dtype=np.float32).reshape(64, 16))
    Y = Tensor(np.zeros((64, 16), np.float32))

    @workload
    def blocks():
        for i in P(3):
            attn[i](X[i * 16 + 8 : i * 16 + 24], Y[16 * i : 16 * (i + 1)])

    tasks = blocks().enumerate()
    np.testing.assert_array_equal(np.asarray(tasks[2].resources[0]), np.asarray(X)[40:56])
    assert "X[16*i + 8:16*i + 24, 0:16]" in blocks().dump()


def test_rows_of_one_dimension() -> None:
    X = Tensor(np.zeros((4, 16), np.float32))

    @kernel
    def row(x: InOut[Tile[1, 16, F32]]): ...

    @workload
    def rows():
        for i in P(4):
            row[i](X[i])

    assert rows().task_count == 4


def test_partial_tiles() -> None:
    X = Tensor(np.zeros((4, 32, 16), np.float32))

    @workload
    def ragged():
        for i in P(4):
            scale[i](X[i].valid(rows=minimum(32, as_expr(i) * 10 + 1)), O[0, i].valid(cols=8))

    assert "valid(rows = " in ragged().dump()


def test_arguments_by_position_name_and_default() -> None:
    @workload
    def calls():
        for b in P(4):
            scale[b](Q[b, 0], O[b, 0])
            scale[b](y=O[b, 1], x=Q[b, 1], k=3)
            scale[b](Q[b, 2], k=b + 1, y=O[b, 2])
            scale.at(b=b)(Q[b, 3], O[b, 3])

    text = calls().dump()
    assert calls().task_count == 16
    assert text.count(", 2)") == 2
    assert ", 3)" in text
    assert ", (b + 1))" in text


def test_constants_specialise() -> None:
    @kernel
    def block(x: In[Tile["R", 16, F32]], R: Constexpr): ...  # noqa: F821

    @workload
    def sizes():
        for b in P(4):
            block[b](Q[b, 0], R=32)
            block[b](Q[b, 0][0:8], 8)

    text = sizes().dump()
    assert "f32[32, 16]" in text
    assert "f32[8, 16]" in text


def test_calls_are_inlined() -> None:
    @workload
    def of_one(b, heads):
        for h in P(heads):
            attn[b, h](Q[b, h], O[b, h])

    @workload
    def whole():
        for b in P(batch):
            of_one(b, heads)

    built = whole()
    assert built.task_count == 32
    assert "call of_one" in built.dump()
    assert [(t.b, t.h) for t in built] == list(itertools.product(range(4), range(8)))


def test_groups() -> None:
    first, second = attention(batch, heads), attention(batch, heads)
    both = combine(first, second)
    assert (both.kind, both.task_count) == ("combine", 64)
    in_turn = sequential(first, attention)
    assert (in_turn.kind, in_turn.task_count) == ("sequential", 64)


def test_raw_arrays_as_whole_arguments() -> None:
    whole = np.zeros((32, 16), np.float32)

    @workload
    def once():
        scale(whole, O[0, 0])
        scale(Q[0, 0], whole)

    built = once()
    assert built.kind == "combine"
    assert built.dump().count("tensor whole:") == 1


def test_tensor_names() -> None:
    named = Tensor(np.zeros((32, 16), np.float32), name="given")
    outside = Tensor(np.zeros((2, 32, 16), np.float32))
    view = outside[1]

    @workload
    def names():
        local = Tensor(np.zeros((32, 16), np.float32))
        scale(named, outside[0])
        scale(view, local)
        scale(named, Tensor(np.zeros((32, 16), np.float32)))

    text = names().dump()
    for name in ("given", "outside", "local"):
        assert f"tensor {name}: " in text
    assert text.count("tensor ") == 4


def test_type_errors_are_collected() -> None:
    @workload
    def wrong():
        for b in P(batch):
            scale[b](Q[b], O[b, 0])
            scale[b](Q[b, 0], O[b, 0])

    built = wrong()
    assert len(built.type_errors) == len(TypeChecker().check(built)) == 1
    assert len(TypeChecker()(wrong)) == 1
    assert "scale" in str(built.type_errors[0])
    assert TypeChecker().check(attention) == []


def test_loops_are_built_once() -> None:
    seen = []

    @workload
    def counted():
        for b in P(1000):
            seen.append(b)
            attn[b](Q[0, 0], O[0, 0])

    counted()
    assert len(seen) == 1


@pytest.mark.parametrize(
    ("call", "text"),
    [
        (lambda x, y: pair(x), "kernel 'pair': missing argument 'y': Out[Tile[4, 4, F32]]"),
        (lambda x, y: pair(x, y, 1, 2), "kernel 'pair': takes 3 arguments but 4 were given"),
        (lambda x, y: pair(x, z=y), "kernel 'pair': unknown argument 'z'"),
        (lambda x, y: pair(x, 3), "kernel 'pair': 'y: Out[Tile[4, 4, F32]]' needs a tensor, got 3"),
        (
            lambda x, y: pair(y, x),
            "kernel 'pair': 'y: Out[Tile[4, 4, F32]]' is written but its array is read-only",
        ),
        (
            lambda x, y: pair(x, y, "2"),
            "kernel 'pair': 'n: Scalar[I32]' needs an integer, got '2'",
        ),
        (
            lambda x, y: pair["i"](x, y),
            "kernel 'pair': a subscript is a loop variable or an integer, got 'i'",
        ),
        (lambda x, y: product(x, wide, y), "matmul: inner dimensions differ: [4, 4] x [5, 4]"),
    ],
)
def test_calls_of_every_kind_that_do_not_fit_are_collected(call, text: str) -> None:
    frozen, out = np.zeros((4, 4), np.float32), np.zeros((4, 4), np.float32)
    frozen.flags.writeable = False

    def body():
        call(frozen, out)
        pair(frozen, out)
        pair(wide, out)

    built = workload(body)()
    first, second = TypeChecker().check(built)
    assert first.text == text
    assert second.text.startswith("pair: x: expected Tile[4, 4, F32], got ")
    assert built.task_count == 1
    with pytest.raises(TypeCheckError) as raised:
        built.streams(2).compile()
    assert raised.value.text == text
    with pytest.raises(TypeCheckError) as raised:
        workload(fail_on_type_error=True)(body)()
    assert raised.value.text == text


wide = np.zeros((5, 4), np.float32)


@kernel
def pair(x: In[Tile[4, 4, F32]], y: Out[Tile[4, 4, F32]], n: Scalar[DType.I32] = 1): ...


@kernel
def product(x: In[Tensor], y: In[Tensor], z: Out[Tensor]):
    pto.store(z, x @ y)


def test_a_workload_in_a_function_compiles_with_the_variables_there() -> None:
    rows = Dense[3]  # noqa: F841

    @workload
    def local(rows):
        for row in P(rows):
            scale[row](Q[0, row], O[0, row])

    assert [local.task_count, local.compile().stats.task_count] == [3, 3]

    @workload
    def missing(nowhere):
        for row in P(nowhere):
            scale[row](Q[0, row], O[0, row])

    nowhere = Dense[3]
    with pytest.raises(CompileError) as caught:
        missing.compile()
    assert caught.value.text == (
        "workload 'missing': parameter 'nowhere' has no value: there was no variable of that name "
        "when the function was defined"
    )
    assert missing(nowhere).task_count == 3


@pytest.mark.error
def test_bodies_that_do_not_run_or_return_something(fails) -> None:
    hint = "loop with for ... in P(...) and call kernels as statements"

    def generator():
        @workload
        def body():
            yield scale(Q[0, 0], O[0, 0])

    end = "whose body does not run when it is called"
    text = f"@workload: 'body' is a generator, {end}"
    fails(TypeCheckError, generator, text, line=1, hint=hint)

    def coroutine():
        @workload
        async def body():
            scale(Q[0, 0], O[0, 0])

    fails(TypeCheckError, coroutine, f"@workload: 'body' is a coroutine, {end}", hint=hint)

    def returning():
        return 5

    error = fails(
        TypeCheckError,
        lambda: workload(returning)(),
        "workload 'returning' returns 5, which has no meaning",
        line=None,
    )
    assert error.at == (__file__, returning.__code__.co_firstlineno)
    assert workload(lambda: [scale(Q[0, 0], O[0, 0]) for _ in P(3)])().task_count == 3

    def flag():
        workload(fail_on_type_error="no")

    fails(TypeCheckError, flag, "@workload: fail_on_type_error is True or False, got 'no'")


def test_iterations_that_write_one_region_are_warned_of() -> None:
    @kernel
    def overwrite(x: In[Tile[4, 4, DType.F32]], y: Out[Tile[4, 4, DType.F32]]):
        pto.store(y, x)

    source = Tensor(np.ones((4, 4, 4), np.float32), name="SOURCE")
    target = Tensor(np.ones((4, 4, 4), np.float32), name="TARGET")

    @workload
    def racing():
        for i in P(Dense[4]):
            overwrite[i](source[i], target[0])

    @workload
    def fine():
        for i in P(Dense[4]):
            overwrite[i](source[i], target[i])

    line = racing.__wrapped__.__code__.co_firstlineno + 3
    text = (
        f"loop i: race: overwrite writes TARGET[0, 0:4, 0:4] ({__file__}:{line}) in iteration i "
        "and again in iteration i + 1, and nothing reads it between: the later one stays"
    )
    with pytest.warns(RaceWarning) as caught:
        made = racing()
    assert [(str(each.message), each.filename, each.lineno) for each in caught] == [
        (text, __file__, line)
    ]
    assert made.type_warnings == [f"{__file__}:{line}: {text}"]
    assert made.type_errors == []
    assert text in str(made.compile().explain()).replace("not applied: ", "")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert fine().type_warnings == []


def test_explain_names_the_proof_and_what_would_remove_tracking() -> None:
    @kernel
    def move(x: In[Tile[4, 4, DType.F32]], y: Out[Tile[4, 4, DType.F32]]):
        pto.store(y, x)

    data = Tensor(np.ones((5, 4, 4), np.float32), name="DATA")
    other = Tensor(np.ones((5, 4, 4), np.float32))

    @workload
    def chained():
        for i in P(Dense[4]):
            move[i](data[i], data[i + 1])

    @workload
    def apart():
        for i in P(Dense[4]):
            move[i](data[i], other[i])

    explanation = str(chained.compile().explain())
    assert "chain: each iteration depends on the one before: move reads DATA[i, " in explanation
    assert "would not be needed with P.seq over i: it is a chain anyway" in explanation
    assert "independent loop: no iteration touches what another one writes" in str(
        apart.compile().explain()
    )
