"""Layouts and their join."""

import numpy as np
import pytest
from pto_wsp import (
    CompileError,
    Dense,
    DType,
    ExecutionError,
    In,
    LayoutIncompatibleError,
    LinearLayout,
    Location,
    MemLayout,
    Out,
    P,
    Tensor,
    TensorLayout,
    TensorReplicate,
    TensorShard,
    Tile,
    TypeChecker,
    TypeCheckError,
    allgather,
    allreduce,
    kernel,
    pto,
    reduce_scatter,
    relayout,
    tensor_layout_join,
    workload,
)

R = TensorReplicate()


def test_prints() -> None:
    assert repr(TensorLayout((TensorShard(0), R, R, R))) == "Layout(S(0), R, R, R)"
    assert repr(TensorShard(1)) == "S(1)"
    assert repr(R) == "R"


def test_constructors() -> None:
    assert TensorLayout.default(3) == TensorLayout.replicated(3) == TensorLayout((R, R, R))
    assert TensorLayout.sharded(1, 3, mesh_axis=2) == TensorLayout((R, TensorShard(2), R))
    assert TensorLayout.sharded(0, 2).sharded_dims() == [0]
    assert not TensorLayout.sharded(0, 2).is_replicated()
    assert TensorLayout.default(2).is_replicated()
    assert TensorLayout.sharded(1, 2).dist == (R, TensorShard(0))


def test_join() -> None:
    replicated, sharded = TensorLayout.default(4), TensorLayout.sharded(0, 4)
    assert repr(tensor_layout_join(replicated, sharded)) == "Layout(S(0), R, R, R)"
    assert tensor_layout_join(sharded, sharded) == sharded
    assert tensor_layout_join(sharded, TensorLayout.sharded(1, 4)) == TensorLayout(
        (TensorShard(0), TensorShard(0), R, R)
    )


@pytest.mark.error
def test_join_of_different_mesh_axes(fails) -> None:
    def join() -> None:
        tensor_layout_join(TensorLayout.sharded(0, 2, 0), TensorLayout.sharded(0, 2, 1))

    with pytest.raises(LayoutIncompatibleError, match=r"S\(0\).*S\(1\)") as caught:
        join()
    assert isinstance(caught.value, TypeError)
    assert caught.value.at == (__file__, join.__code__.co_firstlineno + 1)


@pytest.mark.error
def test_bad_entries(fails) -> None:
    def entry() -> None:
        TensorLayout((R, "S"))  # type: ignore[arg-type]

    fails(
        TypeCheckError,
        entry,
        "TensorLayout: entry 1 is 'S'",
        hint="use TensorShard(mesh_axis) or TensorReplicate()",
    )

    def axis() -> None:
        TensorShard(-1)

    fails(TypeCheckError, axis, "TensorShard: mesh axis must be an integer >= 0, got -1")

    def memory() -> None:
        TensorLayout((R,), mem=1)  # type: ignore[arg-type]

    fails(
        TypeCheckError,
        memory,
        "TensorLayout: mem is 1, not a MemLayout",
        hint="mem=MemLayout.row_major(shape)",
    )


X = Tensor(np.ones((2, 4, 4), np.float32))
O = Tensor(np.zeros((2, 4, 4), np.float32))  # noqa: E741


@kernel
def double(x: In[Tile[4, 4, DType.F32]], y: Out[Tile[4, 4, DType.F32]]):
    pto.store(y, x * 2.0)


@pytest.mark.error
@pytest.mark.parametrize("dim", [0, 1, 2])
def test_sharded_arguments_need_a_mesh(dim: int, fails) -> None:
    layout = TensorLayout.sharded(dim, 3)
    text = f"kernel 'double': 'x' is distributed as {layout!r}, but there is no mesh"
    hint = "give one with spatial_map(grid), or use TensorLayout.replicated(rank)"

    for sharded in (X.with_layout(layout), Tensor(X.data, layout=layout)):

        @workload
        def tasks(sharded=sharded):
            for i in P(Dense[2]):
                double[i](sharded[i], O[i])

        assert [error.text for error in TypeChecker().check(tasks())] == [text]
        fails(TypeCheckError, tasks().compile, text, line=None, hint=hint)

        def call(sharded=sharded) -> None:
            double.compile()(sharded[0], O[0])

        fails(TypeCheckError, call, text)
        double.compile()(sharded.with_layout(TensorLayout.default(3))[0], O[0])


def test_a_location_that_is_ignored_is_reported_once(caplog: pytest.LogCaptureFixture) -> None:
    near = Tensor(np.ones((2, 4, 4), np.float32), location=Location.UB)

    @workload
    def tasks():
        for i in P(Dense[2]):
            double[i](near[i], O[i])

    with caplog.at_level("WARNING", "pto_wsp"):
        tasks()
        tasks()
        double.compile()(near[0], O[0])
    line = tasks.__wrapped__.__code__.co_firstlineno + 3
    assert caplog.messages == [
        f"{__file__}:{line}: kernel 'double': 'x': Location.UB is ignored: the targets that there "
        "are have Location.Global only"
    ]


def test_shards_that_meet_in_a_kernel_must_agree() -> None:
    @kernel
    def add(
        x: In[Tile[4, 4, DType.F32]], y: In[Tile[4, 4, DType.F32]], z: Out[Tile[4, 4, DType.F32]]
    ):
        pto.store(z, x + y)

    rows = Tensor(np.ones((2, 4, 4), np.float32), layout=TensorLayout((R, TensorShard(0), R)))
    others = Tensor(np.ones((2, 4, 4), np.float32), layout=TensorLayout((R, TensorShard(1), R)))

    @workload(fail_on_type_error=True)
    def tasks():
        for i in P(Dense[2]):
            add[i](rows[i], others[i], O[i])

    with pytest.raises(LayoutIncompatibleError) as caught:
        tasks()
    assert caught.value.text == (
        "kernel 'add': 'x' is Layout(R, S(0), R) and 'y' is Layout(R, S(1), R): one dimension of "
        "both is S(0) and S(1)"
    )
    assert caught.value.hint == "redistribute one of the two, as in relayout(others, to=...)"
    assert caught.value.at == (__file__, tasks.__wrapped__.__code__.co_firstlineno + 3)
    assert isinstance(caught.value, TypeError)


def test_shards_that_one_loop_variable_indexes_must_agree() -> None:
    first = Tensor(np.ones((2, 4, 4), np.float32), layout=TensorLayout.sharded(0, 3, 0))
    second = Tensor(np.ones((2, 4, 4), np.float32), layout=TensorLayout.sharded(0, 3, 1))

    @workload
    def tasks():
        for i in P(Dense[2]):
            double[i](first[i], second[i])

    (found,) = tasks().type_errors
    assert isinstance(found, LayoutIncompatibleError)
    assert found.text == (
        "kernel 'double': 'x' is Layout(S(0), R, R) and 'y' is Layout(S(1), R, R): one dimension "
        "of both is S(0) and S(1)"
    )


def test_dimensions_of_a_product_that_do_not_meet_may_differ() -> None:
    @kernel
    def product(
        a: In[Tile[4, 4, DType.F32]], b: In[Tile[4, 4, DType.F32]], c: Out[Tile[4, 4, DType.F32]]
    ):
        pto.store(c, pto.matmul(a, b))

    def errors(a_layout: TensorLayout, b_layout: TensorLayout) -> list[str]:
        a = Tensor(np.ones((4, 4), np.float32), layout=a_layout, name="A")
        b = Tensor(np.ones((4, 4), np.float32), layout=b_layout, name="B")
        c = Tensor(np.ones((4, 4), np.float32), name="C")

        @workload
        def tasks():
            product(a, b, c)

        return [type(found).__name__ for found in tasks().type_errors]

    rows, columns = TensorLayout.sharded(0, 2, 0), TensorLayout.sharded(1, 2, 1)
    assert errors(rows, columns) == ["TypeCheckError"] * 2  # there is no mesh, but they fit
    assert errors(columns, rows) == ["LayoutIncompatibleError"]


def test_memory_layouts() -> None:
    rows = MemLayout.row_major((8, 64))
    assert repr(rows) == "MemLayout((64, 1), shape=(8, 64))"
    assert eval(repr(rows)) == rows
    assert MemLayout.col_major((8, 64)).strides == (1, 8)
    assert rows.permute((1, 0)).strides == (1, 64)
    assert rows.tile((4, 16)).strides == (256, 16, 64, 1)
    assert rows.tile((4, 16)).shape == (2, 4, 4, 16)
    assert rows.compose(MemLayout((2,))).strides == (128, 2)
    assert rows.place((1, 2)) == 66
    assert rows.linear() == LinearLayout.row_major((8, 64))
    swizzled = MemLayout((4, 1), swizzle=(2, 0, 2), pack=2)
    assert (swizzled.swizzle, swizzled.pack, swizzled.order) == ((2, 0, 2), 2, (0, 1))
    assert swizzled.place((1, 0)) == 5


def test_layouts_over_bits() -> None:
    tiles = LinearLayout.blocked((4, 8), (2, 4))
    assert [tiles.apply(1, 0), tiles.apply(8)] == [4, 4]
    swizzle = LinearLayout.swizzle(32, bits=1, base=0, shift=2)
    both = swizzle.compose(tiles)
    assert [both.apply(i) for i in range(32)] == [swizzle.apply(tiles.apply(i)) for i in range(32)]
    assert both.is_injective() and both.is_surjective() and both.rank() == 5
    assert both.compose(both.inverse()) == LinearLayout.identity(32)
    broadcast = LinearLayout.from_strides((4, 8), (0, 1))
    assert broadcast.kernel() == [8, 16]
    assert not broadcast.is_injective()
    assert LinearLayout.strided(4, 2) == LinearLayout((4,), (2, 4), 8)
    assert LinearLayout.col_major((2, 4)).bases == (2, 4, 1)


def test_a_tensor_is_allocated_as_its_layout_says() -> None:
    layout = TensorLayout((R, R), mem=MemLayout.col_major((8, 64)))
    made = Tensor(shape=(8, 64), dtype=DType.F32, layout=layout)
    assert made.data.strides == (4, 32)
    assert not made.data.any()
    assert made[2].layout.mem is None
    assert repr(layout) == "Layout(R, R, mem=MemLayout((1, 8), shape=(8, 64)))"
    array = np.asfortranarray(np.ones((8, 64), np.float32))
    assert Tensor(array, layout=layout).data is array


def test_relayout_copies_to_a_layout() -> None:
    array = np.arange(24, dtype=np.float32).reshape(4, 6)
    source = Tensor(array, layout=TensorLayout.sharded(dim=0, rank=2, mesh_axis=0))
    columns = TensorLayout((R, R), mem=MemLayout.col_major((4, 6)))
    moved = relayout(source, to=columns)
    assert moved.layout == columns
    assert moved.data.strides == (4, 16)
    np.testing.assert_array_equal(moved.data, array)
    moved.data[0, 0] = -1
    assert array[0, 0] == 0
    assert relayout(source, TensorLayout.replicated(rank=2)).layout.is_replicated()


@pytest.mark.parametrize("dtype", [DType.F16, DType.BF16, DType.I64])
def test_collectives_of_one_member_are_copies(dtype: DType) -> None:
    whole = Tensor(shape=(4, 6), dtype=dtype)
    whole.data[...] = np.arange(24).reshape(4, 6)
    shard = whole.with_layout(TensorLayout.sharded(1, 2, mesh_axis=0))
    for made, layout in [
        (allreduce(whole, op="sum", mesh_axis=0), whole.layout),
        (allgather(shard, mesh_axis=0), TensorLayout.replicated(2)),
        (allgather(shard, dim=-1), TensorLayout.replicated(2)),
        (reduce_scatter(whole, op="max", mesh_axis=1), TensorLayout.sharded(0, 2, 1)),
    ]:
        assert made.layout == layout
        assert made.dtype is dtype
        assert not np.shares_memory(made.data, whole.data)
        np.testing.assert_array_equal(made.data, whole.data)


@pytest.mark.error
def test_wrong_collectives(fails, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = Tensor(shape=(4, 6))
    shard = whole.with_layout(TensorLayout.sharded(1, 2))

    def refused(call, text: str, hint: str = "", kind=TypeCheckError) -> None:
        fails(kind, call, text, line=None, hint=hint)

    refused(
        lambda: relayout(whole, to="R"),  # type: ignore[arg-type]
        "relayout: to is 'R', not a TensorLayout",
        "relayout(t, to=TensorLayout.replicated(rank))",
    )
    refused(
        lambda: allreduce(np.ones(3)),  # type: ignore[arg-type]
        "allreduce: expected a Tensor, got array([1., 1., 1.])",
    )
    refused(
        lambda: allreduce(whole, op="mean"),
        "allreduce: op is 'mean'",
        "one of sum, prod, max, min",
    )
    refused(
        lambda: allreduce(whole, mesh_axis=-1),
        "allreduce: mesh_axis is -1, not an integer >= 0",
    )
    refused(
        lambda: allreduce(shard),
        "allreduce: dimension 1 of Layout(R, S(0)) is sharded over mesh axis 0",
        "members hold different parts of it: allgather them",
    )
    refused(
        lambda: allgather(shard, mesh_axis=1),
        "allgather: one dimension of Layout(R, S(0)) is to be sharded over mesh axis 1, and 0 are",
        "dim= and mesh_axis= say which",
    )
    refused(
        lambda: allgather(shard, dim=0),
        "allgather: dimension 0 of Layout(R, S(0)) is to be sharded over mesh axis 0, and 0 are",
        "dim= and mesh_axis= say which",
    )
    refused(
        lambda: reduce_scatter(whole, dim=2),
        "reduce_scatter: dim is 2, and the tensor has 2 dimensions",
    )
    refused(
        lambda: reduce_scatter(shard, dim=0),
        "reduce_scatter: dimension 0 of Layout(R, S(0)) cannot be sharded over mesh axis 0",
        "the dimension must be replicated, and the mesh axis free",
    )
    monkeypatch.setenv("OMPI_COMM_WORLD_SIZE", "4")
    refused(
        lambda: allreduce(whole),
        "allreduce: this process is one of 4 (OMPI_COMM_WORLD_SIZE), and there is no communicator "
        "between them",
        "collectives are copies on a mesh of one; start one process",
        ExecutionError,
    )


@pytest.mark.error
def test_a_collective_in_the_body_of_a_workload(fails) -> None:
    @workload
    def tasks():
        relayout(X, TensorLayout.replicated(3))

    fails(
        CompileError,
        tasks,
        "relayout is used in the body of a workload",
        line=None,
        hint="move the data before the workload, or after it",
    )


@pytest.mark.error
def test_wrong_memory_layouts(fails) -> None:
    def refused(call, text: str, hint: str = "", kind=TypeCheckError) -> None:
        fails(kind, call, text, line=None, hint=hint)

    refused(
        lambda: MemLayout((1, 2.5)),  # type: ignore[arg-type]
        "MemLayout: strides holds 2.5, which is no integer",
    )
    refused(
        lambda: MemLayout((1, 2), swizzle=(1, 2)),  # type: ignore[arg-type]
        "MemLayout: swizzle is (1, 2), not (bits, base, shift)",
    )
    refused(
        lambda: MemLayout((4, 1), order=(1, 0)),
        "MemLayout: order (1, 0) (slowest first) contradicts strides (4, 1)",
        "the strides have the order (0, 1)",
        CompileError,
    )
    refused(
        lambda: TensorLayout((R,), mem=MemLayout.row_major((2, 2))),
        "layout: MemLayout((2, 1), shape=(2, 2)) has 2 dimensions, the distribution 1",
    )
    refused(
        lambda: LinearLayout.row_major((3,)),
        "linear layout: extent 0 is 3, not a power of two",
        "a layout over bits has powers of two; MemLayout takes any extent",
        CompileError,
    )
    columns = TensorLayout((R, R), mem=MemLayout.col_major((2, 4)))
    refused(
        lambda: Tensor(np.ones((2, 4), np.float32), layout=columns),
        "Tensor: the data has strides (4, 1), MemLayout((1, 2), shape=(2, 4)) has (1, 2)",
        "copy it there: relayout(tensor, to=TensorLayout(dist, mem=...))",
    )
    refused(
        lambda: Tensor(shape=(4, 2), layout=columns),
        "Tensor: MemLayout((1, 2), shape=(2, 4)) is not of the tensor's shape [4, 2]",
    )
    refused(
        lambda: Tensor(shape=(4,), layout=TensorLayout((R,), mem=MemLayout((1,), pack=2))),
        "Tensor: MemLayout((1,), pack=2) swizzles or packs, and kernels address memory by strides",
        "move the elements first, to the places that mem.place(coordinates) gives",
    )


def test_layout_as_a_schedule_step_is_deprecated() -> None:
    @workload
    def tasks():
        for i in P(Dense[2]):
            double[i](X[i], O[i])

    made = tasks()
    with pytest.warns(DeprecationWarning, match="layouts belong to tensors") as caught:
        assert made.layout(x=TensorLayout.replicated(3)) is made
    assert caught[0].filename == __file__


def test_layouts_as_a_tutorial_writes_them() -> None:
    B, H, S, D = 2, 3, 4, 8
    layout0 = TensorLayout.default(rank=4)
    layout1 = TensorLayout.sharded(dim=0, rank=4, mesh_axis=0)
    layout2 = TensorLayout(
        (TensorShard(0), TensorReplicate(), TensorReplicate(), TensorReplicate()),
        mem=MemLayout.row_major((B, H, S, D)),
    )
    assert (
        repr(layout2) == "Layout(S(0), R, R, R, mem=MemLayout((96, 32, 8, 1), shape=(2, 3, 4, 8)))"
    )
    assert layout1.with_memory(MemLayout.row_major((B, H, S, D))) == layout2
    assert tensor_layout_join(layout0, layout2) == layout2
    x = Tensor(shape=(64, 32), dtype=DType.F16, layout=TensorLayout.sharded(0, 2, mesh_axis=0))
    y = relayout(x, TensorLayout.replicated(rank=2))
    assert y.layout.is_replicated()
    assert relayout(y, to=TensorLayout.sharded(dim=0, rank=2)).layout == x.layout
    partial_sum = y
    assert allreduce(partial_sum).shape == (64, 32)
    assert allgather(x, mesh_axis=0).layout.is_replicated()
    assert reduce_scatter(y, op="sum", mesh_axis=0).layout == x.layout
