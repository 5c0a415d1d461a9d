"""How the dimensions of a tensor are distributed over a mesh."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pto_wsp._pto_wsp as native
from pto_wsp.errors import TypeCheckError, error
from pto_wsp.memory_layouts import MemLayout


class TensorShard:
    """A dimension that is sharded over a mesh axis. Prints as ``S(0)``."""

    __slots__ = ("mesh_axis",)

    def __init__(self, mesh_axis: int = 0) -> None:
        if not isinstance(mesh_axis, int) or isinstance(mesh_axis, bool) or mesh_axis < 0:
            raise error(
                TypeCheckError, f"TensorShard: mesh axis must be an integer >= 0, got {mesh_axis!r}"
            )
        self.mesh_axis = mesh_axis

    def __repr__(self) -> str:
        return f"S({self.mesh_axis})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, TensorShard) and other.mesh_axis == self.mesh_axis

    def __hash__(self) -> int:
        return hash(("S", self.mesh_axis))


class TensorReplicate:
    """A dimension that every member of the mesh holds whole. Prints as ``R``."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "R"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, TensorReplicate)

    def __hash__(self) -> int:
        return hash("R")


class TensorLayout:
    """Distribution of each dimension of a tensor and, where it is said, how its elements lie in
    memory. Prints as ``Layout(S(0), R, R, R)``.

    Parameters
    ----------
    dist : iterable of TensorShard and TensorReplicate
        One entry for each dimension.
    mem : MemLayout, optional
        Of as many dimensions. A tensor that is made of an array must lie like that; one without
        data is allocated like that.

    Raises
    ------
    TypeCheckError
        An entry that is no distribution, or a memory layout of another rank.
    """

    __slots__ = ("_native",)

    def __init__(
        self, dist: Iterable[TensorShard | TensorReplicate], mem: MemLayout | None = None
    ) -> None:
        if mem is not None and not isinstance(mem, MemLayout):
            raise error(
                TypeCheckError,
                f"TensorLayout: mem is {mem!r}, not a MemLayout",
                hint="mem=MemLayout.row_major(shape)",
            )
        if not isinstance(dist, Iterable):
            raise error(
                TypeCheckError,
                f"TensorLayout: expected one entry for each dimension, got {dist!r}",
                hint="TensorLayout((TensorShard(0), TensorReplicate()))",
            )
        dims = []
        for number, entry in enumerate(dist):
            if isinstance(entry, TensorShard):
                dims.append(native.Distribution(entry.mesh_axis))
            elif isinstance(entry, TensorReplicate):
                dims.append(native.Distribution(-1))
            else:
                raise error(
                    TypeCheckError,
                    f"TensorLayout: entry {number} is {entry!r}",
                    hint="use TensorShard(mesh_axis) or TensorReplicate()",
                )
        self._native = native.TensorLayout(dims, None if mem is None else mem._native)

    @classmethod
    def _of(cls, made: native.TensorLayout) -> TensorLayout:
        layout = cls.__new__(cls)
        layout._native = made
        return layout

    @classmethod
    def default(cls, rank: int) -> TensorLayout:
        """All dimensions replicated."""
        return cls.replicated(rank)

    @classmethod
    def replicated(cls, rank: int) -> TensorLayout:
        """All dimensions replicated."""
        return cls._of(native.TensorLayout.replicated(_integer("rank", rank, least=0)))

    @classmethod
    def sharded(cls, dim: int, rank: int, mesh_axis: int = 0) -> TensorLayout:
        """Dimension `dim` of `rank` sharded over `mesh_axis`, the others replicated."""
        made = native.TensorLayout.sharded(
            _integer("dim", dim), _integer("rank", rank), _integer("mesh_axis", mesh_axis)
        )
        return cls._of(made)

    @property
    def dist(self) -> tuple[TensorShard | TensorReplicate, ...]:
        """The distribution of each dimension."""
        return tuple(
            TensorReplicate() if dim.replicated else TensorShard(dim.mesh_axis)
            for dim in self._native.dims
        )

    @property
    def mem(self) -> MemLayout | None:
        """How elements lie in memory, where it is said."""
        found = self._native.mem
        return None if found is None else MemLayout._of(found)

    def with_memory(self, mem: MemLayout) -> TensorLayout:
        """The same distribution of elements that lie in memory as `mem` says."""
        return TensorLayout(self.dist, mem=mem)

    def without_memory(self) -> TensorLayout:
        """The distribution alone."""
        return self if self._native.mem is None else TensorLayout(self.dist)

    @property
    def rank(self) -> int:
        """Number of dimensions."""
        return len(self._native.dims)

    def is_replicated(self) -> bool:
        """True when no dimension is sharded."""
        return self._native.is_replicated()

    def sharded_dims(self) -> list[int]:
        """The dimensions that are sharded, ascending."""
        return self._native.sharded_dims()

    def __eq__(self, other: object) -> bool:
        return isinstance(other, TensorLayout) and self._native == other._native

    def __hash__(self) -> int:
        return hash(str(self._native))

    def __repr__(self) -> str:
        return str(self._native)


def _integer(name: str, value: Any, least: int | None = None) -> int:
    fits = hasattr(value, "__index__") and not isinstance(value, bool) and abs(int(value)) < 2**31
    if not fits or (least is not None and int(value) < least):
        limit = "" if least is None else f" >= {least}"
        raise error(
            TypeCheckError, f"TensorLayout: {name} must be an integer{limit}, got {value!r}"
        )
    return int(value)


def tensor_layout_join(a: TensorLayout, b: TensorLayout) -> TensorLayout:
    """The layout of an elementwise result: per dimension R ⊔ x = x, S(i) ⊔ S(i) = S(i).

    Raises
    ------
    LayoutIncompatibleError
        S(i) ⊔ S(j) with i != j, different ranks or memory layouts: data would have to move.
    """
    for given in (a, b):
        if not isinstance(given, TensorLayout):
            raise error(TypeCheckError, f"tensor_layout_join: {given!r} is no TensorLayout")
    return TensorLayout._of(native.layout_join(a._native, b._native))
