"""What `compile` of kernels and workloads takes beside the kernels' own parameters."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

import numpy as np

import pto_wsp._pto_wsp as native
from pto_wsp.annotations import TileSpec
from pto_wsp.dtypes import DType
from pto_wsp.errors import CompileError, ScheduleError, TypeCheckError, at_user_line, error

BLOCK_OPTIONS = ("BLOCK_M", "BLOCK_N", "BLOCK_K")


def constant_key(value: Any) -> Any:
    """What tells constants apart: 1, 1.0 and True are equal, as are 0.0 and -0.0, but make other
    code."""
    if isinstance(value, (tuple, frozenset)):
        parts = [constant_key(part) for part in value]
        return type(value), tuple(parts) if isinstance(value, tuple) else frozenset(parts)
    if isinstance(value, (float, np.floating)):
        return type(value), float(value).hex()
    return type(value), value


def kernel_schedule(steps: Any) -> native.KernelSchedule:
    """Steps given as JSON text, as the lists that JSON would hold, or already as a schedule."""
    if isinstance(steps, native.KernelSchedule):
        return steps
    if isinstance(steps, str):
        text = steps
    else:
        try:
            text = json.dumps(steps)
        except (TypeError, ValueError) as cause:
            raise error(ScheduleError, f"schedule: {cause}") from cause
    with at_user_line():
        return native.KernelSchedule.from_json(text)


def target_name(target: Any) -> str:
    """The name of a target that can be compiled for.

    Raises
    ------
    TypeCheckError
        It is no text.
    CompileError
        A target of which there is no backend yet. (Names that are not known at all are found by the
        native side.)
    """
    if not isinstance(target, str):
        raise error(
            TypeCheckError,
            f"compile: target is {target!r}, not a name",
            hint="targets: cpu, cpu_sim",
        )
    if target in ("ascend_npu", "ascend_sim"):
        raise error(
            CompileError,
            f"compile: target '{target}' is not available yet",
            hint="targets: cpu, cpu_sim",
        )
    return target


def block_size(name: str, value: Any) -> int:
    """A tile size of the schedule."""
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise error(TypeCheckError, f"{name} must be an integer >= 1, got {value!r}")
    return value


def tile_of_shape(shape: Iterable[int], dtype: DType) -> TileSpec:
    """The tile that the trailing two dimensions of a view are."""
    rows, cols = [1, 1, *shape][-2:]
    return TileSpec(native.Affine(rows), native.Affine(cols), dtype)
