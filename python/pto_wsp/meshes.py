"""Tensors that are distributed over a mesh, and the mesh of a workload."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pto_wsp.errors import ScheduleError, TypeCheckError, error
from pto_wsp.layout import TensorLayout, TensorShard


@dataclass(frozen=True)
class Sharded:
    """An argument of a kernel that is distributed."""

    what: str  # `kernel 'attn': 'q'`
    layout: TensorLayout
    shape: tuple[int, ...]
    without_mesh: TypeCheckError
    """The error that it is where there is no mesh; stands at the call."""

    def check(self, grid: Sequence[int]) -> None:
        """Refuses a mesh of `grid` that it does not fit.

        Raises
        ------
        ScheduleError
            It is sharded over an axis that the mesh does not have, or not in equal parts.
        """
        mesh = "(" + ", ".join(map(str, grid)) + ")"
        for dim, entry in enumerate(self.layout.dist):
            if not isinstance(entry, TensorShard):
                continue
            if entry.mesh_axis >= len(grid):
                raise error(
                    ScheduleError,
                    f"spatial_map: {self.what} is {self.layout!r}, and the mesh {mesh} has no axis "
                    f"{entry.mesh_axis}",
                    hint=f"give a size for axis {entry.mesh_axis}, or shard over another",
                )
            members = grid[entry.mesh_axis]
            if self.shape[dim] % members != 0:
                raise error(
                    ScheduleError,
                    f"spatial_map: dimension {dim} of {self.what} has {self.shape[dim]} places, "
                    f"which are no {members} equal parts",
                    hint=f"axis {entry.mesh_axis} of the mesh {mesh} must divide it",
                )


def sharded(what: str, layout: TensorLayout, shape: tuple[int, ...]) -> Sharded:
    """An argument `what` of a kernel that is distributed as `layout`."""
    without = error(
        TypeCheckError,
        f"{what} is distributed as {layout!r}, but there is no mesh",
        hint="give one with spatial_map(grid), or use TensorLayout.replicated(rank)",
    )
    assert isinstance(without, TypeCheckError)
    return Sharded(what, layout, shape, without)
