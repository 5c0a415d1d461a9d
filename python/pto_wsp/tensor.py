"""Strided views of memory, zero copy from NumPy, DLPack and the buffer protocol."""

from __future__ import annotations

import builtins
import logging
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

import pto_wsp._pto_wsp as native
from pto_wsp import context
from pto_wsp.dtypes import DType, Location, dtype_of
from pto_wsp.errors import TypeCheckError, error, user_place
from pto_wsp.layout import TensorLayout
from pto_wsp.loop_variables import index_affine
from pto_wsp.scalar_expr import Owner, ScalarExpr, common_owner, is_integer, native_expr
from pto_wsp.tensor_memory import (
    Storage,
    check_memory,
    checked_shape,
    shape_text,
    shared_array,
    strides_of,
)


def _of_element(operator: str) -> Callable[..., Any]:
    """An operator of tensors that are one element; others have none."""

    def applied(self: Tensor, *other: Any) -> Any:
        if not self.is_element and other:
            return NotImplemented
        return getattr(self.element(), operator)(*other)

    applied.__name__ = operator
    return applied


class Tensor:
    """A view of an array that kernels work on.

    Parameters
    ----------
    data : array, optional
        A NumPy array or any object with ``__dlpack__`` or the buffer protocol; used in place, with
        any strides. Without it, zeros of `shape` are allocated when they are first needed.
    shape : tuple of int, optional
        Of the zeros, or a check of `data`.
    dtype : DType, optional
        By default that of `data`, or F32. ``DType.BF16`` with a ``uint16`` array means its bits.
    location : Location
        The level of memory it lives in.
    layout : TensorLayout, optional
        How it is distributed, replicated by default, and how it lies in memory (``mem=``): data
        must lie like that, memory without data is made like that.
    name : str, optional
        The name in texts and for ``program.bind``; by default that of the variable that holds it
        where a workload first uses it.

    Raises
    ------
    TypeCheckError
        Data that is no array, of another type or shape.

    Notes
    -----
    ``t[i]``, ``t[i, j]``, ``t[a:b]`` are views. With loop variables of a workload they are views
    that move with the loop. ``np.asarray(t)`` shares memory.
    """

    __slots__ = (
        "_distribution",
        "_layout",
        "_location",
        "_region",
        "_storage",
        "_view",
        "base",
        "is_partial",
        "owner",
    )
    __array_priority__ = 100

    base: Tensor
    is_partial: bool
    owner: Owner | None

    def __init__(
        self,
        data: Any = None,
        shape: tuple[int, ...] | None = None,
        dtype: Any = None,
        location: Location = Location.Global,
        layout: TensorLayout | None = None,
        name: str | None = None,
    ) -> None:
        wanted = None if dtype is None else dtype_of(dtype)
        if data is None:
            if shape is None:
                raise error(TypeCheckError, "Tensor: needs data or a shape", hint="Tensor(array)")
            array = None
            extents = checked_shape(shape)
            element = wanted or DType.F32
        else:
            array, element = _array_of(data, wanted)
            extents = array.shape
            if shape is not None and tuple(shape) != extents:
                raise error(
                    TypeCheckError,
                    f"Tensor: shape {shape_text(tuple(shape))} does not fit data of shape "
                    f"{shape_text(extents)}",
                )
        if layout is not None:
            _require_layout(layout)
        if name is not None and not isinstance(name, str):
            raise error(TypeCheckError, f"Tensor: name is {name!r}, not a text")
        if layout is not None and layout.rank != len(extents):
            raise error(
                TypeCheckError,
                f"Tensor: layout {layout!r} has {layout.rank} dimensions, the tensor "
                f"{len(extents)}",
            )
        mem = None if layout is None else layout.mem
        if mem is not None:
            found = None if array is None else strides_of(array)
            check_memory(mem, extents, found)
        strides = None if mem is None else mem.strides
        self._storage = Storage(array, extents, element, name or "", strides)
        self._location = _location_of(location)
        self._layout = layout or TensorLayout.default(len(extents))
        self._distribution = self._layout  # of all dimensions, also those that are indexed away
        self._region: native.Region | None = None
        self._view: native.TensorView | None = None
        self.base = self
        self.is_partial = False
        self.owner = None

    @staticmethod
    def accepts(data: Any) -> bool:
        """True when `data` can be wrapped without a copy."""
        if isinstance(data, (np.ndarray, Tensor)) or hasattr(data, "__dlpack__"):
            return True
        try:
            memoryview(data)
        except TypeError:
            return False
        return True

    @property
    def name(self) -> str:
        """The name, empty until a workload has used it."""
        return self._storage.name

    @property
    def data(self) -> Any:
        """The array of the same memory."""
        return np.asarray(self)

    @property
    def shape(self) -> tuple[int, ...]:
        """The extent of each dimension."""
        if self.base is self:
            return self._storage.shape
        assert self._region is not None
        return tuple(self._region.shape)

    @property
    def ndim(self) -> int:
        """Number of dimensions."""
        return len(self.shape)

    @property
    def dtype(self) -> DType:
        """Element type."""
        return self._storage.dtype

    @property
    def location(self) -> Location:
        """The level of memory it lives in."""
        return self._location

    @property
    def layout(self) -> TensorLayout:
        """How it is distributed."""
        return self._layout

    @property
    def writeable(self) -> bool:
        """False for a view of a read-only array."""
        array = self._storage.array
        return array is None or bool(array.flags.writeable)

    @property
    def view(self) -> native.TensorView:
        """The native view.

        Raises
        ------
        TypeCheckError
            It moves with a loop variable and is at no certain place.
        """
        if self.base is self:
            return self._storage.view
        if self._view is None:
            raise error(
                TypeCheckError,
                f"tensor view {self._region} moves with a loop variable and has no data of its own",
                hint="pass it to a kernel in the workload",
            )
        return self._view

    @property
    def identity(self) -> int:
        """The same for all views of one memory."""
        return id(self._storage)

    def check_placement(self, what: str) -> None:
        """Refuses a distribution of argument `what` of a call without a mesh, and says in the log
        where a memory level is ignored.

        Raises
        ------
        TypeCheckError
            A sharded tensor.
        """
        if not self._distribution.is_replicated():
            raise error(
                TypeCheckError,
                f"{what} is distributed as {self._distribution!r}, but there is no mesh",
                hint="use TensorLayout.replicated(rank); workloads have a mesh by spatial_map",
            )
        self.report_location(what)

    def report_location(self, what: str) -> None:
        """Says in the log, once, where the memory level of argument `what` is ignored."""
        if self._location is not Location.Global and not self._storage.location_reported:
            self._storage.location_reported = True
            file, line = user_place()
            logging.getLogger("pto_wsp").warning(
                "%s:%d: %s: %s is ignored: the targets that there are have Location.Global only",
                file,
                line,
                what,
                self._location,
            )

    def distribution(self) -> TensorLayout:
        """How the dimensions of the memory that this is a view of are distributed, those that are
        indexed away included; of a view that was given a layout of its own, that."""
        return self._distribution

    def set_name(self, name: str) -> None:
        """Names the memory that this is a view of."""
        self._storage.set_name(name)

    def region(self) -> native.Region:
        """The region of the base tensor that this is."""
        if self._region is None:
            building = context.current()
            if building is not None:
                building.name_tensor(self)
            self._region = native.Region.whole(self._storage.handle)
        return self._region

    @property
    def is_element(self) -> bool:
        """True for one integer that the run reads: a number in expressions. Where its place is
        known, only in the body of a workload."""
        return (
            not self.shape
            and self.base is not self
            and (self._view is None or context.current() is not None)
            and not self.is_partial
            and self.dtype.numpy.kind in "iu"
        )

    def element(self) -> ScalarExpr:
        """The value of this element in expressions. It is read when the program starts.

        Raises
        ------
        TypeCheckError
            It is no integer, or no single element that moves with a loop.
        """
        if not self.is_element:
            raise error(
                TypeCheckError,
                f"{self!r} is no integer that an expression could read",
                hint="index an integer tensor with loop variables: lengths[b]",
            )
        building = context.required("an element of a tensor")
        flat = native.Affine(0)
        for offset, extent in zip(self.region().offsets, self.base.shape):
            flat = flat * extent + offset
        place = building.builder.expression_of(flat)
        made = building.table_of(self.base).at(ScalarExpr.of(place, self))
        made.owner = self.owner
        return made

    def __eq__(self, other: object) -> Any:
        return self.element() == other if self.is_element else self is other

    def __ne__(self, other: object) -> Any:
        return self.element() != other if self.is_element else self is not other

    __hash__ = object.__hash__

    __lt__ = _of_element("__lt__")
    __le__ = _of_element("__le__")
    __gt__ = _of_element("__gt__")
    __ge__ = _of_element("__ge__")
    __add__ = _of_element("__add__")
    __radd__ = _of_element("__radd__")
    __sub__ = _of_element("__sub__")
    __rsub__ = _of_element("__rsub__")
    __mul__ = _of_element("__mul__")
    __rmul__ = _of_element("__rmul__")
    __floordiv__ = _of_element("__floordiv__")
    __rfloordiv__ = _of_element("__rfloordiv__")
    __mod__ = _of_element("__mod__")
    __rmod__ = _of_element("__rmod__")
    __divmod__ = _of_element("__divmod__")
    __rdivmod__ = _of_element("__rdivmod__")
    __truediv__ = _of_element("__truediv__")
    __rtruediv__ = _of_element("__rtruediv__")
    __pow__ = _of_element("__pow__")
    __rpow__ = _of_element("__rpow__")
    __and__ = _of_element("__and__")
    __rand__ = _of_element("__rand__")
    __or__ = _of_element("__or__")
    __ror__ = _of_element("__ror__")
    __xor__ = _of_element("__xor__")
    __rxor__ = _of_element("__rxor__")
    __lshift__ = _of_element("__lshift__")
    __rlshift__ = _of_element("__rlshift__")
    __rshift__ = _of_element("__rshift__")
    __rrshift__ = _of_element("__rrshift__")
    __neg__ = _of_element("__neg__")
    __pos__ = _of_element("__pos__")
    __abs__ = _of_element("__abs__")
    __invert__ = _of_element("__invert__")

    def __bool__(self) -> bool:
        return bool(self.element()) if self.is_element else len(self) > 0

    def nbytes(self) -> int:
        """Bytes of all elements."""
        count = 1
        for extent in self.shape:
            count *= extent
        return count * self.dtype.itemsize

    def with_layout(self, layout: TensorLayout) -> Tensor:
        """The same memory with another layout."""
        _require_layout(layout)
        if layout.rank != self.ndim:
            raise error(
                TypeCheckError,
                f"Tensor: layout {layout!r} has {layout.rank} dimensions, the tensor {self.ndim}",
            )
        if layout.mem is not None:
            check_memory(layout.mem, self.shape, tuple(self.view.strides))
        region = None if self.base is self else self._region
        made = self._derived(region, self._view, layout)
        made._distribution = layout
        return made

    def slice(self, begin: Any, end: Any) -> Tensor:
        """[begin, end) of the first dimension; both may move with loop variables, their distance
        is constant."""
        return self._slice(begin, end)

    def valid(self, rows: Any = None, cols: Any = None) -> Tensor:
        """A partial tile: only `rows` rows and `cols` columns are read or written. Of a tile that
        is partial already, those that both leave.

        Parameters
        ----------
        rows, cols : int, loop variable or ScalarExpr, optional
            At most the view's extents.
        """
        extents = [1, *self.shape][-2:]
        for limit, extent in zip((rows, cols), extents):
            if is_integer(limit) and not 0 <= limit <= extent:
                raise error(
                    TypeCheckError,
                    f"valid: {limit} of a view of {shape_text(self.shape)} is out of range",
                )
        limits = [None if limit is None else native_expr(limit) for limit in (rows, cols)]
        made = self._derived(self.region().valid(*limits), None, self._layout.without_memory())
        made.is_partial = True
        made.owner = common_owner(self, rows, cols)
        if self._has_place() and all(limit is None or is_integer(limit) for limit in (rows, cols)):
            made._view = self._part(rows, cols)
        return made

    def __getitem__(self, key: Any) -> Tensor:
        keys = key if isinstance(key, tuple) else (key,)
        if len(keys) > self.ndim:
            raise error(
                TypeCheckError,
                f"tensor of shape {shape_text(self.shape)} takes at most {self.ndim} indices, "
                f"got {len(keys)}",
            )
        if any(isinstance(part, builtins.slice) for part in keys[:-1]):
            raise error(
                TypeCheckError,
                "tensor: a slice must be the last index",
                hint="index the leading dimensions first: t[b][0:32]",
            )
        found = self
        for part in keys:
            found = (
                found._slice_of(part) if isinstance(part, builtins.slice) else found._index(part)
            )
        return found

    def __iter__(self) -> Iterator[Tensor]:
        return (self[i] for i in range(len(self)))

    def __len__(self) -> int:
        if not self.shape:
            raise error(TypeCheckError, "len: a tensor of rank 0 has no length")
        return self.shape[0]

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray[Any, Any]:
        array = self._array()
        if dtype is not None and np.dtype(dtype) != array.dtype:
            if copy is False:
                raise ValueError("another dtype needs a copy")
            return array.astype(dtype)
        return array.copy() if copy else array

    def __repr__(self) -> str:
        named = f"{self.name}: " if self.name else ""
        return f"<Tensor {named}{self.dtype.value}{shape_text(self.shape)}>"

    def _array(self) -> np.ndarray[Any, Any]:
        if self.base is self:
            return self._storage.shared_array()
        return self.view.array()

    def _derived(
        self, region: native.Region | None, view: native.TensorView | None, layout: TensorLayout
    ) -> Tensor:
        made = Tensor.__new__(Tensor)
        made._storage = self._storage
        made._location = self._location
        made._layout = layout
        made._distribution = self._distribution
        made._region = region
        made._view = view
        made.base = self.base
        made.is_partial = self.is_partial
        made.owner = self.owner
        if region is None:
            made.base = made
        return made

    def _has_place(self) -> bool:
        return self.base is self or self._view is not None

    def _inner_layout(self) -> TensorLayout:
        return TensorLayout(self._layout.dist[1:])

    def _index(self, at: Any) -> Tensor:
        affine = index_affine(at)
        constant = affine.as_constant()
        region = self.region().index(affine)
        view = None
        if constant is not None and self._has_place():
            view = self.view.index(_from_start(constant, self.shape))
        made = self._derived(region, view, self._inner_layout())
        made.owner = common_owner(self, at)
        return made

    def _slice_of(self, part: builtins.slice) -> Tensor:
        if part.step not in (None, 1):
            raise error(
                TypeCheckError,
                f"tensor: a slice has step 1, got {part.step!r}",
                hint="take the strided view in NumPy: Tensor(array[::2])",
            )
        begin = 0 if part.start is None else part.start
        end = self.shape[0] if part.stop is None else part.stop
        return self._slice(begin, end)

    def _part(self, rows: Any, cols: Any) -> native.TensorView:
        """The view of the first rows and columns; a view of one dimension is a row."""
        array = self.view.array()
        if array.ndim > 1:
            array = array[..., :rows, :]
        elif rows == 0:
            cols = 0
        return native.TensorView.from_array(array[..., :cols], self.dtype)

    def _slice(self, begin: Any, end: Any) -> Tensor:
        first, last = index_affine(begin), index_affine(end)
        low, high = first.as_constant(), last.as_constant()
        if low is None or high is None or not self._has_place():
            made = self._derived(
                self.region().slice(first, last), None, self._layout.without_memory()
            )
            made.owner = common_owner(self, begin, end)
            return made
        low, high = _from_start(low, self.shape), _from_start(high, self.shape)
        region = self.region().slice(native.Affine(low), native.Affine(high))
        return self._derived(region, self.view.slice(low, high), self._layout.without_memory())


def _require_layout(layout: Any) -> None:
    if not isinstance(layout, TensorLayout):
        raise error(
            TypeCheckError,
            f"Tensor: layout is {layout!r}, not a TensorLayout",
            hint="TensorLayout.sharded(dim, rank)",
        )


def _location_of(what: Any) -> Location:
    try:
        return Location(what)
    except ValueError:
        known = ", ".join(member.name for member in Location)
        raise error(
            TypeCheckError, f"Tensor: location is {what!r}", hint=f"use one of {known}"
        ) from None


def _from_start(index: int, shape: tuple[int, ...]) -> int:
    """`index` counted from the start, where it counts from the end and is in range."""
    return index + shape[0] if shape and -shape[0] <= index < 0 else index


def _array_of(data: Any, wanted: DType | None) -> tuple[np.ndarray[Any, Any], DType]:
    """The array that shares `data`'s memory, and what its elements are."""
    if isinstance(data, Tensor):
        array, found = np.asarray(data), data.dtype
    else:
        array = shared_array(data)
        found = dtype_of(array.dtype)
        if found is DType.BF16:
            array = array.view(np.uint16)
    if wanted is DType.BF16 and found is DType.U16:
        found = DType.BF16
    if wanted is not None and wanted is not found:
        raise error(
            TypeCheckError,
            f"Tensor: data is {found.name}, dtype is {wanted.name}",
            hint="convert the array first: array.astype(...)",
        )
    return array, found
