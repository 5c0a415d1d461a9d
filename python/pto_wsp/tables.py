"""Integers that the expressions of a workload read when it runs: lists, arrays, tensors."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

import pto_wsp._pto_wsp as native
from pto_wsp.errors import CompileError, TypeCheckError, error
from pto_wsp.scalar_expr import ScalarExpr, is_scalar, native_expr


class Source:
    """What a user holds: its data is read each time a program starts, and may be bound anew.

    Attributes
    ----------
    data : list, array or Tensor
        Integers.
    what : str
        What texts call it: ``Ragged: lengths``.
    part : str
        The last word of that.
    name : str, optional
        The variable that held it where an axis was made of it.
    """

    def __init__(self, data: Any, what: str, name: str | None = None) -> None:
        self.data = data
        self.what = what
        self.part = what.rpartition(" ")[2]
        self.name = name

    def is_of(self, axis: Any) -> bool:
        """Whether an axis of that class is made of such data."""
        return self.what.startswith(f"{type(axis).__name__}:")


class Table:
    """A list of integers made of sources, which expressions read one of.

    Parameters
    ----------
    suffix : str
        What is behind the name of the variable that holds the first source.
    sources : tuple of Source
    make : callable
        From the integers of each source those of the table.
    """

    def __init__(
        self, suffix: str, sources: tuple[Source, ...], make: Callable[..., np.ndarray[Any, Any]]
    ) -> None:
        self.suffix = suffix
        self.sources = sources
        self.make = make

    def values(self, replaced: dict[Source, Any] | None = None) -> np.ndarray[Any, Any]:
        """The integers as they are now; `replaced` has other data for some sources."""
        other = replaced or {}
        return self.make(*(integers(other.get(s, s.data), s.what) for s in self.sources))

    def at(self, index: Any) -> ScalarExpr:
        """Element `index`, which a loop variable or an expression says."""
        from pto_wsp import context

        building = context.required(f"an element of {self.sources[0].what}")
        name = building.table_name(self)
        return ScalarExpr.of(native.ScalarExpr.load(name, native_expr(index)), index)


def integers(data: Any, what: str) -> np.ndarray[Any, Any]:
    """`data` as 64-bit integers in one dimension.

    Raises
    ------
    TypeCheckError
        When it holds anything else.
    """
    try:
        array = np.asarray(data)
    except (TypeError, ValueError) as cause:
        raise error(TypeCheckError, f"{what}: {data!r} is no list of integers") from cause
    if array.size == 0 and array.dtype.kind == "f":
        array = array.astype(np.int64)
    if array.dtype.kind not in "iu":
        raise error(
            TypeCheckError,
            f"{what}: expected integers, got {array.dtype} in {_shown(data)}",
            hint="a list or a NumPy array of integers",
        )
    if array.dtype == np.uint64 and array.size and array.max() >= 2**63:
        raise error(TypeCheckError, f"{what}: {array.max()} does not fit 63 bits")
    return np.ascontiguousarray(array, dtype=np.int64).ravel()


def _shown(data: Any) -> str:
    text = repr(data)
    return text if len(text) <= 60 else text[:57] + "..."


class IndexableList(list):  # type: ignore[type-arg]
    """A list that a loop variable may index: ``lengths[b]``."""

    source: Any

    def __init__(self, data: Any, table: Table | None = None) -> None:
        super().__init__(data)
        self.source = data
        self._table = table

    def __getitem__(self, index: Any) -> Any:
        if not isinstance(index, (int, slice)) and is_scalar(index):
            return table_of(self.source, self._table).at(index)
        return super().__getitem__(index)


class IndexableArray(np.ndarray):
    """An array of one dimension that a loop variable may index."""

    source: Any = None

    def __repr__(self) -> str:
        return repr(np.asarray(self))

    def __getitem__(self, index: Any) -> Any:
        numbered = isinstance(index, (int, np.integer))
        if self.source is not None and not numbered and is_scalar(index):
            return table_of(self.source, None).at(index)
        return super().__getitem__(index)


def table_of(source: Any, table: Table | None) -> Table:
    """`table`, or the one that the workload being built has for `source`."""
    from pto_wsp import context

    return table or context.required("an element of a list").table_of(source)


def indexable(value: Any) -> Any:
    """`value`; a list or array of integers as one that a loop variable may index."""
    if isinstance(value, (IndexableList, IndexableArray)):
        return value
    if isinstance(value, (list, tuple)):
        whole = bool(value) and all(
            type(item) is int or isinstance(item, np.integer) for item in value
        )
        return IndexableList(value) if whole else value
    if isinstance(value, np.ndarray) and value.ndim == 1 and value.dtype.kind in "iu":
        made = value.view(IndexableArray)
        made.source = value
        return made
    return value


def refuse_written(names: set[str], sources: dict[str, Table]) -> None:
    """An element of what tasks write is not known where an expression reads it."""
    for name, table in sources.items():
        for source in table.sources:
            held = getattr(source.data, "name", None)
            if held and held in names:
                raise error(
                    CompileError,
                    f"{held} is written by tasks, and an expression reads it as table {name}",
                    hint="read it when the tasks are done: slot_load_u64(0, tensor[i]), then "
                    "slot_u64(0)",
                )
