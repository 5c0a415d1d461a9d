"""Kernels that are there as tile programs."""

from __future__ import annotations

import types
from collections.abc import Mapping
from typing import Any

import pto_wsp._pto_wsp as native
from pto_wsp.annotations import DirectedSpec, ScalarSpec, TileSpec
from pto_wsp.kernel_refs import KernelRef
from pto_wsp.signatures import Parameter, Signature


class ProgramKernel(KernelRef):
    """A kernel whose body is a tile program instead of a function: those of `pto_wsp.kernels`."""

    def __init__(self, program: native.TileProgram) -> None:
        def stand_in() -> None:
            """Stands for the tile program."""

        assert isinstance(stand_in, types.FunctionType)
        stand_in.__name__ = stand_in.__qualname__ = program.name
        super().__init__(stand_in, _signature(program))
        self._program = program
        self.is_declaration = False

    @property
    def place(self) -> tuple[str, int]:
        """File and line that made it."""
        return self._program.at

    def _record(
        self, params: list[native.Param], constants: Mapping[str, Any]
    ) -> native.TileProgram:
        return self._program


def _signature(program: native.TileProgram) -> Signature:
    parameters = []
    for param in program.params:
        tile = TileSpec(param.type.rows, param.type.columns, param.type.dtype)
        spec = (
            DirectedSpec(param.direction, tile) if param.is_tile else ScalarSpec(param.type.dtype)
        )
        parameters.append(Parameter(param.name, spec))
    return Signature(program.name, parameters)
