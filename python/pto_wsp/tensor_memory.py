"""The memory that tensors are views of."""

from __future__ import annotations

from typing import Any

import numpy as np

import pto_wsp._pto_wsp as native
from pto_wsp.dtypes import DType
from pto_wsp.errors import TypeCheckError, at_user_line, error, user_place
from pto_wsp.memory_layouts import MemLayout


class Storage:
    """Memory that tensors are views of: an array, or zeros made when they are first needed."""

    def __init__(
        self,
        array: np.ndarray[Any, Any] | None,
        shape: tuple[int, ...],
        dtype: DType,
        name: str,
        strides: tuple[int, ...] | None = None,
    ) -> None:
        self.array = array
        self.shape = shape
        self.strides = strides  # in elements, of memory that is still to be made
        self.dtype = dtype
        self.name = name
        self.at = user_place()
        self.location_reported = False
        self._view: native.TensorView | None = None
        self._handle: native.TensorHandle | None = None

    @property
    def view(self) -> native.TensorView:
        if self._view is None:
            if self.array is None:
                made = (self.at, "the tensor is made here")
                with at_user_line("Tensor: ", notes=(made,)):
                    self._view = self._zeros()
            else:
                self._view = native.TensorView.from_array(self.array, self.dtype)
        return self._view

    def _zeros(self) -> native.TensorView:
        if self.strides is None:
            return native.TensorView.allocate(list(self.shape), self.dtype)
        last = sum((extent - 1) * stride for extent, stride in zip(self.shape, self.strides))
        flat = native.TensorView.allocate([0 if 0 in self.shape else last + 1], self.dtype).array()
        in_bytes = [stride * self.dtype.itemsize for stride in self.strides]
        placed = np.lib.stride_tricks.as_strided(flat, self.shape, in_bytes)
        return native.TensorView.from_array(placed, self.dtype)

    def shared_array(self) -> np.ndarray[Any, Any]:
        if self.array is None:
            self.array = self.view.array()
        return self.array

    @property
    def handle(self) -> native.TensorHandle:
        """What workloads hold."""
        if self._handle is None:
            self._handle = native.TensorHandle(self.name, self.view, self.at)
        return self._handle

    def set_name(self, name: str) -> None:
        self.name = name
        if self._handle is not None:
            self._handle.name = name


def shape_text(shape: tuple[int, ...]) -> str:
    """As errors name it: ``[4, 8]``."""
    return native.shape_text(list(shape))


def strides_of(array: np.ndarray[Any, Any]) -> tuple[int, ...]:
    """In elements."""
    return tuple(stride // array.itemsize for stride in array.strides)


def check_memory(mem: MemLayout, shape: tuple[int, ...], strides: tuple[int, ...] | None) -> None:
    """Refuses a memory layout that elements of such a tensor do not have, or cannot have."""
    if mem.swizzle is not None or mem.pack != 1:
        raise error(
            TypeCheckError,
            f"Tensor: {mem!r} swizzles or packs, and kernels address memory by strides",
            hint="move the elements first, to the places that mem.place(coordinates) gives",
        )
    if mem.shape is not None and mem.shape != shape:
        raise error(
            TypeCheckError, f"Tensor: {mem!r} is not of the tensor's shape {shape_text(shape)}"
        )
    if strides is None or 0 in shape:
        return
    for extent, stride, wanted in zip(shape, strides, mem.strides):
        if extent > 1 and stride != wanted:
            raise error(
                TypeCheckError,
                f"Tensor: the data has strides {strides}, {mem!r} has {mem.strides}",
                hint="copy it there: relayout(tensor, to=TensorLayout(dist, mem=...))",
            )


def checked_shape(shape: Any) -> tuple[int, ...]:
    """The extents of a shape that a user gave, a number being one extent."""
    extents = (shape,) if isinstance(shape, int) else tuple(shape)
    for extent in extents:
        if isinstance(extent, bool) or not hasattr(extent, "__index__") or extent < 0:
            raise error(TypeCheckError, f"Tensor: a shape holds integers >= 0, got {extent!r}")
    return tuple(int(extent) for extent in extents)


def shared_array(data: Any) -> np.ndarray[Any, Any]:
    """The array that shares the memory of what a user gave."""
    if isinstance(data, np.ma.MaskedArray):
        raise error(
            TypeCheckError,
            "Tensor: the mask of a masked array would be ignored",
            hint="pass array.filled(value), or array.data for what is below the mask",
        )
    if isinstance(data, np.ndarray):
        return data
    if hasattr(data, "__dlpack__"):
        try:
            return np.from_dlpack(data)
        except (RuntimeError, BufferError, TypeError) as cause:
            raise error(
                TypeCheckError,
                f"Tensor: NumPy cannot share the memory of this {type(data).__name__}: {cause}",
                hint="bf16 tensors: pass tensor.view(torch.uint16) and dtype=DType.BF16",
            ) from cause
    try:
        return np.asarray(memoryview(data))
    except (TypeError, ValueError) as cause:
        raise error(
            TypeCheckError,
            f"Tensor: {type(data).__name__} has neither the buffer protocol nor __dlpack__",
            hint="pass a NumPy array: np.asarray(data)",
        ) from cause
