"""Collectives on tensors: data that moves over the mesh.

The mesh is this process alone: what every member holds is what this one holds, and each collective
is a copy with the layout that it has on any mesh.
"""

from __future__ import annotations

import os

import numpy as np

from pto_wsp import context
from pto_wsp.errors import CompileError, ExecutionError, TypeCheckError, error
from pto_wsp.layout import TensorLayout, TensorReplicate, TensorShard
from pto_wsp.tensor import Tensor

_operations = ("sum", "prod", "max", "min")
# What launchers of Open MPI and of MPICH and its kin set.
_size_variables = ("OMPI_COMM_WORLD_SIZE", "PMI_SIZE")


def relayout(t: Tensor, to: TensorLayout) -> Tensor:
    """A copy of `t` that is distributed and lies in memory as `to` says.

    Parameters
    ----------
    t : Tensor
    to : TensorLayout
        Of as many dimensions.

    Raises
    ------
    TypeCheckError
        Another rank, or a memory layout that the shape does not fit.
    ExecutionError
        The mesh has other members, and there is no communicator.
    """
    tensor = _tensor("relayout", t)
    if not isinstance(to, TensorLayout):
        raise error(
            TypeCheckError,
            f"relayout: to is {to!r}, not a TensorLayout",
            hint="relayout(t, to=TensorLayout.replicated(rank))",
        )
    return _copy(tensor, to)


def allreduce(t: Tensor, mesh_axis: int = 0, op: str = "sum") -> Tensor:
    """The sum (product, maximum, minimum) over the members along `mesh_axis`, on each of them.

    Raises
    ------
    TypeCheckError
        An unknown operation, or a dimension that is sharded over `mesh_axis`: members hold
        different parts of it.
    ExecutionError
        The mesh has other members, and there is no communicator.
    """
    tensor = _tensor("allreduce", t)
    axis = _mesh_axis("allreduce", mesh_axis)
    _operation("allreduce", op)
    sharded = [d for d, entry in enumerate(tensor.layout.dist) if entry == axis]
    if sharded:
        raise error(
            TypeCheckError,
            f"allreduce: dimension {sharded[0]} of {tensor.layout!r} is sharded over mesh axis "
            f"{mesh_axis}",
            hint="members hold different parts of it: allgather them",
        )
    return _copy(tensor, tensor.layout)


def allgather(t: Tensor, dim: int | None = None, mesh_axis: int = 0) -> Tensor:
    """The parts of a dimension that is sharded over `mesh_axis` put together, on each member.

    Parameters
    ----------
    t : Tensor
    dim : int, optional
        The dimension; by default the one that is sharded over `mesh_axis`.
    mesh_axis : int

    Raises
    ------
    TypeCheckError
        No such dimension is sharded over `mesh_axis`.
    ExecutionError
        The mesh has other members, and there is no communicator.
    """
    tensor = _tensor("allgather", t)
    axis = _mesh_axis("allgather", mesh_axis)
    dist = list(tensor.layout.dist)
    wanted = [d for d, entry in enumerate(dist) if entry == axis]
    if dim is not None:
        wanted = [d for d in wanted if d == _dimension("allgather", tensor, dim)]
    if len(wanted) != 1:
        where = "one dimension" if dim is None else f"dimension {dim}"
        raise error(
            TypeCheckError,
            f"allgather: {where} of {tensor.layout!r} is to be sharded over mesh axis {mesh_axis}, "
            f"and {len(wanted)} are",
            hint="dim= and mesh_axis= say which",
        )
    dist[wanted[0]] = TensorReplicate()
    return _copy(tensor, TensorLayout(dist, mem=tensor.layout.mem))


def reduce_scatter(t: Tensor, dim: int = 0, mesh_axis: int = 0, op: str = "sum") -> Tensor:
    """The sum (product, maximum, minimum) over the members along `mesh_axis`, each of which keeps
    its part of dimension `dim`.

    Raises
    ------
    TypeCheckError
        An unknown operation, or a dimension that is sharded already.
    ExecutionError
        The mesh has other members, and there is no communicator.
    """
    tensor = _tensor("reduce_scatter", t)
    axis = _mesh_axis("reduce_scatter", mesh_axis)
    _operation("reduce_scatter", op)
    number = _dimension("reduce_scatter", tensor, dim)
    dist = list(tensor.layout.dist)
    if dist[number] != TensorReplicate() or axis in dist:
        raise error(
            TypeCheckError,
            f"reduce_scatter: dimension {dim} of {tensor.layout!r} cannot be sharded over mesh "
            f"axis {mesh_axis}",
            hint="the dimension must be replicated, and the mesh axis free",
        )
    dist[number] = axis
    return _copy(tensor, TensorLayout(dist, mem=tensor.layout.mem))


def _tensor(what: str, given: object) -> Tensor:
    if not isinstance(given, Tensor):
        raise error(TypeCheckError, f"{what}: expected a Tensor, got {given!r}")
    if context.current() is not None:
        raise error(
            CompileError,
            f"{what} is used in the body of a workload",
            hint="move the data before the workload, or after it",
        )
    for name in _size_variables:
        members = os.environ.get(name, "1")
        if members != "1":
            raise error(
                ExecutionError,
                f"{what}: this process is one of {members} ({name}), and there is no communicator "
                "between them",
                hint="collectives are copies on a mesh of one; start one process",
            )
    return given


def _mesh_axis(what: str, given: object) -> TensorShard:
    if isinstance(given, bool) or not isinstance(given, (int, np.integer)) or given < 0:
        raise error(TypeCheckError, f"{what}: mesh_axis is {given!r}, not an integer >= 0")
    return TensorShard(int(given))


def _operation(what: str, given: object) -> None:
    if given not in _operations:
        raise error(
            TypeCheckError, f"{what}: op is {given!r}", hint="one of " + ", ".join(_operations)
        )


def _dimension(what: str, tensor: Tensor, given: object) -> int:
    whole = isinstance(given, (int, np.integer)) and not isinstance(given, bool)
    if not whole or not -tensor.ndim <= given < tensor.ndim:  # type: ignore[operator]
        raise error(
            TypeCheckError,
            f"{what}: dim is {given!r}, and the tensor has {tensor.ndim} dimensions",
        )
    return int(given) % tensor.ndim  # type: ignore[call-overload]


def _copy(tensor: Tensor, layout: TensorLayout) -> Tensor:
    made = Tensor(
        shape=tensor.shape,
        dtype=tensor.dtype,
        location=tensor.location,
        layout=layout,
    )
    np.copyto(made.data, tensor.data)
    return made
