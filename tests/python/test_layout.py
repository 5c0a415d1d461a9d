"""Layouts and their join."""

import pytest
from pto_wsp import (
    LayoutIncompatibleError,
    TensorLayout,
    TensorReplicate,
    TensorShard,
    TypeCheckError,
    tensor_layout_join,
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
