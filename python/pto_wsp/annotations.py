"""What stands in the signature of a kernel: ``In[Tile[32, 64, F32]]``, ``Scalar[F32]``,
``Constexpr``."""

from __future__ import annotations

import dataclasses
from typing import Any

import pto_wsp._pto_wsp as native
from pto_wsp.dtypes import DType, dtype_of
from pto_wsp.errors import TypeCheckError, error
from pto_wsp.symbols import Dim, affine_of


@dataclasses.dataclass(frozen=True, eq=True)
class TileSpec:
    """`Tile[rows, cols, dtype]`; dims are affine expressions."""

    rows: native.Affine
    cols: native.Affine
    dtype: DType

    def __repr__(self) -> str:
        return f"Tile[{self.rows}, {self.cols}, {self.dtype.name}]"

    @property
    def shape(self) -> tuple[Any, Any]:
        """Rows and columns: integers where known, expressions elsewhere."""

        def shown(dim: native.Affine) -> Any:
            value = dim.as_constant()
            return Dim(dim) if value is None else value

        return shown(self.rows), shown(self.cols)


class _TileFactory:
    """`Tile[rows, cols, dtype]`: a two-dimensional tile of a kernel's signature."""

    def __getitem__(self, key: Any) -> TileSpec:
        if not isinstance(key, tuple) or len(key) != 3:
            raise error(
                TypeCheckError,
                f"Tile: expected [rows, cols, dtype], got [{_shown(key)}]",
                hint="Tile[32, 64, DType.F32]",
            )
        rows, cols, dtype = key
        return TileSpec(_tile_dim(rows), _tile_dim(cols), dtype_of(dtype))

    def __repr__(self) -> str:
        return "Tile"


def _shown(key: Any) -> str:
    return ", ".join(repr(part) for part in key) if isinstance(key, tuple) else repr(key)


def _tile_dim(dim: Any) -> native.Affine:
    affine = affine_of(dim)
    value = affine.as_constant()
    if value is not None and value < 1:
        raise error(TypeCheckError, f"Tile: a dim must be >= 1, got {value}")
    return affine


@dataclasses.dataclass(frozen=True)
class ScalarSpec:
    """`Scalar[dtype]`: a run-time number."""

    dtype: DType

    def __repr__(self) -> str:
        return f"Scalar[{self.dtype.name}]"


class _ScalarFactory:
    """`Scalar[dtype]`: a run-time number of a kernel's signature."""

    def __getitem__(self, dtype: Any) -> ScalarSpec:
        return ScalarSpec(dtype_of(dtype))

    def __repr__(self) -> str:
        return "Scalar"


@dataclasses.dataclass(frozen=True)
class ConstexprSpec:
    """`Constexpr` or `Constexpr[T]`: a value that is known when the kernel is traced."""

    kind: type | None = None

    def __getitem__(self, kind: type) -> ConstexprSpec:
        return ConstexprSpec(kind)

    def __repr__(self) -> str:
        return "Constexpr" if self.kind is None else f"Constexpr[{self.kind.__name__}]"


@dataclasses.dataclass(frozen=True)
class DirectedSpec:
    """`In[...]`, `Out[...]` or `InOut[...]` of a tile, or of a `Tensor` (None: the trailing two
    dimensions of what is bound)."""

    direction: native.Direction
    tile: TileSpec | None

    def __repr__(self) -> str:
        return f"{self.direction.name}[{'Tensor' if self.tile is None else self.tile}]"


class _DirectionFactory:
    def __init__(self, direction: native.Direction, doc: str) -> None:
        self._direction = direction
        self.__doc__ = doc

    def __getitem__(self, what: Any) -> DirectedSpec:
        from pto_wsp.tensor import Tensor

        if isinstance(what, TileSpec):
            return DirectedSpec(self._direction, what)
        if what is Tensor:
            return DirectedSpec(self._direction, None)
        raise error(
            TypeCheckError,
            f"{self._direction.name}: expected Tile[rows, cols, dtype] or Tensor, got {what!r}",
            hint=f"{self._direction.name}[Tile[32, 64, DType.F32]]",
        )

    def __repr__(self) -> str:
        return self._direction.name


Tile = _TileFactory()
Scalar = _ScalarFactory()
Constexpr = ConstexprSpec()
In = _DirectionFactory(native.Direction.In, "`In[...]`: a parameter that the kernel reads.")
Out = _DirectionFactory(native.Direction.Out, "`Out[...]`: a parameter that the kernel writes.")
InOut = _DirectionFactory(
    native.Direction.InOut, "`InOut[...]`: a parameter that the kernel reads and writes."
)

Spec = DirectedSpec | ScalarSpec | ConstexprSpec
