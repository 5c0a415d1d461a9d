"""The numbers that are passed for `Scalar` parameters."""

from __future__ import annotations

from typing import Any

import numpy as np

from pto_wsp.annotations import ScalarSpec
from pto_wsp.dtypes import DType
from pto_wsp.errors import TypeCheckError, error


def integer_limits(dtype: DType) -> tuple[int, int]:
    """The least and the greatest number of an integer type that can be passed."""
    bits = 8 * dtype.itemsize
    if dtype.name.startswith("U"):
        return 0, 2**bits - 1
    return -(2 ** (bits - 1)), 2 ** (bits - 1) - 1


def number_of(kernel: str, name: str, spec: ScalarSpec, value: Any) -> int | float:
    """What `value` is for parameter `name` of `kernel`.

    Raises
    ------
    TypeCheckError
        It is no number, or an integer that the parameter's type does not hold.
    """
    what = f"kernel '{kernel}': '{name}: {spec!r}'"
    kind = "a number" if spec.dtype.is_float else "an integer"
    convert = "__float__" if spec.dtype.is_float else "__index__"
    is_array = isinstance(value, np.ndarray) and value.ndim > 0
    if not hasattr(value, convert) or isinstance(value, np.complexfloating) or is_array:
        raise error(TypeCheckError, f"{what} needs {kind}, got {value!r}")
    try:
        number = float(value) if spec.dtype.is_float else int(value.__index__())
    except (TypeError, ValueError, OverflowError) as cause:
        raise error(TypeCheckError, f"{what} needs {kind}: {cause}") from cause
    if isinstance(number, int):
        low, high = integer_limits(spec.dtype)
        if not low <= number <= high:
            raise error(TypeCheckError, f"{what} holds integers from {low} to {high}, got {number}")
    return number
