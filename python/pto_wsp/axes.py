"""Iteration spaces."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

import numpy as np

from pto_wsp import naming
from pto_wsp.errors import TypeCheckError, error
from pto_wsp.scalar_expr import ScalarExpr, as_expr, is_integer, is_scalar
from pto_wsp.symbols import Symbol
from pto_wsp.tables import IndexableList, Source, Table, integers

_RAGGED_FORMS = (
    "Ragged(outer_size, lengths), one length >= 0 a row, or Ragged(offsets), which start at 0 and "
    "do not decrease"
)
_SPARSE_FORMS = (
    "Sparse(outer_size, indptr, indices), indptr of outer_size + 1 offsets from 0 to "
    "len(indices), or Sparse(indices)"
)


class _DenseType(type):
    def __getitem__(cls, size: Any) -> Dense:
        return Dense(size)


class Dense(metaclass=_DenseType):
    """An axis of known size. ``Dense[4]``, ``Dense[4]()`` and ``Dense(4)`` are equal.

    Parameters
    ----------
    size : int
        Number of iterations, >= 0.
    """

    __slots__ = ("size",)

    def __init__(self, size: int) -> None:
        self.size = _checked_size(size, "Dense", "Dense[4]")

    def __call__(self) -> Dense:
        return self

    def __len__(self) -> int:
        return self.size

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Dense) and other.size == self.size

    def __hash__(self) -> int:
        return hash((Dense, self.size))

    def __repr__(self) -> str:
        return f"Dense[{self.size}]"


def _checked_size(size: Any, what: str, hint: str) -> int:
    if not hasattr(size, "__index__") or isinstance(size, bool):
        raise error(TypeCheckError, f"{what}: size must be an integer, got {size!r}", hint=hint)
    found = int(size.__index__())
    if found < 0:
        raise error(TypeCheckError, f"{what}: size must be >= 0, got {found}")
    if found >= 2**63:
        raise error(TypeCheckError, f"{what}: size {found} does not fit 64 bits")
    return found


class DenseDyn:
    """An axis whose size each run may have anew: see `Program.set_axis_sizes`.

    Parameters
    ----------
    size : int, Symbol or str
        The size at first, or the symbol whose value it is.
    """

    def __init__(self, size: Any) -> None:
        if isinstance(size, str):
            size = Symbol(size)
        if not isinstance(size, Symbol):
            size = _checked_size(size, "DenseDyn", 'DenseDyn(4) or DenseDyn("n")')
        self.size: int | Symbol = size

    def __repr__(self) -> str:
        return f"DenseDyn({self.size!r})"


class Range:
    """The integers lo, lo + step, ... below hi, as ``range`` has them, but the bounds may be
    expressions of loop variables around: ``for i in P(Range(k + 1, n))``.

    Parameters
    ----------
    lo, hi : int, loop variable or ScalarExpr
        `hi` may be any run-time expression, `lo` a sum of loop variables times integers.
        ``Range(hi)`` starts at 0.
    step : int
        At least 1.

    Raises
    ------
    TypeCheckError
        Bounds that are no integer expressions, or another step.
    """

    def __init__(self, lo: Any, hi: Any = None, step: int = 1) -> None:
        self.lo: Any = 0 if hi is None else lo
        self.hi: Any = lo if hi is None else hi
        self.step = _checked_size(step, "Range: step", "Range(0, n, 2)")
        if self.step < 1:
            raise error(TypeCheckError, f"Range: step must be >= 1, got {step}")
        for name, bound in (("lo", self.lo), ("hi", self.hi)):
            if not is_scalar(bound):
                raise error(
                    TypeCheckError,
                    f"Range: {name} must be an integer expression, got {bound!r}",
                    hint="Range(k + 1, n)",
                )

    def size(self) -> int | ScalarExpr:
        """How many there are; below 0 means none."""
        if is_integer(self.lo) and is_integer(self.hi):
            return len(range(self.lo, self.hi, self.step))
        length = as_expr(self.hi) - self.lo
        return length if self.step == 1 else (length + (self.step - 1)) // self.step

    def __repr__(self) -> str:
        return f"Range({self.lo}, {self.hi}{f', {self.step}' if self.step > 1 else ''})"


class RowAxis(ScalarExpr):
    """The axis of one row of a `Ragged`; as a number, its length."""

    __slots__ = ("axis",)

    def __init__(self, size: ScalarExpr, axis: Ragged) -> None:
        super().__init__(size)
        self.axis = axis


class Ragged:
    """Rows of different lengths.

    ``ragged[b]`` is the axis of row b; the axis itself runs over all places of all rows.

    Parameters
    ----------
    outer_size, lengths : int, sequence of int
        The number of rows and the length of each, or
    offsets : sequence of int
        where each row starts, and behind them where the last one ends.

    Raises
    ------
    TypeCheckError
        A ``ValueError`` too: anything else, naming both forms.
    """

    def __init__(self, *given: Any) -> None:
        if len(given) == 2:
            outer, data = given
            if not hasattr(outer, "__index__") or isinstance(outer, bool):
                raise _refused("Ragged", f"outer_size {outer!r} is no integer", _RAGGED_FORMS)
            self.outer_size = int(outer.__index__())
            held = naming.argument_names(sys._getframe(1), 2)[1]
            self._source = Source(data, "Ragged: lengths", held)
            self._by_length = True
        elif len(given) == 1:
            held = naming.argument_names(sys._getframe(1), 1)[0]
            self._source = Source(given[0], "Ragged: offsets", held)
            self._by_length = False
            self.outer_size = len(self._checked("Ragged: offsets", given[0])) - 1
        else:
            raise _refused("Ragged", f"takes one or two arguments, got {len(given)}", _RAGGED_FORMS)
        self._lengths(self._ints())
        sources = (self._source,)
        self._lengths_table = Table("" if self._by_length else ".lengths", sources, self._lengths)
        self._offsets_table = Table(".offsets" if self._by_length else "", sources, self._offsets)
        self._total_table = Table(
            ".total", sources, lambda ints: self._lengths(ints).sum(keepdims=True)
        )

    @property
    def sources(self) -> tuple[Source, ...]:
        """What it was made of."""
        return (self._source,)

    @staticmethod
    def _checked(what: str, data: Any) -> np.ndarray[Any, Any]:
        if not isinstance(data, (Sequence, np.ndarray)) and not hasattr(data, "__array__"):
            raise _refused("Ragged", f"{data!r} is no sequence of integers", _RAGGED_FORMS)
        try:
            return integers(data, what)
        except TypeCheckError as cause:
            raise _refused("Ragged", cause.text, _RAGGED_FORMS) from None

    def _ints(self) -> np.ndarray[Any, Any]:
        return self._checked(self._source.what, self._source.data)

    def _lengths(self, ints: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        if not self._by_length:
            if not len(ints) or ints[0] != 0:
                start = f"offsets start at {ints[0]}" if len(ints) else "there are no offsets"
                raise _refused("Ragged", start, _RAGGED_FORMS)
            ints = np.diff(ints)
            if (ints < 0).any():
                at = int(np.argmax(ints < 0))
                raise _refused("Ragged", f"offset {at + 1} is below offset {at}", _RAGGED_FORMS)
        elif (ints < 0).any():
            at = int(np.argmax(ints < 0))
            raise _refused("Ragged", f"length {at} is {ints[at]}", _RAGGED_FORMS)
        elif len(ints) != self.outer_size:
            raise _refused(
                "Ragged", f"{self.outer_size} rows but {len(ints)} lengths", _RAGGED_FORMS
            )
        return ints

    def _offsets(self, ints: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        lengths = self._lengths(ints)
        return np.concatenate([np.zeros(1, np.int64), np.cumsum(lengths, dtype=np.int64)])

    @property
    def lengths(self) -> list[int]:
        """The length of each row; ``lengths[b]`` takes a loop variable too."""
        found = IndexableList(self._lengths(self._ints()).tolist())
        found._table = getattr(self, "_lengths_table", None)
        return found

    @property
    def offsets(self) -> list[int]:
        """Where each row starts, and the end; ``offsets[b]`` takes a loop variable too."""
        return IndexableList(self._offsets(self._ints()).tolist(), self._offsets_table)

    def length(self, index: Any) -> Any:
        """The length of a row: an integer, or for a loop variable an expression."""
        if is_scalar(index) and not isinstance(index, (int, np.integer)):
            return self._lengths_table.at(index)
        return self.lengths[index]

    def total(self) -> int:
        """Places of all rows."""
        return sum(self.lengths)

    def __getitem__(self, row: Any) -> Any:
        if is_scalar(row) and not isinstance(row, (int, np.integer)):
            size = self._lengths_table.at(row)
            return RowAxis(size, self)
        return Dense(self.lengths[row])

    def __len__(self) -> int:
        return self.outer_size

    def __repr__(self) -> str:
        if self._by_length:
            return f"Ragged({self.outer_size}, {list(self.lengths)!r})"
        return f"Ragged({list(self.offsets)!r})"


class RowSelection:
    """The places of one row of a `Sparse`, for `P.sel`."""

    def __init__(self, axis: Sparse, size: ScalarExpr, first: ScalarExpr) -> None:
        self.axis = axis
        self.size = size
        self.first = first

    def __repr__(self) -> str:
        return f"<a row of {self.axis!r}>"


class Sparse:
    """Rows of selected places, in CSR form.

    ``sparse[3]`` is the list of row 3; ``P.sel(sparse[b])`` runs over row b, ``P.sel(sparse)`` over
    all places of all rows.

    Parameters
    ----------
    outer_size, indptr, indices : int, sequence of int, sequence of int
        The number of rows, where each row starts in `indices` (and the end), and the places; or
    indices : sequence of int
        the places of a single row.

    Raises
    ------
    TypeCheckError
        A ``ValueError`` too: anything else, naming both forms.
    """

    def __init__(self, *given: Any) -> None:
        if len(given) == 1:
            self.outer_size = 1
            held = naming.argument_names(sys._getframe(1), 1)
            self._indices = Source(given[0], "Sparse: indices", held[0])
            sources: tuple[Source, ...] = (self._indices,)
        elif len(given) == 3:
            outer, indptr, indices = given
            if not hasattr(outer, "__index__") or isinstance(outer, bool):
                raise _refused("Sparse", f"outer_size {outer!r} is no integer", _SPARSE_FORMS)
            self.outer_size = int(outer.__index__())
            held = naming.argument_names(sys._getframe(1), 3)
            self._indices = Source(indices, "Sparse: indices", held[2])
            sources = (Source(indptr, "Sparse: indptr", held[1]), self._indices)
        else:
            raise _refused(
                "Sparse", f"takes one or three arguments, got {len(given)}", _SPARSE_FORMS
            )
        self._sources = sources
        rows, _ = self._parts(*(self._checked(source) for source in sources))
        if len(rows) != self.outer_size + 1:
            raise _refused(
                "Sparse", f"{self.outer_size} rows but {len(rows)} values in indptr", _SPARSE_FORMS
            )
        single = len(sources) == 1
        self._rows_table = Table(
            ".indptr" if single else "", sources, lambda *ints: self._parts(*ints)[0]
        )
        self._places_table = Table(
            "" if single else ".indices", sources, lambda *ints: self._parts(*ints)[1]
        )
        self._total_table = Table(
            ".nnz", sources, lambda *ints: np.array([len(self._parts(*ints)[1])], np.int64)
        )

    @property
    def sources(self) -> tuple[Source, ...]:
        """What it was made of."""
        return self._sources

    @staticmethod
    def _checked(source: Source) -> np.ndarray[Any, Any]:
        data = source.data
        if not isinstance(data, (Sequence, np.ndarray)) and not hasattr(data, "__array__"):
            raise _refused("Sparse", f"{data!r} is no sequence of integers", _SPARSE_FORMS)
        try:
            return integers(data, source.what)
        except TypeCheckError as cause:
            raise _refused("Sparse", cause.text, _SPARSE_FORMS) from None

    @staticmethod
    def _parts(*ints: np.ndarray[Any, Any]) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
        places = ints[-1]
        rows = ints[0] if len(ints) == 2 else np.array([0, len(places)], np.int64)
        if (places < 0).any():
            at = int(np.argmax(places < 0))
            raise _refused("Sparse", f"index {at} is {places[at]}", _SPARSE_FORMS)
        if not len(rows) or rows[0] != 0:
            start = f"indptr starts at {rows[0]}" if len(rows) else "indptr is empty"
            raise _refused("Sparse", start, _SPARSE_FORMS)
        if (np.diff(rows) < 0).any():
            at = int(np.argmax(np.diff(rows) < 0))
            raise _refused("Sparse", f"indptr {at + 1} is below indptr {at}", _SPARSE_FORMS)
        if rows[-1] != len(places):
            raise _refused(
                "Sparse",
                f"indptr ends at {rows[-1]}, there are {len(places)} indices",
                _SPARSE_FORMS,
            )
        return rows, places

    def _current(self) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
        return self._parts(*(self._checked(source) for source in self._sources))

    @property
    def indptr(self) -> list[int]:
        """Where each row starts in `indices`, and the end."""
        return IndexableList(self._current()[0].tolist(), self._rows_table)

    @property
    def indices(self) -> list[int]:
        """The places of all rows."""
        return IndexableList(self._current()[1].tolist(), self._places_table)

    def nnz(self) -> int:
        """Places of all rows."""
        return len(self._current()[1])

    def row_nnz(self, row: Any) -> Any:
        """Places of one row: an integer, or for a loop variable an expression."""
        if is_scalar(row) and not isinstance(row, (int, np.integer)):
            return self[row].size
        return len(self[row])

    def __getitem__(self, row: Any) -> Any:
        if is_scalar(row) and not isinstance(row, (int, np.integer)):
            first = self._rows_table.at(row)
            return RowSelection(self, self._rows_table.at(ScalarExpr(row) + 1) - first, first)
        rows, places = self._current()
        found = row + self.outer_size if row < 0 else row
        if not 0 <= found < self.outer_size:
            raise IndexError(f"row {row} of {self.outer_size}")
        return places[rows[found] : rows[found + 1]].tolist()

    def __len__(self) -> int:
        return self.outer_size

    def __repr__(self) -> str:
        if len(self._sources) == 1:
            return f"Sparse({list(self.indices)!r})"
        return f"Sparse({self.outer_size}, {list(self.indptr)!r}, {list(self.indices)!r})"


def _refused(what: str, text: str, forms: str) -> TypeCheckError:
    full = text if text.startswith(what) else f"{what}: {text}"
    made = error(TypeCheckError, f"{full}; expected {forms}")
    assert isinstance(made, TypeCheckError)
    return made
