"""Element types and memory levels."""

from __future__ import annotations

import enum
from typing import Any

import numpy as np

import pto_wsp._pto_wsp as native
from pto_wsp.errors import TypeCheckError, error


class DType(enum.Enum):
    """Element type of a tensor or tile."""

    F16 = "f16"
    BF16 = "bf16"
    F32 = "f32"
    F64 = "f64"
    I8 = "i8"
    I16 = "i16"
    I32 = "i32"
    I64 = "i64"
    U8 = "u8"
    U16 = "u16"
    U32 = "u32"
    U64 = "u64"

    def __repr__(self) -> str:
        return f"DType.{self.name}"

    @property
    def itemsize(self) -> int:
        """Bytes of one element."""
        return _rows[self.value].bytes

    @property
    def numpy(self) -> np.dtype[Any]:
        """The NumPy type that holds it; BF16 is stored as ``uint16``."""
        return np.dtype(_rows[self.value].numpy_name)

    @property
    def is_float(self) -> bool:
        """True for F16, BF16, F32 and F64."""
        return _rows[self.value].is_float


class Location(enum.Enum):
    """The level of memory that a tensor lives in."""

    Global = "global"
    L2 = "l2"
    UB = "ub"
    L1 = "l1"

    def __repr__(self) -> str:
        return f"Location.{self.name}"


_rows = {row.name: row for row in native.dtypes()}
_by_numpy = {
    row.numpy_name: DType(row.name)
    for row in native.dtypes()
    if row.name in _rows and row.name not in ("bf16", "mask")
}


def dtype_of(what: Any) -> DType:
    """The `DType` that `what` names: a `DType`, its name, or a NumPy type.

    Raises
    ------
    TypeCheckError
        When there is none; the text lists those there are.
    """
    if isinstance(what, DType):
        return what
    if isinstance(what, str) and what in _rows and what != "mask":
        return DType(what)
    if isinstance(what, str) and what in DType.__members__:
        return DType[what]
    try:
        numpy_type = np.dtype(what)
    except TypeError:
        numpy_type = None
    if numpy_type is not None:
        if numpy_type.name == "bfloat16":
            return DType.BF16
        if numpy_type.isnative and numpy_type.name in _by_numpy:
            return _by_numpy[numpy_type.name]
    shown = f"{numpy_type.str!r} ({numpy_type.name})" if numpy_type is not None else repr(what)
    raise error(
        TypeCheckError,
        f"element type {shown} is not supported",
        hint="use one of " + ", ".join(str(member.name) for member in DType),
    )
