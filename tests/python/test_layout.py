"""Layouts and their join."""

import numpy as np
import pytest
from pto_wsp import (
    Dense,
    DType,
    In,
    LayoutIncompatibleError,
    Location,
    Out,
    P,
    Tensor,
    TensorLayout,
    TensorReplicate,
    TensorShard,
    Tile,
    TypeChecker,
    TypeCheckError,
    kernel,
    pto,
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
        TensorLayout((R,), mem=object())

    fails(TypeCheckError, memory, "TensorLayout: memory layouts (mem=) are not supported yet")


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
    hint = "spatial_map is not supported yet: use TensorLayout.replicated(rank)"

    for sharded in (X.with_layout(layout), Tensor(X.data, layout=layout)):

        @workload
        def tasks(sharded=sharded):
            for i in P(Dense[2]):
                double[i](sharded[i], O[i])

        assert [error.text for error in TypeChecker().check(tasks())] == [text]
        fails(TypeCheckError, tasks().compile, text, line=None, hint=hint)

        def call(sharded=sharded) -> None:
            double.compile()(sharded[0], O[0])

        fails(TypeCheckError, call, text, hint=hint)
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
