"""Plain functions that several test files use."""

from __future__ import annotations

from typing import Any

import numpy as np
import pto_wsp._pto_wsp as native
from pto_wsp import DType, KernelRef, Tensor


def reference(kernel: KernelRef, *arguments: Any, **values: Any) -> None:
    """Runs the traced kernel with the slow evaluator, on arrays in place."""
    program = kernel.trace(**values)._program

    def passed(argument: Any, dtype: DType) -> Any:
        if isinstance(argument, (int, float)):
            return float(argument)
        if isinstance(argument, Tensor):
            return argument.view
        # NumPy keeps BF16 as its bits.
        return Tensor(argument, dtype=dtype if dtype is DType.BF16 else None).view

    native.evaluate(
        program,
        [passed(each, param.type.dtype) for each, param in zip(arguments, program.params)],
    )


def bfloat_bits(values: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """The nearest BF16 numbers, as bits."""
    import ml_dtypes

    return values.astype(ml_dtypes.bfloat16).view(np.uint16)


def stored(values: np.ndarray[Any, Any], dtype: DType) -> np.ndarray[Any, Any]:
    """The array of a tile: BF16 is kept as its bits."""
    if dtype is DType.BF16:
        return bfloat_bits(values.astype(np.float32))
    with np.errstate(all="ignore"):
        return values.astype(dtype.numpy)


def read(array: np.ndarray[Any, Any], dtype: DType) -> np.ndarray[Any, Any]:
    """The values of `stored`."""
    if dtype is DType.BF16:
        return (array.astype(np.uint32) << 16).view(np.float32)
    return array
